"""Packets for the world of ``world.py``: valid ones, spoilt ones and noise, in sequences.

A sequence is a list of steps: a packet, or seconds that pass. Its packets belong to very
few flows and datagrams, so that what is remembered of one matters to the next.

What Hypothesis draws is a tape of bytes, and here is how it is read: to draw a tape is
twenty times as fast as to draw everything by itself, and shrinks as well, since zeros mean
the plainest of all things and each step has a part of the tape for itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from itertools import pairwise, product
from random import Random
from typing import Any

from hypothesis import strategies as st
from scapy.layers.inet import GRE, ICMP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from dataplane.records import MODE_NAT
from tests.packet.balancer import BALANCER_MAC, ROUTER_MAC
from tests.packet.families import V4, V6, Family
from tests.packet.world import EVERY_PORT, MTU, PORTS, SECOND_VIP, VLAN_MAC

Steps = tuple[bytes | int, ...]  # packets, and seconds that pass

L4 = {6: TCP, 17: UDP}
TAGS = {
    "none": (),
    "one": (Dot1Q(vlan=5, prio=3),),
    "two": (Dot1AD(vlan=7), Dot1Q(vlan=5, prio=6, dei=1)),
    "priority": (Dot1Q(vlan=0, prio=5),),
    "foreign": (Dot1Q(vlan=9),),
    "inner": (Dot1Q(vlan=0), Dot1Q(vlan=5)),
    "three": (Dot1AD(vlan=7), Dot1Q(vlan=5), Dot1Q(vlan=6)),
}
PADDING = [PadN(optdata=b"\0" * 4)]
EXTENSIONS = {
    "options": IPv6ExtHdrDestOpt(options=PADDING),
    "hops": IPv6ExtHdrHopByHop(options=PADDING),
    "routing": IPv6ExtHdrRouting(addresses=[V6.other]),
    "atomic": IPv6ExtHdrFragment(id=3),
}
STRANGE = {
    "zero": ("0.1.2.3", "::"),
    "loopback": ("127.0.0.1", "::1"),
    "multicast": ("224.0.0.1", "ff02::1"),
    "broadcast": ("255.255.255.255", "ff02::2"),
    "mapped": (V4.backends[0], f"::ffff:{V4.backends[0]}"),
    "second VIP": tuple(SECOND_VIP.values()),
}
STRANGE_SOURCES = ("vip", *STRANGE)
ICMP_KINDS = {
    4: {
        "ping": ICMP(type=8, id=5, seq=9),
        "pong": ICMP(type=0, id=5, seq=9),
        "unreachable": ICMP(type=3, code=1),
        "too big": ICMP(type=3, code=4, nexthopmtu=1400),
        "time exceeded": ICMP(type=11),
        "other": ICMP(type=13),
    },
    6: {
        "ping": ICMPv6EchoRequest(id=5, seq=9),
        "pong": ICMPv6EchoReply(id=5, seq=9),
        "unreachable": ICMPv6DestUnreach(code=3),
        "too big": ICMPv6PacketTooBig(mtu=1400),
        "time exceeded": ICMPv6TimeExceeded(),
        "other": ICMPv6ParamProblem(),
        "neighbour": ICMPv6ND_NS(tgt=V6.vip),
    },
}
ERRORS = ("unreachable", "too big", "time exceeded")


@dataclass(frozen=True)
class Flow:
    """A client's connection to a service, and the backend that may be serving it."""

    family: Family
    protocol: int
    client: str
    client_port: int
    vip: str
    port: int
    backend: str
    backend_port: int
    is_nat: bool


def _flows() -> Iterator[Flow]:
    for family, protocol, (at, sort) in product((V4, V6), L4, PORTS.items()):
        backend = family.backends[sort.backends[0] if sort.backends else 0]
        there = (backend, sort.backend_port or at, sort.mode == MODE_NAT)
        usual = [family.client] * 12 + [backend] * 5 + [family.own] * 5
        strangers = (str(ip_address(family.stranger) + number) for number in range(20))
        for client in (*usual, *strangers):
            yield Flow(family, protocol, client, 5555, family.vip, at, *there)
            yield Flow(family, protocol, client, 5556, family.vip, at, *there)
        second_vip = SECOND_VIP[family.version]
        yield Flow(family, protocol, family.client, 5555, second_vip, at, *there)
        yield Flow(family, protocol, family.client, 5556, second_vip, at, *there)
        yield Flow(family, protocol, family.client, 5555, family.vip, 99, *there)
        for vips, every in EVERY_PORT[1:]:
            backend = family.backends[every.backends[0]]
            for its_port in (at, 8084):
                ends = (vips[family.version], its_port, backend, its_port)
                yield Flow(family, protocol, family.client, 5555, *ends, is_nat=True)


