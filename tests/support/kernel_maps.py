"""The maps as packets meet them: slots one after the other, written piece by piece."""

from dataclasses import dataclass, field

from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.image import FILL_ORDER, Image, Ring
from dataplane.plan import Delete, Put, Settle, Write
from dataplane.records import (
    MODE_NAT,
    Address,
    Endpoint,
    Index,
    Return,
    Service,
    port_index,
)
from dataplane.source import SPARE_ENDPOINTS, Limits

_TABLES = tuple(name for name in FILL_ORDER if name != "rings")


@dataclass
class KernelMaps:
    """Maps in memory; ``slots`` has what was ever written, as the kernel's array has."""

    tables: dict[str, dict] = field(default_factory=lambda: {name: {} for name in _TABLES})
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)
    # What packets on their way may have read, and go by until they are through.
    held: set[tuple[Endpoint, Service]] = field(default_factory=set)
    changed_in_place: list[int] = field(default_factory=list)  # slots in use

    def write(self, write: Write) -> None:
        """Carry out one write of a plan."""
        match write:
            case Put("rings", offset, ring):
                self._put_ring(offset, ring)
            case Delete("rings", _):
                pass
            case Put(table, key, value):
                self._hold(table, key)
                self.tables[table][key] = value
            case Delete(table, key):
                self._hold(table, key)
                del self.tables[table][key]
            case Settle():
                self.settle()

    def settle(self) -> None:
        """All packets that were on their way are through."""
        self.held.clear()

    def read(self) -> Image:
        """Return what whoever starts finds: rings by the services that name them."""
        rings = {
            service.ring_offset: self._ring(service)
            for service in self.tables["services"].values()
            if service.ring_size
        }
        tables = {name: dict(table) for name, table in self.tables.items()}
        return Image(**tables, rings=rings)

    def dangling(self) -> list[str]:
        """Return what a packet could read that leads nowhere, or to somebody else's."""
        services = self.tables["services"]
        missing = [
            f"{endpoint} has no entry in vips"
            for endpoint in services
            if Address(endpoint.address) not in self.tables["vips"]
        ]
        readable = self.held | set(services.items())
        return missing + [
            problem
            for endpoint, service in readable
            for now, before in set(self._slots_of(service))
            for problem in self._problems(endpoint, service, now, before)
        ]

    def beyond(self, limits: Limits) -> list[str]:
        """Return what would have no room in maps of these sizes."""
        tables, services = self.tables, self.tables["services"].values()
        endpoints = sum(len(tables[name]) for name in ("vips", "services", "returns"))
        places = {
            "services": max((one.id for one in services), default=-1),
            "backends": max((one.number for one in tables["backends"]), default=-1),
            "slots": max(self.slots, default=-1),
            # What changes has a new place before the old one is free.
            "endpoints": endpoints + SPARE_ENDPOINTS - 1,
        }
        return [name for name, last in places.items() if last >= getattr(limits, name)]

    def _problems(
        self, endpoint: Endpoint, service: Service, now: int, before: int
    ) -> list[str]:
        problems = []
        for number in (now, before):
            if number in (NO_BACKEND_ID, RECORDS_ONLY):
                continue
            backend = self.tables["backends"].get(Index(number))
            if backend is None:
                # Of who had the slot before, the program minds it and goes on with `now`.
                problems += [f"{endpoint}: backend {now} is missing"] * (number == now)
                continue
            if backend.service_id != service.id:
                problems.append(f"{endpoint}: backend {number} is another service's")
            port = self.tables["ports"].get(port_index(backend.segment.ifindex))
            if number == now and (port is None or port.ifindex != backend.segment.ifindex):
                problems.append(f"{endpoint}: no port leads to backend {number}")
            reply = Endpoint(backend.address, backend.port, endpoint.protocol)
            meant = Return(endpoint.address, endpoint.port)
            if service.mode == MODE_NAT and self.tables["returns"].get(reply) != meant:
                problems.append(f"{endpoint}: replies of {reply} are nobody's")
        return problems

    def _hold(self, table: str, key: Endpoint) -> None:
        if table == "services" and key in self.tables[table]:
            self.held.add((key, self.tables[table][key]))

    def _put_ring(self, offset: int, ring: Ring) -> None:
        in_use = {
            place
            for _, service in self.held | set(self.tables["services"].items())
            for place in range(service.ring_offset, service.ring_offset + service.ring_size)
        }
        for place, pair in enumerate(zip(ring, ring.before, strict=True), offset):
            if place in in_use and self.slots.get(place) != pair:
                self.changed_in_place.append(place)
            self.slots[place] = pair

    def _slots_of(self, service: Service) -> list[tuple[int, int]]:
        places = range(service.ring_offset, service.ring_offset + service.ring_size)
        return [self.slots[place] for place in places]

    def _ring(self, service: Service) -> Ring:
        pairs = self._slots_of(service)
        return Ring.of([now for now, _ in pairs], [before for _, before in pairs])
