"""ICMP and ICMPv6 to a VIP, and errors about translated packets."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from dataplane.records import MODE_DR, MODE_NAT
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
)
from tests.packet.families import V4, V6, Family, checksummed

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
FROM_BACKEND = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
TO_BACKEND = Ether(src=BALANCER_MAC, dst=BACKEND_MACS[0])
TO_CLIENT = Ether(src=OUT_MAC, dst=ROUTER_MAC)

ERRORS = {
    "destination unreachable": (ICMP(type=3, code=1), ICMPv6DestUnreach(code=3)),
    "fragmentation needed, packet too big": (
        ICMP(type=3, code=4, nexthopmtu=1400),
        ICMPv6PacketTooBig(mtu=1400),
    ),
    "time exceeded": (ICMP(type=11, code=0), ICMPv6TimeExceeded(code=0)),
}
KINDS = [(V4, kind) for kind in ERRORS] + [(V6, kind) for kind in ERRORS]
FAMILIES_AND_KINDS = pytest.mark.parametrize(
    ("family", "kind"), KINDS, ids=[f"IPv{f.version}-{kind}" for f, kind in KINDS]
)
L4 = {"TCP": TCP, "UDP": UDP}


def error(family: Family, kind: str, quoted: bytes) -> Packet:
    return ERRORS[kind][0 if family.version == 4 else 1] / Raw(quoted)


def echo(family: Family, *, reply: bool = False) -> Packet:
    if family.version == 4:
        return ICMP(type=0 if reply else 8, id=5, seq=9) / b"are you there?"
    kind = ICMPv6EchoReply if reply else ICMPv6EchoRequest
    return kind(id=5, seq=9, data=b"are you there?")


def quoted(family: Family, source: str, dest: str, l4: Packet, size: int) -> bytes:
    """Return a packet's header and ``size`` bytes behind it, as an error quotes it."""
    header = family.ip(source, dest, ttl=50)
    return bytes(header / l4 / (b"x" * 64))[: len(header) + size]


@pytest.mark.parametrize("tags", [None, Dot1Q(vlan=5)], ids=["plain", "tagged"])
def test_an_echo_request_to_a_vip_is_answered(
    balancer: Balancer, family: Family, tags: Packet | None
) -> None:
    balancer.add_service(family)
    front = TO_US / tags if tags else TO_US
    back = Ether(src=BALANCER_MAC, dst=ROUTER_MAC)
    back = back / tags if tags else back
    ping = front / family.ip(family.client, family.vip, ttl=3) / echo(family)

    verdict, sent = balancer.send_bytes(bytes(ping))

    pong = back / family.ip(family.vip, family.client, ttl=64) / echo(family, reply=True)
    assert verdict is Verdict.TX
    assert sent == checksummed(pong)
    assert set(balancer.reasons()) == {"icmp_answered"}


@pytest.mark.parametrize("to", ["other", "own"])
def test_an_echo_request_to_another_address_is_the_hosts(
    balancer: Balancer, family: Family, to: str
) -> None:
    balancer.add_service(family)
    ping = TO_US / family.ip(family.client, getattr(family, to)) / echo(family)

    assert balancer.send_bytes(bytes(ping)) == (Verdict.PASS, bytes(ping))
    assert set(balancer.reasons()) == {"not_ours"}


def test_an_echo_request_for_another_station_is_left_alone(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)
    flooded = Ether(dst="02:00:00:00:00:99") / family.ip(family.client, family.vip)

    verdict, _ = balancer.send(flooded / echo(family))

    assert verdict is Verdict.PASS
    assert set(balancer.reasons()) == {"other_station"}


def test_other_icmp_to_a_vip_is_the_hosts(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family)
    other = ICMP(type=13) if family.version == 4 else ICMPv6ParamProblem()
    packet = TO_US / family.ip(family.client, family.vip) / other

    assert balancer.send_bytes(bytes(packet)) == (Verdict.PASS, bytes(packet))
    assert set(balancer.reasons()) == {"icmp_passed"}


