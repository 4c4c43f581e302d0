"""What the program should do with packets, said once more in Python: slow and plain.

It knows what the maps hold (an :class:`Image`), what it remembers of earlier packets, and
no time but what it is told. Of each packet it says why that leaves the program, what its
bytes are then, and for whom it counts. It is written from the rules, not from the C.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple

from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.image import Image
from dataplane.records import (
    AFFINITY_ALWAYS,
    HASH_SOURCE,
    MODE_NAT,
    Backend,
    Port,
    Return,
    Segment,
    Service,
    Tag,
)
from tests.packet.balancer import Verdict
from tests.packet.dissect import (
    EXTENSIONS,
    ICMP_OF,
    L4_BYTES,
    TCP,
    UDP,
    Checksum,
    Datagram,
    MalformedError,
    Packet,
    find_packet,
    is_mapped,
    mapped,
    parse_headers,
    parse_quote,
    port,
    rewrite,
)

FRAGMENT_SECONDS = 30
REPLY_SECONDS = 900
ECHO_TTL = 64
BROADCAST = b"\xff" * 6
HANDSHAKES = 8192  # that are known at a time
FIN, SYN, RST, ACK = 1, 2, 4, 16

ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
ERRORS = {4: {3, 11}, 6: {1, 2, 3}}  # unreachable, too big, time exceeded

PASSED = {
    "not_ours",
    "replied_by_host",
    "reply_direct",
    "reply_unknown",
    "icmp_passed",
    "other_station",
}


Traces = list[Callable[[], None]]  # what a packet leaves behind if it gets out


class NextHop(NamedTuple):
    """The way to an address, as the host's routes and neighbours have it."""

    ifindex: int
    mac: bytes
    source_mac: bytes
    mtu: int


class Endpoint(NamedTuple):
    """Addresses are packed: 4 bytes or 16."""

    address: bytes
    protocol: int
    port: int


class Flow(NamedTuple):
    """What keys a record; ports are 0 where the client alone counts."""

    client: bytes
    service_id: int
    client_port: int
    port: int


@dataclass
class Record:
    seen: int  # seconds
    backend_id: int


class ReplyFlow(NamedTuple):
    """A flow as a NAT backend sees it."""

    client: bytes
    backend: bytes
    client_port: int
    backend_port: int
    protocol: int


@dataclass
class Speaker:
    """Whom the client of such a flow spoke to last."""

    seen: int  # seconds
    vip: bytes
    port: int


class Opening(NamedTuple):
    """A SYN that nothing has followed yet, or what may follow one."""

    flow: int  # hash
    following: int  # sequence number
    backend_id: int


@dataclass
class Handshakes:
    """Those of watched services that are known, and what was counted of each backend."""

    openings: dict[int, Opening] = field(default_factory=dict)  # by place in the map
    counts: dict[int, list[int]] = field(default_factory=dict)  # begun, repeated, completed

    def is_known(self, seen: Opening) -> bool:
        known = self.openings.get(place_of(seen))
        return bool(known) and known._replace(following=0) == seen._replace(following=0)

    def begin(self, seen: Opening) -> None:
        self.count(seen, 1 if self.is_known(seen) else 0)
        self.openings[place_of(seen)] = seen

    def complete(self, seen: Opening) -> None:
        self.count(seen, 2)
        del self.openings[place_of(seen)]

    def count(self, seen: Opening, what: int) -> None:
        self.counts.setdefault(seen.backend_id, [0, 0, 0])[what] += 1

    def clear(self) -> None:
        self.openings.clear()
        self.counts.clear()


def place_of(opening: Opening) -> int:
    return (opening.flow >> 32) % HANDSHAKES


class First(NamedTuple):
    """What became of the first fragment of a datagram."""

    seen: int  # seconds
    mode: int
    vip: bytes = b""  # that a reply is from
    backend_id: int = NO_BACKEND_ID  # it was a reply
    owner: int = 0


class Outcome(NamedTuple):
    reason: str
    verdict: Verdict
    packet: bytes
    service_id: int | None  # who counts it
    backend_id: int | None
    version: int | None  # of IP
    path: tuple[object, ...]  # what kind of packet it was, roughly


