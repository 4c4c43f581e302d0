"""The program under test, with a few words to fill its maps and to feed it packets."""

import sys
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import ip_address, ip_network

import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from dataplane import counters, libbpf
from dataplane.errors import KernelError
from dataplane.image import Image, Ring
from dataplane.instance import Instance
from dataplane.plan import Reset, plan
from dataplane.records import (
    MODE_DR,
    Address,
    Backend,
    Counter,
    Endpoint,
    Index,
    Port,
    Prefix,
    Return,
    Segment,
    Service,
    Tag,
    port_index,
)
from tests.packet.families import V4, Family

LO = 1  # ifindex
OUT = 50
VLANS = (100, 101)  # interfaces of VLANs
ELSEWHERE = 77  # no interface that the program is attached to
_ALL_HEADROOM = bytes(216)  # of a test run

BALANCER_MAC = "02:00:00:00:00:01"
ROUTER_MAC = "02:00:00:00:00:02"
OUT_MAC = "02:00:00:00:00:03"
BACKEND_MACS = [f"02:00:00:00:01:{number:02x}" for number in range(8)]


class Verdict(IntEnum):
    """enum xdp_action."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3
    REDIRECT = 4


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


@dataclass
class Balancer:
    instance: Instance
    image: Image = field(default_factory=Image)

    def __post_init__(self):
        self.start()

    def start(self) -> None:
        """Fill in the interfaces and count from here on."""
        self.fill(
            ports={
                port_index(LO): Port(LO, Segment(LO), mac(BALANCER_MAC)),
                port_index(OUT): Port(OUT, Segment(OUT), mac(OUT_MAC)),
            },
            transmit_ports={port_index(i): Index(i) for i in (LO, OUT)},
        )
        self._before = counters.read(self.instance.maps)

    def fill(self, **tables) -> None:
        """Add to the maps."""
        wanted = {name: getattr(self.image, name) for name in self.image.__slots__}
        for name, added in tables.items():
            wanted[name] = {**wanted[name], **added}
        self.become(Image(**wanted))

    def clear(self) -> None:
        self.become(Image())

    def reset_counters(self) -> None:
        """Leave nothing behind for the next test."""
        maps = self.instance.maps
        for name in ("service_counters", "backend_counters", "handshake_counters"):
            maps.apply(Reset(name, index) for index in range(maps.shape(name).max_entries))

    def add_service(  # noqa: PLR0913
        self,
        family: Family = V4,
        *,
        vip=None,
        port=80,
        protocol=6,
        mode=MODE_DR,
        backends=1,
        backend_port=None,
        backend_ifindex=LO,
        backend_tags=(),
        ring_size=None,
        seed=0,
    ) -> None:
        """Add a service with the first backends of ``family`` in turn; ids from 1."""
        address = ip_address(vip or family.vip)
        number = len(self.image.services)
        first = 1 + len(self.image.backends)
        size = ring_size or max(backends, 1)
        offset = sum(len(ring) for ring in self.image.rings.values())
        to_port = backend_port or port
        records = [
            Backend(
                number,
                ip_address(family.backends[index]),
                to_port,
                Segment(backend_ifindex, backend_tags),
                mac(BACKEND_MACS[index]),
                mac(BALANCER_MAC if backend_ifindex == LO else OUT_MAC),
            )
            for index in range(backends)
        ]
        ring = Ring.of(first + slot % backends for slot in range(size if backends else 0))
        self.fill(
            backends={Index(first + i): record for i, record in enumerate(records)},
            rings={offset: ring} if ring else {},
            vips={Address(address): Index(1)},
            services={
                Endpoint(address, port, protocol): Service(
                    number, offset, len(ring), seed, mode
                )
            },
        )
        if mode != MODE_DR:
            back = Return(address, port)
            self.fill(
                returns={Endpoint(r.address, r.port, protocol): back for r in records}
            )

    def add_vlan(self, ifindex: int, *tags: Tag, on: int = LO, address: str) -> None:
        """Add an interface of the host for a VLAN."""
        port = Port(ifindex, Segment(on, tags), mac(address))
        self.fill(ports={port_index(ifindex): port}, vlans={port.segment: port})

    def add_direct(self, network: str) -> None:
        self.fill(direct={Prefix(ip_network(network)): Index(1)})

    def send(self, packet: Packet) -> tuple[Verdict, Packet]:
        verdict, sent = self.send_bytes(bytes(packet))
        return verdict, Ether(sent)

    def send_bytes(self, packet: bytes) -> tuple[Verdict, bytes]:
        run = libbpf.prog_run(self.instance.program, packet)
        return Verdict(run.verdict), run.packet

    def send_without_room(self, packet: bytes) -> Verdict:
        """Send it with its headroom used up, by metadata, as a driver may leave none."""
        program = self.instance.program
        try:
            return Verdict(libbpf.prog_run(program, packet, metadata=_ALL_HEADROOM).verdict)
        except KernelError:
            pytest.skip("packet: this kernel (before 6.5) gives all headroom to test runs")

    def reasons(self) -> dict[str, Counter]:
        """Return what was counted by reason since the start, without zeros."""
        now = counters.read(self.instance.maps)
        return {
            reason.name: gained
            for reason, counter in now.reasons.items()
            if (gained := _less(counter, self._before.reasons[reason])).packets
        }

    def of_services(self) -> dict[int, Counter]:
        return dict(counters.read(self.instance.maps).services)

    def of_backends(self) -> dict[int, Counter]:
        return dict(counters.read(self.instance.maps).backends)

    def become(self, wanted: Image) -> None:
        """Make the maps equal to ``wanted``, by the same plan that the controller uses."""
        self.instance.maps.apply(plan(self.image, wanted))
        self.image = wanted


def _less(now: Counter, before: Counter) -> Counter:
    return Counter(
        now.packets - before.packets, now.bytes - before.bytes, now.flows - before.flows
    )


def age(memory: int, seconds: int) -> None:
    """Make all that a map remembers so much older: values that begin with a time in ns."""
    for key, value in list(libbpf.map_items(memory)):
        # A clock that started less than that ago wraps, as it does for the program.
        seen_ns = (int.from_bytes(value[:8], sys.byteorder) - seconds * 10**9) % 2**64
        libbpf.map_update(memory, key, seen_ns.to_bytes(8, sys.byteorder) + value[8:])
