"""Virtual routers with a MAC of their own: on the wire, on the host, through failovers."""

import hashlib
import json
import signal
from collections.abc import Callable
from http.client import HTTPConnection

import pytest
import yaml
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP
from scapy.packet import Packet

from tests.support.vrrp_lan import VIP, Keepalived, Lan, Node, instance
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.topology import VIP as SERVICE_VIP
from vagrant.lab.topology import DrTopology, NatTopology, Topology

pytestmark = pytest.mark.waiting

MAC = "00:00:5e:00:01:33"  # of VRID 51
MAC6 = "00:00:5e:00:02:33"
ADDRESS = VIP.partition("/")[0]
VMAC = {"virtual_mac": True, "addresses": [VIP]}
SIX = {"virtual_mac": True, "addresses": ["fe80::33/64", "2001:db8::100/128"]}
OWN = {"advertise_mac": "own", "announce": {"refresh": 60}}
VRRP = 112


def macvlans(node: Node) -> list[str]:
    shown = json.loads(node.host.run("ip", "-json", "link", "show", "type", "macvlan"))
    return [each["ifname"] for each in shown if each]


def setting(node: Node, name: str) -> str:
    return node.host.run("sysctl", "-n", f"net.ipv4.conf.eth0.{name}").strip()


def neighbour(lan: Lan) -> str:
    """Return the MAC that the witness has for the VIP, after it has asked if need be."""

    def known() -> str:
        lan.witness.popen("ping", "-c1", "-W1", ADDRESS).wait(10)
        shown = json.loads(lan.witness.run("ip", "-json", "neigh", "show", ADDRESS))
        return str(shown[0].get("lladdr", "")) if shown else ""

    return eventually(known, within=5, what=f"somebody says that he has {ADDRESS}")


def from_mac(mac: str) -> Callable[[Packet], bool]:
    """Return what recognizes an advertisement that bears ``mac``."""
    return lambda frame: (
        frame.src == mac
        and (
            (IP in frame and frame[IP].proto == VRRP)
            or (IPv6 in frame and frame[IPv6].nh == VRRP)
        )
    )


def test_the_address_keeps_its_mac_when_another_node_takes_it(lan: Lan) -> None:
    before = setting(lan.one, "arp_ignore"), setting(lan.one, "arp_announce")
    lan.one.start(instance(150, **VMAC))
    lan.two.start(instance(100, **VMAC))
    lan.one.wait_until("active")
    lan.one.wait_for(VIP)
    assert neighbour(lan) == MAC
    # If it was ready first, it was Active for a moment.
    eventually(lambda: macvlans(lan.two) == [], within=5, what="two has none")
    lan.hear(from_mac(MAC), within=2)

    lan.one.vrrpd.stop()

    lan.two.wait_for(VIP)
    assert neighbour(lan) == MAC
    lan.one.wait_without(VIP)
    assert macvlans(lan.one) == []
    assert (setting(lan.one, "arp_ignore"), setting(lan.one, "arp_announce")) == before


def test_gratuitous_arp_and_neighbour_advertisements_say_the_virtual_mac(lan: Lan) -> None:
    lan.forget()
    lan.one.start(instance(**VMAC), instance(**SIX, name="six"))

    arp, _ = lan.hear(lambda frame: ARP in frame and frame[ARP].psrc == ADDRESS, within=5)
    assert (arp.src, arp[ARP].hwsrc) == (MAC, MAC)
    na, _ = lan.hear(lambda frame: ICMPv6ND_NA in frame and frame.src == MAC6, within=5)
    assert na[ICMPv6NDOptDstLLAddr].lladdr == MAC6
    lan.hear(from_mac(MAC6), within=2)


def test_what_a_killed_run_left_and_what_somebody_removed_are_put_right(lan: Lan) -> None:
    lan.one.start(instance(**VMAC), instance(name="other", vrid=52, **other_addresses()))
    lan.one.wait_for(VIP, "10.0.0.101/32")
    name, other = sorted(macvlans(lan.one))

    lan.one.host.run("ip", "link", "delete", name)

    eventually(
        lambda: sorted(macvlans(lan.one)) == [name, other], within=5, what="it is back"
    )
    lan.one.wait_for(VIP)
    lan.one.vrrpd.kill()
    assert sorted(macvlans(lan.one)) == [name, other]

    lan.two.start(instance(150, **VMAC))  # so that the next run is no Active
    lan.two.wait_until("active")
    lan.one.start(instance(50, **VMAC), instance(50, name="other", vrid=52, **plain()))

    lan.one.wait_without(VIP)
    lan.one.wait_for("10.0.0.101/32")
    eventually(lambda: macvlans(lan.one) == [], within=5, what="they are gone")
    eventually(
        lambda: setting(lan.one, "arp_ignore") == "0", within=5, what="it answers again"
    )


