"""VLANs: whatever a frame comes with, it leaves with the tags of where it goes."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import NoPayload, Packet, Raw

from dataplane.records import MODE_DR, MODE_NAT, SERVICE_VLAN, Counter, Tag
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    LO,
    OUT,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
)
from tests.packet.families import V4, Family, checksummed

VLAN_MAC = "02:00:00:00:00:05"  # of the host's interface for VLAN 5
MODES = {"DR": MODE_DR, "NAT": MODE_NAT}


@dataclass(frozen=True)
class Vlan:
    """What the maps call it, and frames of it as they come in and as they should go out."""

    tags: tuple[Tag, ...]
    incoming: Packet  # with priorities and the bit that says who may be dropped first
    priorities: tuple[int, ...] = ()  # of the tags coming in

    def outgoing(self, came_by: "Vlan") -> Packet:
        """Return the tags of a frame that came by another VLAN."""
        packet: Packet = NoPayload()
        for place, tag in enumerate(self.tags):
            bits = came_by.priorities[place] if place < len(came_by.priorities) else 0
            kind = Dot1AD if tag.protocol == SERVICE_VLAN else Dot1Q
            header = kind(vlan=tag.id, prio=bits >> 1, dei=bits & 1)
            packet = header if isinstance(packet, NoPayload) else packet / header
        return packet


UNTAGGED = Vlan((), NoPayload())
FIVE = Vlan((Tag(5),), Dot1Q(vlan=5, prio=3), (0b0110,))
SIX = Vlan((Tag(6),), Dot1Q(vlan=6, prio=7, dei=1), (0b1111,))
SERVICE = Vlan((Tag(5, SERVICE_VLAN),), Dot1AD(vlan=5, prio=1), (0b0010,))
STACKED = Vlan(
    (Tag(7, SERVICE_VLAN), Tag(5)),
    Dot1AD(vlan=7, prio=2, dei=1) / Dot1Q(vlan=5, prio=4),
    (0b0101, 0b1000),
)
# Of no VLAN: IEEE 802.1Q, 9.6. It tells a priority.
PRIORITY = Vlan((), Dot1Q(vlan=0, prio=5), (0b1010,))
VLANS = {
    "untagged": UNTAGGED,
    "802.1Q 5": FIVE,
    "802.1Q 6": SIX,
    "802.1ad 5": SERVICE,
    "802.1ad 7 with 5": STACKED,
}
COMING = pytest.mark.parametrize("coming", [*VLANS, "a priority"])
GOING = pytest.mark.parametrize("going", VLANS)


def vlan(name: str) -> Vlan:
    return VLANS.get(name, PRIORITY)


def frame(ethernet: Packet, tags: Packet, packet: Packet) -> bytes:
    """Return a frame with checksums, and bytes behind it that belong to nobody."""
    whole = ethernet / packet if isinstance(tags, NoPayload) else ethernet / tags / packet
    return checksummed(whole) + b"\0\0\0"


@pytest.fixture(scope="module")
def interfaces(_network: None) -> dict[str, int]:
    """Return the indices of interfaces that stand for the VLANs; the kernel routes by them.

    To the program an index is all that there is to an interface of a VLAN.
    """
    names = {one: f"vlan{number}" for number, one in enumerate(VLANS)}
    with IPRoute() as ip:
        for name in names.values():
            ip.link("add", ifname=name, kind="veth", peer=f"{name}peer")
            ip.link("set", ifname=name, state="up")
        return {one: ip.link_lookup(ifname=name)[0] for one, name in names.items()}


@pytest.fixture
def host(balancer: Balancer, interfaces: dict[str, int]) -> Balancer:
    """Return the program on a host with an interface for each of the VLANs."""
    for name, one in VLANS.items():
        if one.tags:
            address = VLAN_MAC if one is FIVE else BALANCER_MAC
            balancer.add_vlan(interfaces[name], *one.tags, address=address)
    return balancer


def to_us(to: str = BALANCER_MAC) -> Packet:
    return Ether(src=ROUTER_MAC, dst=to)


TO_BACKEND = Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
DATA = b"GET / HTTP/1.1"


@COMING
@GOING
@pytest.mark.parametrize("mode", MODES)
def test_a_packet_gets_the_tags_of_its_backends_vlan_and_keeps_priorities(
    host: Balancer, family: Family, mode: str, coming: str, going: str
) -> None:
    came, goes = vlan(coming), vlan(going)
    host.add_service(family, mode=MODES[mode], backend_port=8080, backend_tags=goes.tags)
    l4 = TCP(sport=5555, dport=80, flags="A") / DATA
    packet = family.ip(family.client, family.vip) / l4

    verdict, sent = host.send_bytes(frame(to_us(), came.incoming, packet))

    if mode == "NAT":
        l4 = TCP(sport=5555, dport=8080, flags="A") / DATA
        packet = family.ip(family.client, family.backends[0], ttl=63) / l4
    # Nothing changes about a frame that stays where it is.
    tags = came.incoming if came.tags == goes.tags else goes.outgoing(came)
    assert verdict is Verdict.TX
    assert sent == frame(TO_BACKEND, tags, packet)
    assert set(host.reasons()) == {f"forwarded_{mode.lower()}"}


@COMING
@GOING
def test_tags_are_those_of_the_other_interface_where_the_backend_is_behind_that(
    host: Balancer, family: Family, coming: str, going: str
) -> None:
    came, goes = vlan(coming), vlan(going)
    host.add_service(family, protocol=17, backend_ifindex=OUT, backend_tags=goes.tags)
    packet = family.ip(family.client, family.vip) / UDP(sport=1, dport=80) / DATA

    verdict, sent = host.send_bytes(frame(to_us(), came.incoming, packet))

    tags = came.incoming if came.tags == goes.tags else goes.outgoing(came)
    assert verdict is Verdict.REDIRECT
    assert sent == frame(Ether(src=OUT_MAC, dst=BACKEND_MACS[0]), tags, packet)


def from_backend(family: Family, came: Vlan, l4: Packet) -> bytes:
    ethernet = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
    packet = family.ip(family.backends[0], family.client) / l4
    return frame(ethernet, came.incoming, packet)


@COMING
@GOING
def test_a_reply_gets_the_tags_of_the_vlan_that_the_route_leads_to(
    host: Balancer, family: Family, coming: str, going: str
) -> None:
    came, goes = vlan(coming), vlan(going)
    host.add_service(family, mode=MODE_NAT, backend_port=8080, backend_tags=came.tags)
    if goes.tags:  # to the program, `out` is then an interface of a VLAN on `lo`
        host.add_vlan(OUT, *goes.tags, on=LO, address=OUT_MAC)

    verdict, sent = host.send_bytes(
        from_backend(family, came, TCP(sport=8080, dport=5555, flags="A") / DATA)
    )

    l4 = TCP(sport=80, dport=5555, flags="A") / DATA
    packet = family.ip(family.vip, family.client, ttl=63) / l4
    tags = came.incoming if came.tags == goes.tags else goes.outgoing(came)
    assert verdict is (Verdict.TX if goes.tags else Verdict.REDIRECT)
    assert sent == frame(Ether(src=OUT_MAC, dst=ROUTER_MAC), tags, packet)
    assert set(host.reasons()) == {"replied_nat"}


def test_the_kernel_is_asked_for_a_route_from_the_vlan_that_the_reply_came_by(
    host: Balancer, interfaces: dict[str, int], family: Family
) -> None:
    host.add_service(family, mode=MODE_NAT)
    forwarding = Path(
        f"/proc/sys/net/ipv{family.version}/conf/vlan{list(VLANS).index('802.1Q 5')}",
        "forwarding",
    )
    answer = TCP(sport=80, dport=5555)
    forwarding.write_text("0", encoding="ascii")

    verdicts = {
        name: host.send_bytes(from_backend(family, one, answer))[0]
        for name, one in VLANS.items()
    }

    forwarding.write_text("1", encoding="ascii")
    assert verdicts == {
        **dict.fromkeys(interfaces, Verdict.REDIRECT),
        "802.1Q 5": Verdict.PASS,
    }
    assert set(host.reasons()) == {"replied_by_host", "replied_nat"}


def echo(family: Family, *, reply: bool = False) -> Packet:
    if family.version == 4:
        return ICMP(type=0 if reply else 8, id=5, seq=9) / DATA
    return (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=5, seq=9, data=DATA)


@COMING
def test_pings_are_answered_with_the_tags_and_to_the_mac_that_they_came_with(
    host: Balancer, family: Family, coming: str
) -> None:
    came = vlan(coming)
    we = VLAN_MAC if came is FIVE else BALANCER_MAC
    host.add_service(family)
    asked = family.ip(family.client, family.vip) / echo(family)

    verdict, sent = host.send_bytes(frame(to_us(we), came.incoming, asked))

    answer = family.ip(family.vip, family.client) / echo(family, reply=True)
    assert verdict is Verdict.TX
    assert sent == frame(Ether(src=we, dst=ROUTER_MAC), came.incoming, answer)
    assert set(host.reasons()) == {"icmp_answered"}


def too_big(family: Family, quoted: Packet) -> Packet:
    if family.version == 4:
        return ICMP(type=3, code=4, nexthopmtu=1400) / Raw(bytes(quoted))
    return ICMPv6PacketTooBig(mtu=1400) / Raw(bytes(quoted))


def test_an_error_about_a_flow_gets_the_tags_of_its_backends_vlan(
    host: Balancer, family: Family
) -> None:
    host.add_service(family, backend_tags=SIX.tags)
    about = family.ip(family.vip, family.client) / TCP(sport=80, dport=5555)
    packet = family.ip(family.router, family.vip) / too_big(family, about)

    verdict, sent = host.send_bytes(frame(to_us(), FIVE.incoming, packet))

    assert verdict is Verdict.TX
    assert sent == frame(TO_BACKEND, SIX.outgoing(FIVE), packet)
    assert set(host.reasons()) == {"icmp_forwarded"}


def test_an_error_of_a_backend_gets_the_tags_of_the_clients_vlan(
    host: Balancer, family: Family
) -> None:
    host.add_service(family, mode=MODE_NAT, backend_tags=SIX.tags)
    host.add_vlan(OUT, *FIVE.tags, on=LO, address=OUT_MAC)
    about = family.ip(family.client, family.backends[0]) / TCP(sport=5555, dport=80)
    packet = family.ip(family.router, family.client) / too_big(family, about)

    verdict, sent = host.send_bytes(frame(to_us(), SIX.incoming, packet))

    about = family.ip(family.client, family.vip) / TCP(sport=5555, dport=80)
    wanted = family.ip(family.router, family.client, ttl=63) / too_big(family, about)
    ethernet = Ether(src=OUT_MAC, dst=ROUTER_MAC)
    assert verdict is Verdict.TX
    assert sent == frame(ethernet, FIVE.outgoing(SIX), wanted)
    assert set(host.reasons()) == {"icmp_replied"}


@pytest.mark.usefixtures("fragments")
def test_later_fragments_get_the_tags_of_the_first_ones_backend(
    host: Balancer, family: Family
) -> None:
    host.add_service(family, port=53, protocol=17, backend_tags=SIX.tags)
    whole = bytes(UDP(sport=999, dport=53, len=2008) / (b"x" * 2000))
    pieces = [piece(family, whole[:1000], 0, more=True), piece(family, whole[1000:], 125)]

    sent = [host.send_bytes(frame(to_us(), FIVE.incoming, each)) for each in pieces]

    assert sent == [
        (Verdict.TX, frame(TO_BACKEND, SIX.outgoing(FIVE), each)) for each in pieces
    ]


def piece(family: Family, data: bytes, offset: int, *, more: bool = False) -> Packet:
    """Return a fragment; ``offset`` counts units of 8 bytes."""
    if family.version == 4:
        flags = "MF" if more else 0
        header = family.ip(family.client, family.vip, frag=offset, flags=flags, proto=17)
        return header / Raw(data)
    fragment = bytes([17, 0]) + (offset << 3 | more).to_bytes(2, "big") + b"\0\0\0\7"
    return family.ip(family.client, family.vip, nh=44) / Raw(fragment + data)


SYN = TCP(sport=5555, dport=80, flags="S")


@pytest.mark.parametrize("coming", ["802.1Q 5", "802.1ad 7 with 5"])
def test_a_vlan_without_an_interface_of_the_host_is_not_left_for_another(
    balancer: Balancer, family: Family, coming: str
) -> None:
    balancer.add_service(family)
    packet = frame(
        to_us(), vlan(coming).incoming, family.ip(family.client, family.vip) / SYN
    )

    verdict, _ = balancer.send_bytes(packet)

    assert verdict is Verdict.DROP
    assert balancer.reasons() == {"foreign_vlan": Counter(1, len(packet), 1)}


@pytest.mark.parametrize("coming", ["802.1Q 5", "802.1ad 7 with 5"])
def test_a_vlan_needs_no_interface_of_the_host_for_packets_that_stay_in_it(
    balancer: Balancer, family: Family, coming: str
) -> None:
    came = vlan(coming)
    balancer.add_service(family, backend_tags=came.tags)
    packet = family.ip(family.client, family.vip) / SYN

    sent = balancer.send_bytes(frame(to_us(), came.incoming, packet))

    assert sent == (Verdict.TX, frame(TO_BACKEND, came.incoming, packet))


def test_the_mac_of_a_vlans_interface_is_ours_in_that_vlan_only(
    host: Balancer, family: Family
) -> None:
    host.add_service(family, backend_tags=SIX.tags)
    packet = family.ip(family.client, family.vip) / SYN

    verdicts = {
        name: host.send_bytes(frame(to_us(VLAN_MAC), one.incoming, packet))[0]
        for name, one in VLANS.items()
    }

    assert verdicts == {**dict.fromkeys(VLANS, Verdict.PASS), "802.1Q 5": Verdict.TX}
    assert set(host.reasons()) == {"other_station", "forwarded_dr"}


def test_what_the_frame_was_before_is_what_is_counted(host: Balancer) -> None:
    host.add_service(backend_tags=STACKED.tags)
    packet = frame(to_us(), UNTAGGED.incoming, V4.ip(V4.client, V4.vip) / SYN)

    _, sent = host.send_bytes(packet)

    assert len(sent) == len(packet) + 8
    assert host.reasons() == {"forwarded_dr": Counter(1, len(packet), 1)}


def test_where_the_driver_leaves_no_room_for_a_tag_the_packet_is_dropped(
    host: Balancer, family: Family
) -> None:
    host.add_service(family, backend_tags=FIVE.tags)
    host.add_service(family, port=81, backend_tags=SIX.tags)
    packet = family.ip(family.client, family.vip) / SYN
    more = family.ip(family.client, family.vip) / TCP(sport=5555, dport=81)
    pushed = host.send_without_room(frame(to_us(), UNTAGGED.incoming, packet))
    replaced = host.send_without_room(frame(to_us(), FIVE.incoming, more))

    assert (pushed, replaced) == (Verdict.DROP, Verdict.TX)
    assert set(host.reasons()) == {"no_headroom", "forwarded_dr"}