class End(Exception):  # noqa: N818 - not an error
    """The reason why a packet's way ended, unchanged, in the middle of a rule."""


@dataclass
class Model:
    """The program with these maps, to which all packets come by one interface."""

    image: Image
    ifindex: int
    next_hops: dict[bytes, NextHop]
    records: dict[Flow, Record] = field(default_factory=dict)
    fragments: dict[Datagram, First] = field(default_factory=dict)
    replies: dict[ReplyFlow, Speaker] = field(default_factory=dict)
    handshakes: Handshakes = field(default_factory=Handshakes)
    now: int = 0  # seconds

    def __post_init__(self):
        image = self.image
        self.services, self.returns = (
            {
                Endpoint(key.address.packed, key.protocol, key.port): table[key]
                for key in table
            }
            for table in (image.services, image.returns)
        )
        self.vips = {key.address.packed for key in image.vips}
        self.backends = {index.number: value for index, value in image.backends.items()}
        self.mac = next(p.mac for p in image.ports.values() if p.ifindex == self.ifindex)

    def forget(self) -> None:
        """Begin again."""
        self.records.clear()
        self.fragments.clear()
        self.replies.clear()
        self.handshakes.clear()
        self.now = 0

    def receive(self, frame: bytes) -> Outcome:
        way = Way(self, bytearray(frame))
        try:
            reason = way.leave(way.go())
        except End as end:
            reason = str(end)
        verdict = way.verdict or (Verdict.PASS if reason in PASSED else Verdict.DROP)
        gets_out = verdict is not Verdict.DROP
        for leave_trace in way.traces if gets_out else ():
            leave_trace()
        return Outcome(
            reason,
            verdict,
            bytes(way.frame),
            way.service_id if gets_out else None,
            way.backend_id if gets_out else None,
            way.packet and way.packet.version,
            (reason, way.service_id, way.handshake, *way.path()),
        )

    def recorded(self) -> dict[tuple[object, ...], int]:
        """Return the flows that are recorded, as the map has them."""
        return {
            (mapped(flow.client), *flow[1:]): record.backend_id
            for flow, record in self.records.items()
        }

    def remembered(self) -> dict[tuple[object, ...], tuple[object, ...]]:
        """Return the datagrams that are remembered, as the map has them."""
        return {
            (mapped(source), mapped(dest), host(number), protocol): (
                mapped(first.vip) if first.vip else bytes(16),
                first.backend_id,
                first.owner,
                first.mode,
            )
            for (source, dest, number, protocol), first in self.fragments.items()
        }

    def tracked(self) -> dict[tuple[object, ...], tuple[bytes, int]]:
        """Return the flows to NAT backends that are written down, as the map has them."""
        return {
            (mapped(flow.client), mapped(flow.backend), *flow[2:]): (
                mapped(speaker.vip),
                speaker.port,
            )
            for flow, speaker in self.replies.items()
        }

    def speaker(
        self, flow: ReplyFlow, shown: Return, traces: Traces | None
    ) -> tuple[bytes, int]:
        """Return the VIP and port that a reply is from; End if it is none."""
        default = shown.vip.packed, shown.port or flow.backend_port
        if not shown.is_tracked:
            return default
        known = self.replies.get(flow)
        if known and self.now - known.seen <= REPLY_SECONDS:
            if traces is not None:
                traces.append(partial(setattr, known, "seen", self.now))
            return known.vip, known.port
        if not shown.until_ns:  # else the time is not over in any test
            raise End("reply_unknown")
        return default

    def service_of(self, address: bytes, protocol: int, to_port: int) -> Service | None:
        exact = self.services.get(Endpoint(address, protocol, to_port))
        return exact or self.services.get(Endpoint(address, protocol, 0))

    def return_of(self, address: bytes, protocol: int, from_port: int) -> Return | None:
        exact = self.returns.get(Endpoint(address, protocol, from_port))
        return exact or self.returns.get(Endpoint(address, protocol, 0))

    def is_direct(self, address: bytes) -> bool:
        return any(ip_address(address) in prefix.network for prefix in self.image.direct)

    def is_martian(self, source: bytes) -> bool:
        address = ip_address(source)
        if source in self.vips or address.is_multicast or address.is_loopback:
            return True
        if address.version == 6:
            return address.is_unspecified
        return source[0] == 0 or source == b"\xff" * 4

    def recall(self, datagram: Datagram) -> First | None:
        first = self.fragments.get(datagram)
        return first if first and self.now - first.seen <= FRAGMENT_SECONDS else None

    def keeper(self, backend_id: int) -> Backend | None:
        """Return a backend that may keep the flows that it has."""
        backend = self.backends.get(backend_id)
        return None if backend is None or backend.is_down else backend

    def pick(
        self,
        service: Service,
        flow: Flow,
        vip: bytes,
        flags: int = 0,
        traces: Traces | None = None,
    ) -> int:
        """Return the id of a flow's backend; End if nobody can serve.

        ``flags`` are those of its packet, which adds its ``traces``; None: it is no packet
        of the flow.
        """
        if not service.ring_size:
            raise End("no_backend")
        ring = self.image.rings[service.ring_offset]
        slot = slot_of(service, flow, vip)
        now_id, before_id = ring.view()[2 * slot], ring.before[slot]
        chosen = now_id
        if before_id or service.affinity == AFFINITY_ALWAYS:
            slot_ids = now_id, before_id
            chosen = self.pick_by_record(service, flow, slot_ids, flags, traces)
        if chosen not in self.backends:
            raise End("no_backend")
        return chosen

    def pick_by_record(
        self,
        service: Service,
        flow: Flow,
        slot_ids: tuple[int, int],
        flags: int,
        traces: Traces | None,
    ) -> int:
        now_id, before_id = slot_ids
        begins = flags & (SYN | ACK | FIN | RST) == SYN
        if service.hash == HASH_SOURCE:  # a client may well have other flows already
            flow, begins = flow._replace(client_port=0, port=0), False
        record = None if begins else self.records.get(flow)
        is_fresh = record and self.now - record.seen <= service.idle_seconds
        if is_fresh and self.keeper(record.backend_id):
            if traces is not None:
                traces.append(partial(setattr, record, "seen", self.now))
            return record.backend_id
        keeps = not begins and before_id != RECORDS_ONLY and self.keeper(before_id)
        chosen = before_id if keeps else now_id
        if traces is not None and leaves_trace(flags) and chosen in self.backends:
            record = Record(self.now, chosen)
            traces.append(partial(self.records.__setitem__, flow, record))
        return chosen


