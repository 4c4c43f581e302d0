"""Real TCP where clients and backends are in VLANs, in both modes and families."""

import hashlib
import os
import sys
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
import yaml

from control.addresses import IpAddress
from control.model import Mode
from tests.netns.vlan_topologies import (
    Place,
    VlanTopology,
    interface_for,
    missing,
    topology,
)
from tests.support.requirements import require
from tests.support.wait import eventually
from vagrant.lab.errors import LabError
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.segment import ipv6_of
from vagrant.lab.topology import VIP

PLACES: dict[str, tuple[Place, Place]] = {
    "two VLANs of a trunk": (("eth0", ("10",)), ("eth0", ("20",))),
    "one VLAN": (("eth0", ("10",)), ("eth0", ("10",))),
    "untagged front, tagged back": (("eth0", ()), ("eth1", ("20",))),
    "tagged front, untagged back": (("eth0", ("10",)), ("eth0", ())),
    "front in a service VLAN": (("eth0", ("7", "10")), ("eth0", ("20",))),
}
VIPS = {"IPv4": VIP, "IPv6": ipv6_of(VIP)}


@pytest.fixture(scope="module", autouse=True)
def _vlans():
    require("vlan", missing())


@pytest.fixture(scope="module", params=[Mode.DR, Mode.NAT], ids=["dr", "nat"])
def mode(request) -> Mode:
    return request.param


@pytest.fixture(scope="module", params=PLACES)
def lab(mode: Mode, request) -> Iterator[Lab]:
    """Return a lab in which the balancer and all servers run."""
    number = list(PLACES).index(request.param)
    yield from running(
        f"v{os.getpid()}{mode}{number}", topology(mode, *PLACES[request.param])
    )


@pytest.fixture
def trunk(lab_name: str) -> Iterator[Lab]:
    """Return a lab with two VLANs of a trunk and NAT, for a test to spoil."""
    yield from running(lab_name, topology(Mode.NAT, *PLACES["two VLANs of a trunk"]))


def running(name: str, kind: type[VlanTopology]) -> Iterator[Lab]:
    services = (kind.service(), kind.service("web6", ipv6=True))
    with Lab(name, kind, services, large_file_bytes=2 << 20) as made:
        for backend in made.servers:
            made.start_servers(backend)
            made.wait_for_servers(backend)
        start(made.nodes["lb1"])
        yield made


def start(node: Node) -> None:
    node.guidewayd.start()
    node.wait_until_ready()
    for service in ("web", "web6"):
        node.wait_until_serving(service)


@pytest.fixture(params=VIPS)
def vip(request) -> IpAddress:
    """Return the VIP of each family in turn."""
    return VIPS[request.param]


def get(lab: Lab, vip: IpAddress, path: str = "/") -> tuple[str, bytes]:
    """Return who answers, and what."""
    connection = HTTPConnection(str(vip), 80, timeout=5)
    with lab.client.inside():
        connection.request("GET", path)
    answer = connection.getresponse()
    name, content = answer.headers["X-Backend"], answer.read()
    connection.close()
    return name, content


def reasons(node: Node) -> dict[str, int]:
    return {each.reason: each.traffic.packets for each in node.api.statistics().reasons}


def gained(node: Node, before: dict[str, int]) -> dict[str, int]:
    return {name: n - before[name] for name, n in reasons(node).items() if n > before[name]}


def test_every_backend_answers(lab: Lab, vip: IpAddress) -> None:
    assert {get(lab, vip)[0] for _ in range(60)} == {"b1", "b2", "b3"}


def test_a_large_file_arrives_intact(lab: Lab, vip: IpAddress) -> None:
    _, received = get(lab, vip, f"/{lab.large_file.name}")

    wanted = hashlib.sha256(lab.large_file.read_bytes()).digest()
    assert hashlib.sha256(received).digest() == wanted


def test_it_is_the_program_that_forwards_both_ways(lab: Lab, vip: IpAddress) -> None:
    node = lab.nodes["lb1"]
    get(lab, vip)  # now the client's MAC is known
    before = reasons(node)

    get(lab, vip)

    packets = gained(node, before)
    assert packets[f"forwarded_{lab.topology.mode}"] >= 5
    if lab.topology.mode is Mode.NAT:
        assert packets["replied_nat"] >= 4
    assert not {"replied_by_host", "foreign_vlan", "no_headroom"} & set(packets)


def test_pings_to_the_vip_are_answered_by_the_program(lab: Lab, vip: IpAddress) -> None:
    node = lab.nodes["lb1"]
    before = reasons(node)

    said = lab.client.run("ping", "-c1", "-W2", str(vip))

    assert "1 received" in said
    assert gained(node, before)["icmp_answered"] == 1


def test_a_client_whose_mac_the_node_has_forgotten_is_answered(
    lab: Lab, vip: IpAddress
) -> None:
    lab.nodes["lb1"].host.run("ip", f"-{vip.version}", "neigh", "flush", "all")

    assert get(lab, vip)[0] in {"b1", "b2", "b3"}


def test_the_status_names_the_vlans_and_nothing_needs_mending(lab: Lab) -> None:
    kinds = {1: ["802.1Q"], 2: ["802.1ad", "802.1Q"]}
    wanted = {
        ".".join((place[0], *place[1])): [
            f"{kind} {tag}"
            for kind, tag in zip(kinds[len(place[1])], place[1], strict=True)
        ]
        for place in (lab.topology.front, lab.topology.back)
        if place[1]
    }

    status = lab.nodes["lb1"].api.status()

    shown = {v.name: list(v.tags) for one in status.interfaces for v in one.vlans}
    assert wanted.items() <= shown.items()
    assert list(status.warnings) == []


