"""The scripts of vagrant/provision: they make a node and real servers, which then serve."""

import os
from pathlib import Path

import pytest

from tests.support.systemd import Systemd, booted
from tests.support.wait import eventually
from vagrant.lab.hosts import PROJECT

pytestmark = pytest.mark.timeout(400)
SCRIPTS = "/opt/guideway/vagrant/provision"
# The node is the host; client and real servers are namespaces, with it on one segment.
NETWORK = """
ip link set lo up
ip link add br0 type bridge mcast_snooping 0
ip link set br0 up
for each in client:100 rs1:21 rs2:22 rs3:23; do
    name=${each%:*}
    ip netns add $name
    ip -n $name link set lo up
    ip link add p-$name type veth peer name eth0 netns $name
    ip link set p-$name master br0 up
    ip -n $name address add 192.168.56.${each#*:}/24 dev eth0
    ip -n $name link set eth0 up
    ip netns exec $name ethtool -K eth0 tx off gro on
done
ip link add eth0 type veth peer name p-lb
ip link set p-lb master br0 up
ethtool -K p-lb tx off
ip address add 192.168.56.2/24 dev eth0
ip link set eth0 up
"""
SERVERS = f"""
for name in rs1 rs2 rs3; do
    ip netns exec $name {SCRIPTS}/backend-dr.sh
    mkdir -p /srv/$name
    echo $name > /srv/$name/index.html
    systemd-run --unit web-$name ip netns exec $name /usr/bin/python3 -m http.server 80 \\
        --directory /srv/$name
done
"""
REPORTS = ("status", "backend list", "stats --reasons", "vrrp status")
EVERYBODY = {"rs1\n", "rs2\n", "rs3\n"}


def answers(host: Systemd) -> set[str]:
    """Return who answers a dozen requests; an empty text for those that nobody answers."""
    asked = "ip netns exec client curl -s -m 2 http://192.168.56.10/ || true"
    return {host.run("sh", "-c", asked) for _ in range(12)}


def told(host: Systemd) -> str:
    """Return what the node says of itself."""
    said = [host.run("/usr/bin/guideway", *words.split()) for words in REPORTS]
    return "\n".join(said)


def test_two_scripts_make_a_service_and_once_more_they_change_nothing(
    tmp_path: Path, package: Path
) -> None:
    installed = f"/opt/guideway/{package.relative_to(PROJECT)}"
    own = ("dr", "192.168.56.2", "192.168.57.2", "150", "generic")
    with booted(tmp_path, f"guideway-provision-{os.getpid()}") as host:
        host.run("sh", "-e", "-c", NETWORK)
        host.run("sh", "-e", "-c", SERVERS)

        host.run(f"{SCRIPTS}/balancer.sh", installed, *own)
        pid = host.show("guidewayd", "MainPID")
        host.run(f"{SCRIPTS}/balancer.sh", installed, *own)

        assert host.show("guidewayd", "MainPID") == pid
        eventually(
            lambda: answers(host) == EVERYBODY,
            within=60,
            what="all real servers answer",
            explain=lambda: told(host),
        )