def leaves_trace(flags: int) -> bool:
    """Tell whether a packet that has these flags may be remembered as one of its flow."""
    return flags & (SYN | ACK | FIN | RST) in {SYN, ACK}


def slot_of(service: Service, flow: Flow, vip: bytes) -> int:
    """Return the slot that the flow's hash falls into; ``mix`` is of 64 bits."""
    client = mapped(flow.client)
    first, second, third, fourth = (host(client[at : at + 4]) for at in (0, 4, 8, 12))
    mix = service.hash_seed << 32
    if service.hash != HASH_SOURCE:
        mix |= host(port(flow.client_port)) << 16 | host(port(flow.port))
    mix = mixed(mix, first << 32 | second, third << 32 | fourth, host(vip[-4:]))
    return (mix >> 32) * service.ring_size >> 32


def handshake_of(service: Service, packet: Packet) -> int:
    """Return the hash that tells a connection from others."""
    ports = host(port(packet.sport)) << 16 | host(port(packet.dport))
    ends = mapped(packet.source) + mapped(packet.dest)
    words = [host(ends[at : at + 4]) for at in range(0, 32, 4)]
    pairs = (high << 32 | low for high, low in zip(words[::2], words[1::2], strict=True))
    return mixed(service.hash_seed << 32 | ports, *pairs)


def mixed(mix: int, *words: int) -> int:
    for word in words:
        mix ^= word
        mix ^= mix >> 32
        mix = mix * 0xFF51AFD7ED558CCD % 2**64
    return mix


def host(data: bytes) -> int:
    """Return what the host's processor takes the bytes for."""
    return int.from_bytes(data, sys.byteorder)


