"""The balancer as the benchmarks see it: the one place that knows how dataplane is used."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final

import maglev
from dataplane import counters
from dataplane.image import Image, Ring
from dataplane.instance import Instance, open_instance, remove_instance
from dataplane.plan import plan
from dataplane.records import (
    MODE_DR,
    MODE_NAT,
    Address,
    Backend,
    Endpoint,
    Index,
    Port,
    Return,
    Segment,
    Service,
    port_index,
)
from dataplane.source import Limits

LIMITS: Final = Limits()  # those of a production node
IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Server:
    """A backend's address and the way to it."""

    address: IPAddress
    ifindex: int
    mac: bytes
    source_mac: bytes


@dataclass(frozen=True, slots=True)
class Vip:
    """A service of one VIP; its servers listen at the same port."""

    address: IPAddress
    port: int
    protocol: int
    nat: bool
    servers: Sequence[Server]
    ring_size: int
    watched: bool = False  # its handshakes are counted


class DataplaneUnderTest:
    """A loaded program and its maps."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._image = Image()
        self.program = instance.program

    def fill(self, interfaces: Mapping[int, bytes], vips: Sequence[Vip]) -> None:
        """Configure these interfaces (the MAC by index) and services, and no others.

        Raises ValueError for an address of a family that the records cannot hold.
        """
        wanted = _image(interfaces, vips)
        self._instance.maps.apply(plan(self._image, wanted))
        self._image = wanted

    def counted(self) -> dict[str, int]:
        """Return how many packets the program has seen, by reason, without zeros."""
        reasons = counters.read(self._instance.maps).reasons
        return {
            reason.name: counter.packets
            for reason, counter in reasons.items()
            if counter.packets
        }


@contextmanager
def loaded(bpffs: Path) -> Iterator[DataplaneUnderTest]:
    """Compile and load the program, with empty maps, for the length of the block."""
    root = bpffs / "guideway" / "bench"
    instance = open_instance(root, LIMITS)
    try:
        yield DataplaneUnderTest(instance)
    finally:
        instance.close()
        remove_instance(root)


def _image(interfaces: Mapping[int, bytes], vips: Sequence[Vip]) -> Image:
    """Return maps in which services have their ids, backends and slots one by one."""
    backends: dict[Index, Any] = {}
    returns: dict[Endpoint, Return] = {}
    rings: dict[int, Ring] = {}
    services: dict[Endpoint, Service] = {}
    for number, vip in enumerate(vips):
        first, offset = 1 + len(backends), number * vip.ring_size
        rings[offset] = _ring(len(vip.servers), vip.ring_size, first)
        mode = MODE_NAT if vip.nat else MODE_DR
        address: Any = vip.address
        services[Endpoint(address, vip.port, vip.protocol)] = Service(
            id=number,
            ring_offset=offset,
            ring_size=vip.ring_size,
            hash_seed=number,
            mode=mode,
            is_watched=vip.watched,
        )
        for place, server in enumerate(vip.servers, first):
            backends[Index(place)] = _backend(number, server, vip.port)
            if vip.nat:
                inner: Any = server.address
                returns[Endpoint(inner, vip.port, vip.protocol)] = Return(address, vip.port)
    addresses: list[Any] = [vip.address for vip in vips]
    return Image(
        ports={
            port_index(index): Port(index, Segment(index), mac)
            for index, mac in interfaces.items()
        },
        transmit_ports={port_index(index): Index(index) for index in interfaces},
        backends=backends,
        returns=returns,
        rings=rings,
        vips={Address(address): Index(1) for address in addresses},
        services=services,
    )


def _backend(service_id: int, server: Server, port: int) -> Backend:
    address: Any = server.address
    return Backend(
        service_id=service_id,
        address=address,
        port=port,
        segment=Segment(server.ifindex),
        mac=server.mac,
        source_mac=server.source_mac,
    )


def _ring(backends: int, size: int, first: int) -> Ring:
    """Return the Maglev table of so many backends, whose ids start with ``first``."""
    names = [(f"backend {number}".encode(), 1) for number in range(backends)]
    table = maglev.build(names, size)
    return Ring.of(table + first)