FLOWS = list(_flows())


@dataclass(frozen=True)
class Frame:
    """What surrounds a packet's payload."""

    to: str = BALANCER_MAC
    tags: str = "none"
    ttl: int = 64
    extensions: tuple[str, ...] = ()  # of IPv6; in IPv4, any stand for options
    piece: str = "whole"  # or "first", or "later", of several fragments
    datagram: int = 7

    def around(self, family: Family, source: str, dest: str, payload: Packet) -> bytes:
        headers = self.ipv4 if family.version == 4 else self.ipv6
        layers = headers(source, dest, protocol_of(family, payload))
        if self.piece == "later":  # the beginning was in another one
            payload = Raw(b"the rest of it")
        return front(self.to, self.tags, family) + bytes(joined(*layers, payload))

    def packet(
        self, family: Family, source: str, dest: str, protocol: int, l4: bytes
    ) -> bytes:
        """Return an IP packet, as an ICMP error quotes it."""
        headers = self.ipv4 if family.version == 4 else self.ipv6
        *_, last = layers = headers(source, dest, protocol)
        if family.version == 6:
            last.setfieldval("nh", protocol)
        return bytes(joined(*layers, Raw(l4)))

    def ipv4(self, source: str, dest: str, protocol: int) -> list[Packet]:
        header = V4.ip(
            source,
            dest,
            ttl=self.ttl,
            id=self.datagram,
            flags="MF" if self.piece == "first" else 0,
            frag=20 if self.piece == "later" else 0,
            options=[IPOption_NOP()] * 4 if self.extensions else [],
            proto=protocol,
        )
        return [header]

    def ipv6(self, source: str, dest: str, protocol: int) -> list[Packet]:
        headers = [V6.ip(source, dest, ttl=self.ttl)]
        headers += [EXTENSIONS[name].copy() for name in self.extensions]
        if self.piece != "whole":
            offset, more = 20 if self.piece == "later" else 0, self.piece == "first"
            headers.append(
                IPv6ExtHdrFragment(id=self.datagram, m=more, offset=offset, nh=protocol)
            )
        return headers


@lru_cache
def front(to: str, tags: str, family: Family) -> bytes:
    """Return what comes before the IP header."""
    header = family.ip(family.client, family.vip)
    layers = [Ether(src=ROUTER_MAC, dst=to), *TAGS[tags], header]
    return bytes(joined(*(layer.copy() for layer in layers)))[: -len(header)]


def joined(*layers: Packet) -> Packet:
    """Return the first layer with all others in it; `/` would copy them, which is slow."""
    for outer, inner in pairwise(layers):
        outer.add_payload(inner)
    return layers[0]


def protocol_of(family: Family, payload: Packet) -> int:
    """Return the number of layer 4's protocol, which fragments do not show."""
    for layer, protocol in ((TCP, 6), (UDP, 17), (GRE, 47)):
        if isinstance(payload, layer):
            return protocol
    return 1 if family.version == 4 else 58


def segment(protocol: int, source: int, dest: int, flags: str, size: int) -> Packet:
    ports = {"sport": source, "dport": dest}
    if protocol == 6:
        header = TCP(**ports, flags=flags, seq="S" not in flags)  # the SYN is before it
    elif flags == "S":  # a UDP packet may do without a checksum
        header = UDP(**ports, chksum=0)
    else:
        header = UDP(**ports)
    return joined(header, Raw(b"x" * size))


def address(flow: Flow, name: str) -> str:
    """Return an address by its name in the flow, in the family or in ``STRANGE``."""
    if name in STRANGE:  # by family
        return STRANGE[name][flow.family.version == 6]
    return getattr(flow if hasattr(flow, name) else flow.family, name)


@lru_cache(maxsize=1 << 16)
def request(flow: Flow, frame: Frame, source: str, flags: str, size: int) -> bytes:
    """Return a packet of the flow to its service."""
    payload = segment(flow.protocol, flow.client_port, flow.port, flags, size)
    return frame.around(flow.family, address(flow, source), flow.vip, payload)


@lru_cache(maxsize=1 << 16)
def reply(flow: Flow, frame: Frame, flags: str, size: int) -> bytes:
    """Return what a NAT backend sends back by way of the balancer."""
    if not flow.is_nat:
        return request(flow, frame, "client", flags, size)
    payload = segment(flow.protocol, flow.backend_port, flow.client_port, flags, size)
    return frame.around(flow.family, flow.backend, flow.client, payload)