@dataclass
class Way:
    """One packet's way; ``go`` returns its reason, or End says it."""

    model: Model
    frame: bytearray
    packet: Packet | None = None
    verdict: Verdict | None = None
    service_id: int | None = None
    backend_id: int | None = None
    tags: list[bytes] = field(default_factory=list)  # as on the wire
    traces: Traces = field(default_factory=list)
    handshake: str = ""  # what the packet is in one that is counted
    came: Segment = Segment(0)  # noqa: RUF009 - frozen
    out: Segment | None = None

    def path(self) -> tuple[object, ...]:
        """Return what tells this packet from others that ended for the same reason."""
        packet = self.packet
        if packet is None:
            return ()
        tags = (packet.ip - 14) // 4
        options = packet.version == 4 and packet.l4 > packet.ip + 20
        protocol = packet.protocol if packet.protocol in L4_BYTES else None
        pieces = packet.is_first, packet.is_later
        return (packet.version, tags, options, packet.extensions, pieces, protocol)

    def go(self) -> str:
        self.packet = packet = find_packet(self.frame)
        if packet is None or is_mapped(packet.source) or is_mapped(packet.dest):
            return "not_ours"
        self.note_tags(packet)
        try:
            parse_headers(packet)
        except MalformedError:
            return self.refuse(packet, "malformed")
        if packet.is_later:
            return self.serve_later_fragment(packet)
        if packet.protocol == ICMP_OF[packet.version]:
            # What is spread over fragments, the host puts together.
            return "not_ours" if packet.is_first else self.serve_icmp(packet)
        if packet.protocol not in {TCP, UDP}:
            return "not_ours"
        service = self.model.service_of(packet.dest, packet.protocol, packet.dport)
        return self.serve(packet, service) if service else self.serve_reply(packet)

    def note_tags(self, packet: Packet) -> None:
        """See which VLAN the frame comes from; id 0 is none, it tells a priority only."""
        places = range(12, packet.ip - 2, 4)
        self.tags = [bytes(self.frame[at : at + 4]) for at in places]
        tags = [
            Tag(int.from_bytes(wire[2:], "big") & 0xFFF, int.from_bytes(wire[:2], "big"))
            for wire in self.tags
        ]
        while tags and not tags[-1].id:
            tags.pop()
        self.came = Segment(self.model.ifindex, tuple(tags))

    def refuse(self, packet: Packet, reason: str) -> str:
        """Return the reason to drop what is to a VIP and cannot be served."""
        if packet.dest not in self.model.vips:
            return "not_ours"
        self.need_our_mac(or_broadcast=True)
        return reason

    def need_our_mac(self, *, or_broadcast: bool) -> None:
        to, vlan = self.frame[:6], self.vlan()
        ours = {self.model.mac} | ({vlan.mac} if vlan else set())
        if bytes(to) not in ours and not (or_broadcast and to == BROADCAST):
            raise End("other_station")

    def vlan(self) -> Port | None:
        """Return the host's interface in the VLAN that the frame comes from."""
        return self.model.image.vlans.get(self.came)

    def need_ttl(self, packet: Packet) -> None:
        if packet.ttl <= 1:
            raise End("ttl_exceeded")

    def need_sane_source(self, packet: Packet) -> None:
        if self.model.is_martian(packet.source):
            raise End("martian")

    def translate(
        self, packet: Packet, changes: dict[int, bytes], checksums: list[Checksum]
    ) -> None:
        """Write the changes as a router does, which takes one from the time to live."""
        ttl = {packet.ttl_at: bytes([packet.ttl - 1])}
        rewrite(self.frame, {**changes, **ttl}, checksums)

    def send(self, out: Segment, to: bytes, source: bytes) -> None:
        self.frame[:12] = to + source
        self.out = out

    def leave(self, reason: str) -> str:
        """Let the frame out where it is to go, with the tags of the VLAN there."""
        if self.out is None:
            return reason
        if self.out.tags != self.came.tags:
            if self.came.tags and not self.vlan():
                return "foreign_vlan"
            tagged = b""
            for place, tag in enumerate(self.out.tags):
                priority = self.tags[place][2] & 0xF0 if place < len(self.tags) else 0
                tci = (priority << 8 | tag.id).to_bytes(2, "big")
                tagged += tag.protocol.to_bytes(2, "big") + tci
            self.frame[12 : self.packet.ip - 2] = tagged
        here = self.out.ifindex == self.model.ifindex
        self.verdict = Verdict.TX if here else Verdict.REDIRECT
        return reason

    def send_to_backend(self, service_id: int, backend_id: int) -> None:
        backend = self.model.backends[backend_id]
        self.send(backend.segment, backend.mac, backend.source_mac)
        self.service_id, self.backend_id = service_id, backend_id

    def leave_trace(self, memory: dict[Any, Any], key: object, value: object) -> None:
        """Have it remembered, if the packet gets out."""
        self.traces.append(partial(memory.__setitem__, key, value))

    # To a service

    def serve(self, packet: Packet, service: Service) -> str:
        self.need_our_mac(or_broadcast=True)
        self.need_sane_source(packet)
        flow = Flow(packet.source, service.id, packet.sport, packet.dport)
        flags = (
            packet.flags if packet.protocol == TCP else ACK
        )  # UDP is always in the middle
        backend_id = self.model.pick(service, flow, packet.dest, flags, self.traces)
        backend = self.model.backends[backend_id]
        address = backend.address.packed
        backend_port = backend.port or packet.dport
        if service.is_watched and packet.protocol == TCP:
            self.note_handshake(packet, service, backend_id)
        if service.mode == MODE_NAT:
            self.need_ttl(packet)
            if packet.source == address:
                raise End("hairpin")
            if backend.is_tracked and leaves_trace(flags):
                ends = packet.source, address, packet.sport, backend_port
                speaker = Speaker(self.model.now, packet.dest, packet.dport)
                flow_back = ReplyFlow(*ends, packet.protocol)
                self.leave_trace(self.model.replies, flow_back, speaker)
            changes = {packet.dest_at: address, packet.l4 + 2: port(backend_port)}
            self.translate(packet, changes, packet.of_all())
        if packet.is_first:
            whose = {"backend_id": backend_id, "owner": backend.owner}
            first = First(self.model.now, service.mode, **whose)
            self.leave_trace(self.model.fragments, packet.datagram, first)
        self.send_to_backend(service.id, backend_id)
        return "forwarded_nat" if service.mode == MODE_NAT else "forwarded_dr"

    def note_handshake(self, packet: Packet, service: Service, backend_id: int) -> None:
        begins = packet.flags & (SYN | ACK | FIN | RST) == SYN
        if not begins and packet.flags & (SYN | ACK | FIN | RST) != ACK:
            return
        following = (packet.sequence + begins) % 2**32
        seen = Opening(handshake_of(service, packet), following, backend_id)
        handshakes = self.model.handshakes
        if begins:
            self.handshake = "repeated" if handshakes.is_known(seen) else "begun"
            self.traces.append(partial(handshakes.begin, seen))
        elif handshakes.openings.get(place_of(seen)) == seen:
            self.handshake = "completed"
            self.traces.append(partial(handshakes.complete, seen))

    # From a NAT backend

    def serve_reply(self, packet: Packet) -> str:
        shown = self.model.return_of(packet.source, packet.protocol, packet.sport)
        if shown is None:
            return "not_ours"
        self.check_reply(packet)
        ends = packet.dest, packet.source, packet.dport, packet.sport
        flow = ReplyFlow(*ends, packet.protocol)
        vip, vip_port = self.model.speaker(flow, shown, self.traces)
        self.need_ttl(packet)
        if packet.is_first:
            first = First(self.model.now, MODE_NAT, vip)
            self.leave_trace(self.model.fragments, packet.datagram, first)
        changes = {packet.source_at: vip, packet.l4: port(vip_port)}
        return self.send_reply(packet, changes, packet.of_all(), "replied_nat")

    def check_reply(self, packet: Packet) -> None:
        self.need_our_mac(or_broadcast=False)
        if self.model.is_direct(packet.dest):
            raise End("reply_direct")

    def send_reply(
        self,
        packet: Packet,
        changes: dict[int, bytes],
        checksums: list[Checksum],
        reason: str,
    ) -> str:
        """Send it where the host would, or translate only and let the host do that."""
        hop = self.model.next_hops.get(packet.dest)
        far = packet.version == 4 or not ip_address(packet.source).is_link_local
        if hop is None or not far or packet.end - packet.ip > hop.mtu:
            rewrite(self.frame, changes, checksums)
            return "replied_by_host"
        self.translate(packet, changes, checksums)
        self.send(Segment(hop.ifindex), hop.mac, hop.source_mac)
        return reason

    # Fragments after the first

    def serve_later_fragment(self, packet: Packet) -> str:
        if packet.protocol not in {TCP, UDP, *EXTENSIONS}:
            return "not_ours"
        first = self.model.recall(packet.datagram)
        if first is None:
            return self.refuse(packet, "fragment")
        if first.backend_id == NO_BACKEND_ID:
            if packet.dest in self.model.vips:
                self.need_our_mac(or_broadcast=True)
            self.check_reply(packet)
            self.need_ttl(packet)
            changes = {packet.source_at: first.vip}
            return self.send_reply(packet, changes, packet.of_header(), "replied_nat")
        self.need_our_mac(or_broadcast=True)
        backend = self.model.keeper(first.backend_id)
        if backend is None or backend.owner != first.owner:
            raise End("no_backend")
        if first.mode == MODE_NAT:
            self.need_ttl(packet)
            changes = {packet.dest_at: backend.address.packed}
            self.translate(packet, changes, packet.of_header())
        self.send_to_backend(backend.service_id, first.backend_id)
        return "forwarded_nat" if first.mode == MODE_NAT else "forwarded_dr"

    # ICMP

    def serve_icmp(self, packet: Packet) -> str:
        is_error = packet.icmp_type in ERRORS[packet.version]
        if packet.dest not in self.model.vips:
            return self.serve_error_reply(packet) if is_error else "not_ours"
        self.need_our_mac(or_broadcast=False)
        if packet.icmp_type == ECHO_REQUEST[packet.version]:
            return self.answer_echo(packet)
        return self.serve_error(packet) if is_error else "icmp_passed"

    def answer_echo(self, packet: Packet) -> str:
        self.need_sane_source(packet)
        changes = {
            packet.l4: bytes([ECHO_REPLY[packet.version]]),
            packet.source_at: packet.dest,
            packet.dest_at: packet.source,
            packet.ttl_at: bytes([ECHO_TTL]),
        }
        rewrite(self.frame, changes, packet.of_all())
        self.send(self.came, self.frame[6:12], self.frame[:6])
        return "icmp_answered"

    def serve_error(self, packet: Packet) -> str:
        """To the backend that sent what the error is about."""
        quote = parse_quote(packet)
        if quote is None or quote.source != packet.dest:
            return "icmp_passed"
        service = self.model.service_of(packet.dest, quote.protocol, quote.sport)
        if service is None:
            return "icmp_passed"
        self.need_sane_source(packet)
        flow = Flow(quote.dest, service.id, quote.dport, quote.sport)
        backend_id = self.model.pick(service, flow, packet.dest)
        backend = self.model.backends[backend_id]
        if service.mode == MODE_NAT:
            self.need_ttl(packet)
            address = backend.address.packed
            changes = {
                packet.dest_at: address,
                quote.source_at: address,
                quote.l4: port(backend.port or quote.sport),
            }
            self.translate(packet, changes, quote.of_all() + packet.of_all())
        self.send_to_backend(service.id, backend_id)
        return "icmp_forwarded"

    def serve_error_reply(self, packet: Packet) -> str:
        """To the client, about what we sent to a NAT backend for it."""
        quote = parse_quote(packet)
        if quote is None or quote.source != packet.dest:
            return "not_ours"
        shown = self.model.return_of(quote.dest, quote.protocol, quote.dport)
        if shown is None:
            return "not_ours"
        self.check_reply(packet)
        self.need_sane_source(packet)
        ends = quote.source, quote.dest, quote.sport, quote.dport
        flow = ReplyFlow(*ends, quote.protocol)
        vip, vip_port = self.model.speaker(flow, shown, None)
        self.need_ttl(packet)
        changes = {quote.dest_at: vip, quote.l4 + 2: port(vip_port)}
        if packet.source == quote.dest:  # a router on the way speaks for itself
            changes[packet.source_at] = vip
        checksums = quote.of_all() + packet.of_all()
        return self.send_reply(packet, changes, checksums, "icmp_replied")