@pytest.mark.parametrize("size", [8, 20, 84])
@pytest.mark.parametrize("l4", L4)
@FAMILIES_AND_KINDS
def test_an_error_goes_to_the_backend_of_the_flow_quoted_inside(
    balancer: Balancer, family: Family, kind: str, l4: str, size: int
) -> None:
    protocol = 6 if l4 == "TCP" else 17
    balancer.add_service(family, protocol=protocol, backends=8, ring_size=1021)
    flow = L4[l4](sport=5555, dport=80)
    packet = TO_US / family.ip(family.client, family.vip) / flow
    home = balancer.send(packet)[1].dst
    answer = quoted(family, family.vip, family.client, L4[l4](sport=80, dport=5555), size)
    report = (
        TO_US / family.ip(family.router, family.vip, ttl=1) / error(family, kind, answer)
    )

    verdict, sent = balancer.send(report)

    assert verdict is Verdict.TX
    assert (sent.src, sent.dst) == (BALANCER_MAC, home)
    assert bytes(sent.payload) == bytes(report.payload)
    assert balancer.reasons()["icmp_forwarded"].packets == 1


@pytest.mark.parametrize("size", [8, 20, 84])
@pytest.mark.parametrize("l4", L4)
@FAMILIES_AND_KINDS
def test_nat_translates_the_quoted_header_too(
    balancer: Balancer, family: Family, kind: str, l4: str, size: int
) -> None:
    protocol = 6 if l4 == "TCP" else 17
    balancer.add_service(family, protocol=protocol, mode=MODE_NAT, backend_port=8080)
    seen = quoted(family, family.vip, family.client, L4[l4](sport=80, dport=5555), size)
    report = TO_US / family.ip(family.router, family.vip) / error(family, kind, seen)

    verdict, sent = balancer.send_bytes(bytes(report))

    backend = family.backends[0]
    meant = quoted(family, backend, family.client, L4[l4](sport=8080, dport=5555), size)
    wanted = TO_BACKEND / family.ip(family.router, backend, ttl=63)
    assert verdict is Verdict.TX
    assert sent == checksummed(wanted / error(family, kind, meant))


@pytest.mark.parametrize("sender", ["backend", "router"])
@pytest.mark.parametrize("l4", L4)
@FAMILIES_AND_KINDS
def test_an_error_about_a_packet_that_we_forwarded_goes_back_to_the_client(
    balancer: Balancer, family: Family, kind: str, l4: str, sender: str
) -> None:
    protocol = 6 if l4 == "TCP" else 17
    balancer.add_service(family, protocol=protocol, mode=MODE_NAT, backend_port=8080)
    backend = family.backends[0]
    source = backend if sender == "backend" else family.router
    seen = quoted(family, family.client, backend, L4[l4](sport=5555, dport=8080), 20)
    report = FROM_BACKEND / family.ip(source, family.client) / error(family, kind, seen)

    verdict, sent = balancer.send_bytes(bytes(report))

    shown = family.vip if sender == "backend" else family.router
    meant = quoted(family, family.client, family.vip, L4[l4](sport=5555, dport=80), 20)
    wanted = TO_CLIENT / family.ip(shown, family.client, ttl=63)
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(wanted / error(family, kind, meant))
    assert set(balancer.reasons()) == {"icmp_replied"}


@pytest.mark.parametrize("mode", [MODE_DR, MODE_NAT], ids=["DR", "NAT"])
def test_an_error_about_a_packet_of_no_service_is_the_hosts(
    balancer: Balancer, family: Family, mode: int
) -> None:
    balancer.add_service(family, mode=mode)
    of_the_host = quoted(family, family.vip, family.client, TCP(sport=22, dport=5), 20)
    report = (
        TO_US
        / family.ip(family.router, family.vip)
        / error(family, "time exceeded", of_the_host)
    )

    assert balancer.send_bytes(bytes(report)) == (Verdict.PASS, bytes(report))
    assert set(balancer.reasons()) == {"icmp_passed"}


def test_an_error_that_quotes_another_source_is_not_believed(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family)
    foreign = quoted(family, family.other, family.client, TCP(sport=80, dport=5), 20)
    report = (
        TO_US
        / family.ip(family.router, family.vip)
        / error(family, "time exceeded", foreign)
    )

    assert balancer.send(report)[0] is Verdict.PASS