def test_no_receiver_has_seen_a_wrong_checksum(lab: Lab) -> None:
    for host in (lab.client, *lab.topology.backends.values()):
        rows = host.run("cat", "/proc/net/snmp").splitlines()
        names, values = (row.split() for row in rows if row.startswith("Tcp:"))
        assert dict(zip(names, values, strict=True))["InCsumErrors"] == "0", host.name


def test_a_vlan_with_a_mac_of_its_own_is_served_by_that_one(
    trunk: Lab, vip: IpAddress
) -> None:
    node = trunk.nodes["lb1"]
    for name, mac in (("eth0.10", "02:00:00:00:00:77"), ("eth0.20", "02:00:00:00:00:78")):
        node.host.run("ip", "link", "set", name, "address", mac)
    for host in (trunk.client, *trunk.topology.backends.values()):
        host.run("ip", f"-{vip.version}", "neigh", "flush", "all")
    eventually(lambda: answers(trunk, vip), within=10, what="it is known")
    before = reasons(node)

    assert "02:00:00:00:00:77" in trunk.client.run("ip", "neigh", "show", str(vip))
    get(trunk, vip)

    assert gained(node, before)["forwarded_nat"] >= 5
    assert gained(node, before)["replied_nat"] >= 4


def answers(lab: Lab, vip: IpAddress) -> bool:
    try:
        return bool(get(lab, vip)[0])
    except OSError:
        return False


def test_the_status_says_which_vlans_are_not_or_not_rightly_balanced(trunk: Lab) -> None:
    node = trunk.nodes["lb1"]
    interface_for(node.host, ("eth0", ("1", "2", "3")))
    node.host.run("ethtool", "-K", "eth0", "rxvlan", "on")

    def warned() -> bool:
        warnings = "\n".join(node.api.status().warnings)
        return (
            "services are not balanced by eth0.1.2.3, whose frames have 3 VLAN tags"
            in warnings
            and "`ethtool -K eth0 rxvlan off`" in warnings
        )

    eventually(warned, within=5, what="both are in the status")


def test_a_tag_that_xdp_does_not_see_is_right_behind_the_balancer_all_the_same(
    trunk: Lab, vip: IpAddress
) -> None:
    (switch,) = (segment.switch for segment in trunk.topology.segments)
    switch.run("ethtool", "-K", "lb1", "txvlan", "on")
    get(trunk, vip)
    before = reasons(trunk.nodes["lb1"])

    assert {get(trunk, vip)[0] for _ in range(60)} == {"b1", "b2", "b3"}

    packets = gained(trunk.nodes["lb1"], before)
    assert packets["forwarded_nat"] >= 300
    assert packets["replied_nat"] >= 240


def test_a_backend_in_a_vlan_of_an_interface_without_the_program_says_so(
    trunk: Lab,
) -> None:
    node = trunk.nodes["lb1"]
    node.host.run("ip", "link", "add", "eth9", "type", "veth", "peer", "eth8")
    node.host.run("ip", "link", "set", "eth9", "up")
    interface_for(node.host, ("eth9", ("20",)))
    address = str(trunk.topology.backend_address("b1"))
    node.host.run("ip", "route", "add", address, "dev", "eth9.20")

    def said() -> bool:
        reason = node.api.service("web").backends[0].reason
        wanted = "it is reached by eth9.20, a VLAN of eth9, which is not among `interfaces`"
        return reason == wanted

    eventually(said, within=10, what="the reason is given")


def edit(node: Node, **changes) -> None:
    content = yaml.safe_load(node.paths.guidewayd_file.read_text())
    node.paths.guidewayd_file.write_text(yaml.safe_dump({**content, **changes}))


def test_a_vlan_among_the_interfaces_is_refused_with_the_name_of_the_right_one(
    trunk: Lab,
) -> None:
    node = trunk.nodes["lb1"]
    node.guidewayd.stop()
    edit(node, interfaces=["eth0.10", "eth0.20"])

    with pytest.raises(LabError, match="name eth0 in `interfaces` instead"):
        start(node)

    assert get(trunk, VIP)[0]  # by what was there before


@pytest.mark.parametrize("interfaces", [["eth0.10", "eth0.20"], ["eth0"]], ids=str)
def test_generic_xdp_may_be_on_the_vlans_themselves_or_where_it_sees_tags(
    trunk: Lab, vip: IpAddress, interfaces: list[str]
) -> None:
    node = trunk.nodes["lb1"]
    node.guidewayd.stop()
    command = ("-m", "control.daemon", "--config", str(node.paths.guidewayd_file))
    node.host.run(sys.executable, *command, "--detach", timeout=30)
    for host in (trunk.client, *trunk.topology.backends.values()):
        host.run("ethtool", "-K", "eth0", "tx", "off")
    edit(node, interfaces=interfaces, xdp_mode="generic")

    start(node)

    get(trunk, vip)
    before = reasons(node)
    assert {get(trunk, vip)[0] for _ in range(60)} == {"b1", "b2", "b3"}
    assert gained(node, before)["forwarded_nat"] >= 300
    assert gained(node, before)["replied_nat"] >= 240
