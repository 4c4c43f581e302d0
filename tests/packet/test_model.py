"""The program and a model of it in Python agree on whatever comes in."""

from hypothesis import given, reject, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from dataplane.records import MODE_DR, MODE_NAT
from tests.packet.balancer import BALANCER_MAC, ROUTER_MAC, Balancer, Verdict
from tests.packet.families import V4, V6
from tests.packet.model import VLAN_MACS, Served, Unmodelled, expected

VLAN, STACKED = VLAN_MACS
SERVICES = [
    Served(family, protocol, port, nat_port, tags)
    for family in (V4, V6)
    for protocol in (6, 17)
    for port, nat_port, tags in (
        (80, None, ()),
        (81, 8080, ()),
        (83, None, VLAN),
        (84, 8080, STACKED),
        (85, None, STACKED),
    )
]
VERDICTS = {
    "forwarded_dr": Verdict.TX,
    "forwarded_nat": Verdict.TX,
    "not_ours": Verdict.PASS,
    "other_station": Verdict.PASS,
}
TAGS = [
    [],
    [Dot1Q(vlan=5, prio=3)],
    [Dot1AD(vlan=7), Dot1Q(vlan=5, prio=6, dei=1)],
    [Dot1Q(vlan=0, prio=5)],
    [Dot1Q(vlan=9)],
    [Dot1Q(vlan=0), Dot1Q(vlan=5)],
]
OPTIONS = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])


@st.composite
def packets(draw) -> bytes:
    """Draw a packet to a service or near it; spoil it now and then."""
    family = draw(st.sampled_from([V4, V6]))
    packet = Ether(
        src=ROUTER_MAC,
        dst=draw(st.sampled_from([BALANCER_MAC] * 3 + [VLAN_MACS[VLAN], "ff:" * 5 + "ff"])),
    )
    for tag in draw(st.sampled_from(TAGS)):
        packet = packet / tag
    source = draw(st.sampled_from([family.client, family.stranger, family.backends[0]]))
    dest = draw(st.sampled_from([family.vip] * 4 + [family.other]))
    packet = packet / family.ip(source, dest, ttl=draw(st.sampled_from([64, 2, 1, 0])))
    if family is V6:
        for extension in draw(
            st.lists(st.sampled_from([OPTIONS, IPv6ExtHdrFragment(id=3)]), max_size=5)
        ):
            packet = packet / extension
    l4 = draw(st.sampled_from([TCP, UDP]))
    port = draw(st.sampled_from([80, 81, 82, 83, 84, 85]))
    whole = bytearray(
        bytes(
            packet
            / l4(sport=draw(st.integers(0, 65535)), dport=port)
            / draw(st.binary(max_size=30))
        )
    )
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        whole[draw(st.integers(0, len(whole) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        return bytes(whole)
    return bytes(whole[: draw(st.integers(14, len(whole)))]) + draw(st.binary(max_size=8))


@given(packet=packets() | st.binary(min_size=14, max_size=120))
@settings(max_examples=3000, deadline=None)
def check(balancer: Balancer, packet: bytes) -> None:
    try:
        reason, bytes_after = expected(packet, SERVICES)
    except Unmodelled:
        reject()
    balancer.start()

    verdict, sent = balancer.send_bytes(packet)

    (counted,) = balancer.reasons().items()
    assert (counted[0], sent) == (reason, bytes_after)
    assert verdict is VERDICTS.get(reason, Verdict.DROP)
    assert (counted[1].packets, counted[1].bytes) == (1, len(packet))


def test_the_program_does_what_the_model_says(balancer: Balancer) -> None:
    for number, (tags, address) in enumerate(VLAN_MACS.items()):
        balancer.add_vlan(100 + number, *tags, address=address)
    for served in SERVICES:
        balancer.add_service(
            served.family,
            port=served.port,
            protocol=served.protocol,
            mode=MODE_DR if served.nat_port is None else MODE_NAT,
            backend_port=served.nat_port,
            backend_tags=served.tags,
        )

    check(balancer)