def test_errors_cut_short_anywhere_are_passed_or_dropped_untouched(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    seen = quoted(family, family.vip, family.client, TCP(sport=80, dport=5), 7)
    header = family.ip(family.router, family.vip)
    for length in range(len(seen) + 1):
        report = TO_US / header / error(family, "time exceeded", seen[:length])

        assert balancer.send_bytes(bytes(report)) == (Verdict.PASS, bytes(report))
    whole = bytes(report)
    for length in range(14, len(whole)):
        verdict, sent = balancer.send_bytes(whole[:length])

        named = 14 + len(header)
        assert verdict is (Verdict.DROP if length >= named else Verdict.PASS)
        assert sent == whole[:length]


def test_a_ping_in_fragments_is_the_hosts(balancer: Balancer) -> None:
    balancer.add_service()
    first = TO_US / V4.ip(V4.client, V4.vip, flags="MF") / echo(V4)
    later = TO_US / V4.ip(V4.client, V4.vip, frag=3, proto=1) / b"more"

    for piece in (first, later):
        assert balancer.send_bytes(bytes(piece)) == (Verdict.PASS, bytes(piece))


def test_an_error_at_the_end_of_its_ttl_is_dropped_by_nat(balancer: Balancer) -> None:
    balancer.add_service(mode=MODE_NAT)
    seen = quoted(V4, V4.vip, V4.client, TCP(sport=80, dport=5), 20)
    report = TO_US / IP(src=V4.router, dst=V4.vip, ttl=1) / error(V4, "time exceeded", seen)

    assert balancer.send(report)[0] is Verdict.DROP
    assert set(balancer.reasons()) == {"ttl_exceeded"}


STRANGE_SOURCES = [
    *((V4, source) for source in ("0.0.0.0", "127.0.0.1", "224.0.0.1", V4.vip)),
    *((V6, source) for source in ("::", "::1", "ff02::1", V6.vip)),
]


@pytest.mark.parametrize(("of", "source"), STRANGE_SOURCES)
def test_an_echo_request_from_an_address_that_no_client_has_is_a_martian(
    balancer: Balancer, of: Family, source: str
) -> None:
    balancer.add_service(of)

    assert balancer.send(TO_US / of.ip(source, of.vip) / echo(of))[0] is Verdict.DROP
    assert set(balancer.reasons()) == {"martian"}


@pytest.mark.parametrize(("of", "source"), STRANGE_SOURCES)
def test_an_error_from_an_address_that_no_router_has_is_a_martian(
    balancer: Balancer, of: Family, source: str
) -> None:
    balancer.add_service(of, mode=MODE_NAT)
    seen = quoted(of, of.vip, of.client, TCP(sport=80, dport=5), 20)
    report = TO_US / of.ip(source, of.vip) / error(of, "time exceeded", seen)

    assert balancer.send(report)[0] is Verdict.DROP
    assert set(balancer.reasons()) == {"martian"}


@pytest.mark.parametrize(("of", "source"), STRANGE_SOURCES)
def test_an_error_about_a_translated_packet_from_such_an_address_is_a_martian(
    balancer: Balancer, of: Family, source: str
) -> None:
    balancer.add_service(of, mode=MODE_NAT)
    seen = quoted(of, of.client, of.backends[0], TCP(sport=5, dport=80), 20)
    report = FROM_BACKEND / of.ip(source, of.client) / error(of, "time exceeded", seen)

    assert balancer.send(report)[0] is Verdict.DROP
    assert set(balancer.reasons()) == {"martian"}


@pytest.mark.parametrize("size", range(0, 28, 4))
def test_what_stands_behind_the_end_of_an_error_is_not_taken_for_a_quote(
    balancer: Balancer, family: Family, size: int
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    seen = quoted(family, family.vip, family.client, TCP(sport=80, dport=5), 20)
    header = family.ip(family.router, family.vip)
    short = TO_US / header / error(family, "time exceeded", seen[:size])
    padded = bytes(short) + seen[size:]

    assert balancer.send_bytes(padded) == (Verdict.PASS, padded)
    assert set(balancer.reasons()) == {"icmp_passed"}


def test_half_a_quoted_tcp_header_is_not_made_whole_by_padding(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, backend_port=8080)
    seen = quoted(family, family.vip, family.client, TCP(sport=80, dport=5555), 8)
    report = error(family, "time exceeded", seen)
    whole = TO_US / family.ip(family.router, family.vip) / report

    _, sent = balancer.send_bytes(bytes(whole) + b"padding of the frame")

    backend = family.backends[0]
    meant = quoted(family, backend, family.client, TCP(sport=8080, dport=5555), 8)
    wanted = TO_BACKEND / family.ip(family.router, backend, ttl=63)
    wanted = checksummed(wanted / error(family, "time exceeded", meant))
    assert sent == wanted + b"padding of the frame"


def test_a_quoted_udp_checksum_that_becomes_zero_is_shown_as_all_ones(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT, port=53, protocol=17)
    backend = family.backends[0]
    blank = family.ip(backend, family.client) / UDP(sport=53, dport=999) / b"\0\0"
    # A word equal to the checksum makes the sum all ones, and its complement zero.
    word = type(blank)(bytes(blank))[UDP].chksum.to_bytes(2, "big")

    def quoted_from(source: str) -> bytes:
        header = family.ip(source, family.client, ttl=50)
        return bytes(header / UDP(sport=53, dport=999) / word)[:-2]

    report = error(family, "time exceeded", quoted_from(family.vip))

    _, sent = balancer.send_bytes(
        bytes(TO_US / family.ip(family.router, family.vip) / report)
    )

    wanted = TO_BACKEND / family.ip(family.router, backend, ttl=63)
    assert sent[-2:] == b"\xff\xff"
    assert sent == checksummed(
        wanted / error(family, "time exceeded", quoted_from(backend))
    )


def test_an_error_that_quotes_an_ipv4_mapped_address_is_the_hosts(
    balancer: Balancer,
) -> None:
    balancer.add_service(V4, mode=MODE_NAT)
    seen = quoted(V6, V6.client, f"::ffff:{V4.backends[0]}", TCP(sport=5, dport=80), 20)
    report = TO_US / V6.ip(V6.router, V6.client) / error(V6, "time exceeded", seen)

    assert balancer.send_bytes(bytes(report)) == (Verdict.PASS, bytes(report))
    assert set(balancer.reasons()) == {"not_ours"}


PADDING = [PadN(optdata=b"\0" * 4)]
# What may stand between a quoted packet's IP header and its layer 4.
BETWEEN = {
    "options of IPv4": (V4, {"options": [IPOption_NOP()] * 4}, ()),
    "all options of IPv4": (V4, {"options": [IPOption_NOP()] * 40}, ()),
    "a first fragment of IPv4": (V4, {"flags": "MF"}, ()),
    "hop-by-hop": (V6, {}, (IPv6ExtHdrHopByHop(options=PADDING),)),
    "routing": (V6, {}, (IPv6ExtHdrRouting(addresses=[V6.other], segleft=0),)),
    "destination options": (V6, {}, (IPv6ExtHdrDestOpt(options=PADDING),)),
    "a first fragment of IPv6": (V6, {}, (IPv6ExtHdrFragment(id=7, m=1),)),
    "four headers": (
        V6,
        {},
        (
            IPv6ExtHdrHopByHop(options=PADDING),
            IPv6ExtHdrDestOpt(options=PADDING),
            IPv6ExtHdrRouting(addresses=[V6.other], segleft=0),
            IPv6ExtHdrFragment(id=7, m=1),
        ),
    ),
}
EACH_BETWEEN = pytest.mark.parametrize("between", BETWEEN)


def quoted_behind(between: str, source: str, dest: str, l4: Packet, size: int) -> bytes:
    """Return a packet as an error quotes it, with headers between IP's and layer 4."""
    of, fields, headers = BETWEEN[between]
    packet = of.ip(source, dest, ttl=50, **fields)
    for header in headers:
        packet /= header.copy()
    before = len(packet)
    return bytes(packet / l4 / (b"x" * 64))[: before + size]


@pytest.mark.parametrize("size", [8, 20, 84])
@pytest.mark.parametrize("l4", L4)
@EACH_BETWEEN
def test_an_error_is_steered_and_translated_whatever_headers_the_quoted_packet_has(
    balancer: Balancer, between: str, l4: str, size: int
) -> None:
    of = BETWEEN[between][0]
    protocol = 6 if l4 == "TCP" else 17
    balancer.add_service(of, protocol=protocol, mode=MODE_NAT, backend_port=8080)
    backend = of.backends[0]

    def report(source: str, port: int) -> Packet:
        flow = L4[l4](sport=port, dport=5555)
        return error(
            of, "time exceeded", quoted_behind(between, source, of.client, flow, size)
        )

    _, sent = balancer.send_bytes(
        bytes(TO_US / of.ip(of.router, of.vip) / report(of.vip, 80))
    )

    wanted = TO_BACKEND / of.ip(of.router, backend, ttl=63) / report(backend, 8080)
    assert sent == checksummed(wanted)
    assert set(balancer.reasons()) == {"icmp_forwarded"}


@EACH_BETWEEN
def test_dr_steers_such_an_error_to_the_backend_of_the_flow(
    balancer: Balancer, between: str
) -> None:
    of = BETWEEN[between][0]
    balancer.add_service(of, backends=8, ring_size=1021)
    flow = TO_US / of.ip(of.client, of.vip) / TCP(sport=5555, dport=80)
    home = balancer.send(flow)[1].dst
    seen = quoted_behind(between, of.vip, of.client, TCP(sport=80, dport=5555), 8)
    report = TO_US / of.ip(of.router, of.vip, ttl=1) / error(of, "time exceeded", seen)

    verdict, sent = balancer.send_bytes(bytes(report))

    meant = bytes(Ether(src=BALANCER_MAC, dst=home) / report.payload)
    assert (verdict, sent) == (Verdict.TX, meant)


@EACH_BETWEEN
def test_such_an_error_about_a_packet_that_we_forwarded_goes_back_to_the_client(
    balancer: Balancer, between: str
) -> None:
    of = BETWEEN[between][0]
    balancer.add_service(of, mode=MODE_NAT, backend_port=8080)

    def report(dest: str, port: int) -> Packet:
        flow = TCP(sport=5555, dport=port)
        return error(of, "time exceeded", quoted_behind(between, of.client, dest, flow, 20))

    about = FROM_BACKEND / of.ip(of.router, of.client) / report(of.backends[0], 8080)
    verdict, sent = balancer.send_bytes(bytes(about))

    wanted = TO_CLIENT / of.ip(of.router, of.client, ttl=63) / report(of.vip, 80)
    assert verdict is Verdict.REDIRECT
    assert sent == checksummed(wanted)


@EACH_BETWEEN
def test_an_error_that_ends_within_the_headers_of_what_it_quotes_is_the_hosts(
    balancer: Balancer, between: str
) -> None:
    of = BETWEEN[between][0]
    balancer.add_service(of, mode=MODE_NAT)
    flow = TCP(sport=80, dport=5555)
    seen = quoted_behind(between, of.vip, of.client, flow, 7)
    for length in range(len(seen) + 1):
        kind = error(of, "time exceeded", seen[:length])
        report = TO_US / of.ip(of.router, of.vip) / kind

        assert balancer.send_bytes(bytes(report)) == (Verdict.PASS, bytes(report))

    assert set(balancer.reasons()) == {"icmp_passed"}


@pytest.mark.parametrize(
    ("of", "fields", "headers"),
    [
        pytest.param(V4, {"frag": 3}, (), id="a later fragment of IPv4"),
        pytest.param(
            V6, {}, (IPv6ExtHdrFragment(offset=3),), id="a later fragment of IPv6"
        ),
        pytest.param(V6, {}, (IPv6ExtHdrDestOpt(options=PADDING),) * 5, id="five headers"),
    ],
)
def test_an_error_that_quotes_no_ports_is_the_hosts(
    balancer: Balancer, of: Family, fields: dict[str, int], headers: tuple[Packet, ...]
) -> None:
    balancer.add_service(of)
    seen = of.ip(of.vip, of.client, **fields)
    for header in headers:
        seen /= header.copy()
    seen = bytes(seen / TCP(sport=80, dport=5555))
    report = TO_US / of.ip(of.router, of.vip) / error(of, "time exceeded", seen)

    assert balancer.send_bytes(bytes(report)) == (Verdict.PASS, bytes(report))
    assert set(balancer.reasons()) == {"icmp_passed"}