@lru_cache(maxsize=1 << 16)
def error(  # noqa: PLR0913, PLR0917
    flow: Flow, frame: Frame, kind: str, about: str, sender: str, inside: Frame, size: int
) -> bytes:
    """Return an ICMP error about the flow, with so much of layer 4 quoted.

    ``inside`` says what surrounded the packet that it quotes.
    """
    family = flow.family
    if about == "answer" or not flow.is_nat:
        ends = (flow.vip, flow.port, flow.client, flow.client_port)
    else:
        backend = address(flow, "mapped" if about == "mapped" else "backend")
        ends = (flow.client, flow.client_port, backend, flow.backend_port)
    l4 = bytes(segment(flow.protocol, ends[1], ends[3], "A", 64))
    bare = inside.packet(family, ends[0], ends[2], flow.protocol, b"")
    inner = inside.packet(family, ends[0], ends[2], flow.protocol, l4)
    payload = joined(
        ICMP_KINDS[family.version][kind].copy(), Raw(inner[: len(bare) + size])
    )
    return frame.around(family, address(flow, sender), ends[0], payload)


@lru_cache(maxsize=1 << 16)
def other(flow: Flow, frame: Frame, kind: str, source: str, dest: str) -> bytes:
    """Return something that is neither TCP nor UDP."""
    payload = ICMP_KINDS[flow.family.version].get(kind, GRE()).copy()
    ends = address(flow, source), address(flow, dest)
    return frame.around(flow.family, *ends, joined(payload, Raw(b"hello?")))


# Decks to draw from. They are weighted, shuffled once and for all, and begin with what is
# plain.
_shuffle = Random(1)


def often(usual: object, *others: object) -> object:
    """Return what is usual in four of five cases."""
    return _shuffle.choice(others) if _shuffle.random() < 1 / 5 else usual


def _frame() -> Frame:
    return Frame(
        to=often(BALANCER_MAC, "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:99", VLAN_MAC),
        tags=often("none", *TAGS),
        ttl=often(64, 1, 1, 2, 0, 255),
        extensions=often(
            (),
            ("options",),
            ("hops", "routing"),
            ("atomic",),
            ("hops", "routing", "options", "options"),
            ("options",) * 5,
        ),
        piece=often("whole", "first", "later", "later"),
        datagram=often(7, 8),
    )


def _wish() -> tuple[object, ...]:
    """Return what a packet should be, as arguments after flow and frame."""
    flags = often("A", "S", "S", "S", "SA", "R", "F", "SF", "FPU", "")
    size = often(5, 0, 64, MTU - 60, MTU)
    quoted = often(28, 8, 8, 20, 7, 0)
    about = _shuffle.choice(["answer", "answer", "request", "request", "mapped"])
    sender = often(_shuffle.choice(["router", "backend"]), *STRANGE_SOURCES)
    inside = _frame()
    kind = often("ping", *ICMP_KINDS[6], "no ICMP")
    return _shuffle.choice(
        [
            *[(request, "client", flags, size)] * 7,
            *[(reply, flags, size)] * 4,
            *[(error, _shuffle.choice(ERRORS), about, sender, inside, quoted)] * 7,
            (request, _shuffle.choice(STRANGE_SOURCES), flags, size),
            (other, kind, "client", often("vip", "vip", "other", "own")),
            (other, kind, _shuffle.choice(STRANGE_SOURCES), "vip"),
        ]
    )


FRAMES = [Frame(), *(_frame() for _ in range(2000))]
WISHES = [(request, "client", "A", 5), *(_wish() for _ in range(2000))]


STEP_BYTES = 16
TAPE_BYTES = 7 * STEP_BYTES
PAUSES = (20, 45)  # seconds; no sum of them is a limit of anything remembered
DAMAGES = (
    "flip",
    "byte",
    "word",
    "cut",
    "pad",
    "length",
    "length",
    "protocol",
    "splice",
    "noise",
)
PROTOCOLS = (0, 1, 6, 17, 43, 44, 47, 58, 60)
EDGES = (14, 18, 22, 34, 38, 42, 54, 58, 62, 82)  # where headers often end
HEADERS = 130  # bytes; what is behind them matters less


