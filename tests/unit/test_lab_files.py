"""What the lab writes for the daemons is what the daemons read."""

from ipaddress import IPv6Address
from pathlib import Path

import pytest
import yaml

from control import config
from control.checks import TcpCheck
from control.model import Protocol
from vagrant.lab.daemon_files import NodePaths, guidewayd_file, vrrpd_file
from vagrant.lab.topology import DrTopology, NatTopology
from vrrp import config as vrrp_config

PATHS = NodePaths(Path("/run/guideway-lab/x/lb1"), Path("/run/guideway-lab/x/bpf"))


@pytest.mark.parametrize("kind", [DrTopology, NatTopology])
def test_guidewayd_understands_the_services_as_they_were_meant(kind):
    services = (
        kind.service(),
        kind.service("dns", 53, Protocol.UDP, weights=[1, 0], check=None),
        kind.service("other", 81, check=TcpCheck(port=80)),
        kind.service("web6", ipv6=True),
    )

    text = yaml.safe_dump(guidewayd_file("lb1", kind, services, PATHS))
    node, state = config.parse(text, "guideway.yaml")

    assert tuple(state) == services
    assert node.interfaces == kind.interfaces
    assert node.bpffs == PATHS.bpffs
    assert node.socket == PATHS.socket


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        (
            DrTopology,
            {
                "lab": ["10.0.0.100/32 on eth0"],
                "lab6": ["fe80::33/64 on eth0", "2001:db8::100/128 on eth0"],
            },
        ),
        (
            NatTopology,
            {
                "lab": ["10.0.0.100/32 on eth0", "10.20.0.1/24 on eth1"],
                "lab6": [
                    "fe80::33/64 on eth0",
                    "2001:db8::100/128 on eth0",
                    "2001:db8:20::1/64 on eth1",
                ],
            },
        ),
    ],
)
def test_vrrpd_understands_what_it_has_to_move(kind, moved):
    text = yaml.safe_dump(vrrpd_file("lb1", kind, 200, PATHS))
    instances = vrrp_config.parse(text, "vrrp.yaml").instances

    assert {one.name: [str(each) for each in one.addresses] for one in instances} == moved
    assert {instance.router.priority for instance in instances} == {200}
    assert [instance.peers for instance in instances] == [
        (),
        (IPv6Address("2001:db8::12"),),
    ]


def test_in_nat_backends_serve_port_80_at_8080():
    (first, *_) = NatTopology.service().backends

    assert (first.name, str(first.address), first.port) == ("b1", "10.20.0.21", 8080)
