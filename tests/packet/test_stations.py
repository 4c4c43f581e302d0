"""A virtual router's MAC: ours while guideway-vrrpd says so, on that interface only."""

import struct

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from dataplane import libbpf
from dataplane.records import MODE_NAT, Tag
from tests.packet.balancer import BALANCER_MAC, LO, OUT, ROUTER_MAC, Balancer, Verdict
from tests.packet.families import V4, Family

MAC = "00:00:5e:00:01:33"
MAC6 = "00:00:5e:00:02:33"
VLAN_IFINDEX = 900


def become_active(balancer: Balancer, address: str, ifindex: int = LO) -> None:
    """Write what guideway-vrrpd writes."""
    key = struct.pack("@I6sH", ifindex, bytes.fromhex(address.replace(":", "")), 0)
    libbpf.map_update(balancer.instance.maps.fd("stations"), key, struct.pack("@I", 1))


@pytest.fixture(autouse=True)
def _no_stations(balancer: Balancer):
    yield
    fd = balancer.instance.maps.fd("stations")
    for key, _ in list(libbpf.map_items(fd)):
        libbpf.map_delete(fd, key)


def syn(family: Family, to: str, tags: Packet | None = None) -> Packet:
    ethernet = Ether(src=ROUTER_MAC, dst=to)
    header = ethernet / tags if tags else ethernet
    return header / family.ip(family.client, family.vip) / TCP(sport=5555, dport=80)


@pytest.mark.parametrize("address", [MAC, MAC6])
def test_the_active_forwards_what_is_for_the_virtual_mac_with_its_own_as_source(
    balancer: Balancer, family: Family, address: str
) -> None:
    balancer.add_service(family)
    become_active(balancer, address)

    verdict, sent = balancer.send(syn(family, address))

    assert verdict is Verdict.TX
    assert sent.src == BALANCER_MAC
    assert set(balancer.reasons()) == {"forwarded_dr"}


def test_a_backup_leaves_what_is_for_the_virtual_mac_alone(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)

    verdict, _ = balancer.send(syn(family, MAC))

    assert verdict is Verdict.PASS
    assert set(balancer.reasons()) == {"other_station"}


@pytest.mark.parametrize("other", ["00:00:5e:00:01:34", MAC6, "00:00:5f:00:01:33"])
def test_another_virtual_routers_mac_is_not_ours(balancer: Balancer, other: str) -> None:
    balancer.add_service(V4)
    become_active(balancer, MAC)

    balancer.send(syn(V4, other))

    assert set(balancer.reasons()) == {"other_station"}


def test_the_virtual_mac_counts_on_its_interface_only(balancer: Balancer) -> None:
    balancer.add_service(V4)
    become_active(balancer, MAC, OUT)

    balancer.send(syn(V4, MAC))

    assert set(balancer.reasons()) == {"other_station"}


def test_the_virtual_mac_of_a_vlans_interface_counts_in_that_vlan_only(
    balancer: Balancer,
) -> None:
    balancer.add_service(V4)
    balancer.add_vlan(VLAN_IFINDEX, Tag(5), address=BALANCER_MAC)
    become_active(balancer, MAC, VLAN_IFINDEX)

    for tags in (Dot1Q(vlan=5), Dot1Q(vlan=6), None):
        balancer.send(syn(V4, MAC, tags))

    reasons = balancer.reasons()
    assert reasons["other_station"].packets == 2
    assert sum(counter.packets for counter in reasons.values()) == 3


def test_what_a_nat_backend_sends_to_the_virtual_mac_is_a_reply(
    balancer: Balancer,
) -> None:
    balancer.add_service(V4, mode=MODE_NAT)
    become_active(balancer, MAC)
    reply = Ether(src=ROUTER_MAC, dst=MAC) / V4.ip(V4.backends[0], V4.client)

    balancer.send(reply / TCP(sport=80, dport=5555, flags="SA"))

    assert "other_station" not in balancer.reasons()