@dataclass(frozen=True)
class Damage:
    """A way to spoil a packet; the numbers say where and how, whatever its length is."""

    kind: str
    where: int
    what: int

    def done_to(self, packet: bytes, donor: bytes) -> bytes:
        spoilt = bytearray(packet)
        at = self.where % min(len(spoilt), HEADERS)
        match self.kind:
            case "flip":
                spoilt[at] ^= 1 << self.what % 8
            case "byte":
                spoilt[at] = self.what % 256
            case "word":
                at &= ~1
                spoilt[at : at + 2] = self.what.to_bytes(2, "big")
            case "cut":
                del spoilt[max(at, 14) :]
            case "pad":
                spoilt += bytes([self.what % 256]) * (1 + self.where % 40)
            case "length":
                tell_lies(spoilt, self.where, self.what)
            case "protocol":
                start = start_of(spoilt)
                is_ipv4 = spoilt[start : start + 1] < b"\x60"
                at = start + (9 if is_ipv4 else 6)
                spoilt[at : at + 1] = bytes([PROTOCOLS[self.what % len(PROTOCOLS)]])
            case "splice":
                here = EDGES[self.where % len(EDGES)]
                there = EDGES[self.what % len(EDGES)]
                spoilt[here:] = donor[there:]
            case "noise":
                here = EDGES[self.where % len(EDGES)]
                spoilt[here:] = Random(self.what).randbytes(self.what % 100)
        return bytes(spoilt).ljust(14, b"\0")


def start_of(packet: bytearray) -> int:
    """Return where the IP header is, if there is one."""
    start, tags = 14, (b"\x81\0", b"\x88\xa8")
    while start + 4 < len(packet) and packet[start - 2 : start] in tags:
        start += 4
    return start


def tell_lies(packet: bytearray, where: int, what: int) -> None:
    """Change one of the fields that say how long something is."""
    start = start_of(packet)
    version = packet[start] >> 4 if start < len(packet) else 0
    fields = {4: (0, 2, 6, 9), 6: (4, 6, 41, 42, 49)}.get(version, (0,))
    at = start + fields[where % len(fields)]
    if at + 2 > len(packet):
        return
    if at == start:
        packet[at] = (packet[at] & 0xF0) | what % 16  # ihl
    elif what % 2:  # a little more or less
        value = int.from_bytes(packet[at : at + 2], "big") + what // 2 % 64 - 32
        packet[at : at + 2] = (value % 65536).to_bytes(2, "big")
    else:
        packet[at] = what // 2 % 256


@dataclass
class Tape:
    """Numbers from bytes; zeros behind the end."""

    data: bytes
    at: int = 0

    def below(self, limit: int) -> int:
        self.at += 2
        return int.from_bytes(self.data[self.at - 2 : self.at], "big") % limit

    def of(self, deck: Sequence[Any]) -> Any:
        return deck[self.below(len(deck))]


def read_steps(tape: bytes, known: Sequence[Steps]) -> Steps:
    """Return a sequence out of nothing, or a known one of which something is damaged."""
    head = Tape(tape[:STEP_BYTES])
    rest = range(STEP_BYTES, len(tape), STEP_BYTES)
    parts = [Tape(tape[at : at + STEP_BYTES]) for at in rest]
    if known and head.below(4):
        return damaged(head.of(known), head.of(known), parts)
    flows = head.of(FLOWS), head.of(FLOWS)
    return tuple(step for part in parts for step in read_steps_of(part, flows))


def read_steps_of(part: Tape, flows: Sequence[Flow]) -> Iterator[bytes | int]:
    kind = part.below(16)
    if kind == 0:
        return
    pause = part.of(PAUSES)
    if kind == 1:
        yield pause
        return
    flow, frame, (build, *wish) = part.of(flows), part.of(FRAMES), part.of(WISHES)
    if kind == 2:
        yield build(flow, replace(frame, piece="first"), *wish)
        if part.below(2):
            yield pause
        yield build(flow, replace(frame, piece="later"), *wish)
        return
    packet = build(flow, frame, *wish)
    yield read_damage(part).done_to(packet, packet) if kind == 3 else packet


def damaged(sequence: Steps, other: Steps, parts: Sequence[Tape]) -> Steps:
    steps = list(sequence)
    donor = next(step for step in other if isinstance(step, bytes))
    for part in parts:
        at, kind = part.below(len(steps)), part.below(8)
        if kind == 1:
            steps.insert(at, part.of(PAUSES))
        elif kind == 2 and len(steps) < 2 * len(parts):
            steps.append(steps[at])
        elif kind in {3, 4} and isinstance(steps[at], bytes):
            steps[at] = read_damage(part).done_to(steps[at], donor)
    return tuple(steps)


def read_damage(part: Tape) -> Damage:
    return Damage(part.of(DAMAGES), part.below(2048), part.below(65536))


tapes = st.binary(min_size=TAPE_BYTES, max_size=TAPE_BYTES)