def other_addresses() -> dict[str, object]:
    return {"virtual_mac": True, "addresses": ["10.0.0.101/32"]}


def plain() -> dict[str, object]:
    return {"addresses": ["10.0.0.101/32"]}


def test_two_actives_that_have_found_each_other_again_agree(lan: Lan) -> None:
    lan.one.start(instance(150, **VMAC))
    lan.one.wait_until("active")
    lan.two.host.run("ip", "link", "set", "eth0", "down")
    lan.two.start(instance(100, **VMAC))
    lan.one.signal(signal.SIGSTOP)
    lan.two.host.run("ip", "link", "set", "eth0", "up")
    lan.two.wait_for(VIP)

    lan.one.signal(signal.SIGCONT)

    lan.two.wait_until("backup")
    lan.two.wait_without(VIP)
    lan.one.wait_until("active")
    assert neighbour(lan) == MAC


@pytest.mark.usefixtures("_keepalived")
@pytest.mark.parametrize(
    ("lines", "ours"),
    [
        (("use_vmac",), VMAC),
        # It hears no advertisement that bears its own virtual MAC.
        (("use_vmac", "vmac_xmit_base"), VMAC | OWN),
    ],
)
def test_keepalived_with_a_virtual_mac_follows_us_and_is_obeyed(
    lan: Lan, lines: tuple[str, ...], ours: dict[str, object]
) -> None:
    peer = Keepalived(lan.two, 100, lines=lines, addresses=(VIP,))
    peer.start()
    lan.two.wait_for(VIP, within=10)

    lan.one.start(instance(150, **ours))
    lan.one.wait_for(VIP)
    lan.two.wait_without(VIP)
    assert neighbour(lan) == MAC
    lan.one.vrrpd.stop()
    lan.two.wait_for(VIP)

    lan.one.start(instance(50, **ours))
    eventually(
        lambda: lan.one.status().get("active") == "10.0.0.2",
        within=5,
        what="keepalived is heard",
        explain=lan.one.vrrpd.tail,
    )
    assert macvlans(lan.one) == []
    assert lan.one.status()["state"] == "backup"
    assert "invalid" not in peer.log()


@pytest.mark.parametrize("kind", [DrTopology, NatTopology], ids=["dr", "nat"])
def test_connections_to_the_virtual_mac_survive_the_death_of_the_active(
    lab_name: str, kind: type[Topology]
) -> None:
    with Lab(lab_name, kind, large_file_bytes=16 << 20) as lab:
        for node in lab.nodes.values():
            content = yaml.safe_load(node.paths.vrrpd_file.read_text())
            content["instances"][0]["virtual_mac"] = True
            node.paths.vrrpd_file.write_text(yaml.safe_dump(content))
        lab.start()
        one, two = lab.nodes["lb1"], lab.nodes["lb2"]
        one.wait_until_state("active")
        wanted = hashlib.sha256(lab.large_file.read_bytes()).hexdigest()
        connection = HTTPConnection(str(SERVICE_VIP), timeout=20)
        with lab.client.inside():
            connection.request("GET", f"/{lab.large_file.name}")
        answer = connection.getresponse()
        found = hashlib.sha256(answer.read(1 << 16))
        assert lab_neighbour(lab) == MAC

        one.power_off()
        two.wait_until_state("active")

        while piece := answer.read(1 << 20):
            found.update(piece)
        connection.close()
        assert found.hexdigest() == wanted
        assert lab_neighbour(lab) == MAC


def lab_neighbour(lab: Lab) -> str:
    """Return the MAC by which the client reaches the VIP."""
    shown = json.loads(lab.client.run("ip", "-json", "neigh", "show", str(SERVICE_VIP)))
    return str(shown[0].get("lladdr"))
