"""From what is wanted and what is known to what the maps should hold. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Final

import numpy as np

from control.addresses import IpAddress, IpNetwork
from control.errors import HostError
from control.facts import BackendKey, Facts, Moment, Network, NextHop
from control.ids import BackendPlace, Ids, assign, place_ring
from control.model import (
    Affinity,
    Backend,
    BackendState,
    DesiredState,
    Hash,
    Mode,
    Service,
)
from control.returns import answering, returns
from control.status import Health
from control.tables import Tables
from control.transition import (
    PATIENCE,
    change,
    close_window,
    end,
    is_in_transition,
    nobody,
    ordinary,
    owners,
)
from dataplane import records
from dataplane.abi import NO_BACKEND_ID
from dataplane.image import Image, Ring
from dataplane.records import (
    Address,
    Endpoint,
    Index,
    Port,
    Prefix,
    Segment,
    port_index,
)
from dataplane.source import Limits
from maglev import default_size

TOO_LIGHT: Final = "its weight is too small for a slot: a larger ring_size gives it one"
UNHEALTHY: Final = "its health check fails"  # the monitor knows why
UNPROBED: Final = "its first health check has not ended"  # here too, if something is amiss
_PRESENT: Final = Index(1)
_EMPTY: Final = Ring(b"")
_MODES: Final = {Mode.DR: records.MODE_DR, Mode.NAT: records.MODE_NAT}
_AFFINITIES: Final = {
    Affinity.NONE: records.AFFINITY_NONE,
    Affinity.TRANSITION: records.AFFINITY_TRANSITION,
    Affinity.ALWAYS: records.AFFINITY_ALWAYS,
}
_HASHES: Final = {Hash.FLOW: records.HASH_FLOW, Hash.SOURCE: records.HASH_SOURCE}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration fixes for all services."""

    limits: Limits
    hash_seed: int
    direct: tuple[IpNetwork, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """How one service came out."""

    service: Service
    id: int
    ring: Ring  # ids by slot; empty: nobody can serve
    changed_ns: int  # when the ring last changed, CLOCK_MONOTONIC; 0: never yet
    slots: Mapping[str, int]  # by backend name
    backend_ids: Mapping[str, int]  # by backend name; only who is in the maps
    problems: Mapping[str, str]  # by backend name: why it gets no traffic
    down: frozenset[int]  # ids of backends that cannot even keep the flows they have


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the maps should hold, and what there is to say of it."""

    image: Image
    services: tuple[Served, ...]


def check_capacity(desired: DesiredState, limits: Limits) -> None:
    """Raise HostError if the maps are too small for ``desired``."""
    backends = sum(len(service.backends) for service in desired)
    sizes = [_ring_size(service) for service in desired]
    # Changed rings are written beside the old ones, and all may change at once: a host that
    # serves everybody dies. A number is not reused in its round.
    for name, need, have in (
        ("services", len(sizes) + 1, limits.services),
        ("backends", backends + 2, limits.backends),
        ("slots", 2 * sum(sizes), limits.slots),
    ):
        if need > have:
            raise HostError(
                f"this needs {need} {name} in the maps, and `limits.{name}` is {have}: "
                "raise it in the configuration and restart guidewayd"
            )


def compile_image(
    desired: DesiredState,
    facts: Facts,
    settings: Settings,
    known: Image,
    tables: Tables,
    moment: Moment,
) -> Compiled:
    """Return the maps' contents for ``desired`` under ``facts``.

    ``known`` is what the maps hold: numbers and rings that still fit are kept, and a ring
    that changes remembers it. ``tables`` remembers what was computed before. Raises
    HostError if the maps are too small.
    """
    tables.begin_round()
    configured, desired = desired, _weighted(desired, facts.weights)
    ids = Ids.of(known)
    service_ids = assign(
        (_endpoint(service) for service in desired),
        ids.services,
        first=0,
        limit=settings.limits.services,
        what="services",
    )
    backends = _backends(desired, facts.network, service_ids, known, ids, settings.limits)
    numbers = {
        BackendPlace(record.service_id, record.address, record.port): index.number
        for index, record in backends.items()
    }
    serving = _serving(known)
    served = tuple(
        _remember(
            _serve(
                service, service_ids[_endpoint(service)], numbers, facts, serving, tables
            ),
            known,
            moment,
        )
        for service in desired
    )
    down = frozenset[int]().union(*(one.down for one in served))
    rings = [one.ring for one in served]
    offsets = _place(rings, known, settings.limits.slots)
    answers = returns(desired, known.returns, moment.now_ns)
    tracked = _tracked(served, {end for end, one in answers.items() if one.is_tracked})
    interfaces = facts.network.interfaces
    vlans = _vlans(facts.network)
    image = Image(
        ports=_ports(facts.network, vlans.values()),
        vlans=vlans,
        transmit_ports={port_index(i.ifindex): Index(i.ifindex) for i in interfaces},
        direct=_direct(desired, facts.network, settings.direct),
        backends={
            index: replace(
                backend,
                is_down=index.number in down,
                is_tracked=index.number in tracked,
            )
            for index, backend in backends.items()
        },
        returns=answers,
        rings={offset: ring for offset, ring in zip(offsets, rings, strict=True) if ring},
        vips={Address(service.vip): _PRESENT for service in desired},
        services={
            _endpoint(one.service): records.Service(
                one.id,
                offset,
                len(ring),
                settings.hash_seed,
                _MODES[one.service.mode],
                _AFFINITIES[one.service.affinity],
                _HASHES[one.service.hash],
                PATIENCE[one.service.protocol],
                one.changed_ns,
            )
            for one, offset, ring in zip(served, offsets, rings, strict=True)
        },
    )
    as_configured = (
        replace(one, service=service)
        for one, service in zip(served, configured, strict=True)
    )
    return Compiled(image, tuple(as_configured))


def remembered(desired: DesiredState, known: Image) -> dict[BackendKey, Health]:
    """Return what the maps take backends for, as their program serves by them."""
    ids = Ids.of(known)
    found = {}
    for service in desired:
        service_id = ids.services.get(_endpoint(service))
        for backend in service.backends if service_id is not None else ():
            assert service_id is not None  # noqa: S101 - the line above
            place = BackendPlace(service_id, backend.address, backend.port)
            if (number := ids.backends.get(place)) is not None:
                is_down = known.backends[Index(number)].is_down
                found[service.name, backend.name] = Health.DOWN if is_down else Health.UP
    return found


def _weighted(desired: DesiredState, weights: Mapping[BackendKey, int]) -> DesiredState:
    """Return ``desired`` with the weights that checks have given."""
    if not weights:
        return desired
    return DesiredState(
        tuple(
            replace(
                service,
                backends=tuple(
                    replace(b, weight=weights.get((service.name, b.name), b.weight))
                    for b in service.backends
                ),
            )
            for service in desired
        )
    )


def _vlans(network: Network) -> dict[Segment, Port]:
    """Return the VLANs that the host has interfaces for, where the program can use them."""
    return {
        vlan.segment: Port(vlan.ifindex, vlan.segment, vlan.mac)
        for vlan in network.vlans.values()
        if vlan.segment
    }


def _ports(network: Network, vlans: Iterable[Port]) -> dict[Index, Port]:
    """Return what the kernel's routes may lead to; whose place is taken is left out."""
    ports = {
        port_index(one.ifindex): Port(one.ifindex, Segment(one.ifindex), one.mac)
        for one in network.interfaces
    }
    for port in vlans:
        ports.setdefault(port_index(port.ifindex), port)
    return ports


def _endpoint(service: Service) -> Endpoint:
    return Endpoint(service.vip, service.port, service.protocol.number)


def _backends(
    desired: DesiredState,
    network: Network,
    service_ids: Mapping[Endpoint, int],
    known: Image,
    ids: Ids,
    limits: Limits,
) -> dict[Index, records.Backend]:
    """Return the entries of all backends that we can reach, or once could."""
    attached = {interface.name for interface in network.interfaces}
    attached |= {vlan.name for vlan in network.vlans.values() if vlan.segment}
    hops: dict[BackendPlace, NextHop | None] = {
        BackendPlace(service_ids[_endpoint(service)], backend.address, backend.port): (
            hop if hop and hop.mac and hop.interface in attached else None
        )
        for service in desired
        for backend in service.backends
        for hop in [network.next_hops.get(backend.address)]
    }
    reachable = [place for place, hop in hops.items() if place in ids.backends or hop]
    numbers = assign(
        reachable,
        ids.backends,
        first=NO_BACKEND_ID + 1,
        limit=limits.backends,
        what="backends",
    )
    return {
        Index(number): _record(
            place, hops[place], known.backends.get(Index(number)), network
        )
        for place, number in numbers.items()
    }


def _record(
    place: BackendPlace,
    hop: NextHop | None,
    old: records.Backend | None,
    network: Network,
) -> records.Backend:
    """Return a backend's entry; the last known way to it where there is none now."""
    if hop is None or hop.mac is None:
        assert old is not None  # noqa: S101 - else it would not have got a number
        return old
    vlan = network.vlans.get(hop.ifindex)
    segment = vlan.segment if vlan and vlan.segment else Segment(hop.ifindex)
    return records.Backend(
        place.service_id, place.address, place.port, segment, hop.mac, hop.source_mac
    )


def _serving(known: Image) -> frozenset[int]:
    """Return the ids of all backends that get packets now, of flows from before too."""
    highest = max((index.number for index in known.backends), default=NO_BACKEND_ID)
    serves = np.zeros(highest + 1, np.bool_)
    for service in known.services.values():
        ids = np.frombuffer(known.rings.get(service.ring_offset, _EMPTY).words, np.uint32)
        serves[ids[ids <= highest]] = True
    return frozenset(np.flatnonzero(serves).tolist())


def _serve(
    service: Service,
    service_id: int,
    numbers: Mapping[BackendPlace, int],
    facts: Facts,
    serving: frozenset[int],
    tables: Tables,
) -> Served:
    backend_ids = {
        backend.name: numbers[place]
        for backend in service.backends
        if (place := BackendPlace(service_id, backend.address, backend.port)) in numbers
    }
    problems = {
        backend.name: problem
        for backend in service.backends
        if (
            problem := _problem(
                service, backend, facts, serves=backend_ids.get(backend.name) in serving
            )
        )
    }
    ring, slots = _ring(service, backend_ids, frozenset(problems), tables)
    too_light = {
        backend.name: TOO_LIGHT
        for backend in service.backends
        if ring and not slots.get(backend.name) and backend.name not in problems
    }
    down = frozenset(
        backend_ids[backend.name]
        for backend in service.backends
        if backend.name in backend_ids
        and _trouble(service, backend, facts, serves=backend_ids[backend.name] in serving)
    )
    return Served(
        service, service_id, ring, 0, slots, backend_ids, problems | too_light, down
    )


def _remember(served: Served, known: Image, moment: Moment) -> Served:
    """Return ``served`` with a ring in which flows stay with the backend they have."""
    before = known.services.get(_endpoint(served.service))
    if before is None or served.service.affinity is Affinity.NONE:
        return served
    old = known.rings.get(before.ring_offset, _EMPTY) if before.ring_size else _EMPTY
    keepers = frozenset(served.backend_ids.values()) - served.down
    if not served.ring and not (old and keepers):
        return served
    # Nobody may get new flows, and yet some keep those that they have.
    wanted = owners(served.ring) if served.ring else nobody(len(old))
    ring, changed_ns = change(old, wanted, keepers), before.changed_ns
    window_ns = PATIENCE[served.service.protocol] * 1_000_000_000
    if not np.array_equal(wanted, owners(old)):
        changed_ns = moment.now_ns
    elif is_in_transition(ring) and moment.now_ns - changed_ns > window_ns:
        silent = moment.recorded is not None and served.id not in moment.recorded
        ring = end(ring) if silent else close_window(ring)
    return replace(served, ring=ring, changed_ns=changed_ns)


def _problem(service: Service, backend: Backend, facts: Facts, *, serves: bool) -> str:
    """Say why a backend gets no new flows; "" if it does."""
    return _withheld(backend) or _trouble(service, backend, facts, serves=serves)


def _trouble(service: Service, backend: Backend, facts: Facts, *, serves: bool) -> str:
    """Say why a backend cannot serve at all; "" if it can.

    One that ``serves`` already keeps doing so while its health is not known: after a
    restart, or when its check was changed.
    """
    health = facts.health.get((service.name, backend.name), Health.UNKNOWN)
    if not service.checks or (health is Health.UNKNOWN and serves):
        health = Health.UNCHECKED
    return _unhealthy(health) or _unreachable(backend, facts.network)


def _withheld(backend: Backend) -> str:
    if backend.state is BackendState.DRAINING:
        return "draining"
    return "its weight is 0" if backend.weight == 0 else ""


def _unhealthy(health: Health) -> str:
    if health is Health.DOWN:
        return UNHEALTHY
    return UNPROBED if health is Health.UNKNOWN else ""


def _unreachable(backend: Backend, network: Network) -> str:
    hop = network.next_hops.get(backend.address)
    if hop is None:
        return f"this host has no route to {backend.address}"
    vlan = network.vlans.get(hop.ifindex)
    if vlan and vlan.problem:
        return f"it is reached by {vlan.name}, {vlan.problem}"
    if not vlan and hop.interface not in {one.name for one in network.interfaces}:
        return f"it is reached by {hop.interface}, which is not among `interfaces`"
    return "" if hop.mac else "nobody answers ARP or neighbour discovery for it"


def _ring(
    service: Service, ids: Mapping[str, int], unable: frozenset[str], tables: Tables
) -> tuple[Ring, dict[str, int]]:
    """Return a service's ring, and the number of slots of each backend in it."""
    members = [backend for backend in service.backends if backend.in_table]
    down = frozenset(index for index, b in enumerate(members) if b.name in unable)
    if len(down) == len(members):
        return _EMPTY, {}
    pairs = tuple((backend.identity.encode(), backend.weight) for backend in members)
    table = tables.effective(pairs, _ring_size(service), down)
    numbers = np.array([ids.get(b.name, NO_BACKEND_ID) for b in members], np.uint32)
    slots = np.bincount(table, minlength=len(members)).tolist()
    names = [backend.name for backend in members]
    return ordinary(numbers[table]), dict(zip(names, slots, strict=True))


def _ring_size(service: Service) -> int:
    return service.ring_size or default_size(len(service.backends))


def _place(rings: Sequence[Ring], known: Image, slots: int) -> list[int]:
    """Return an offset for each ring: where it is already, or beside all old ones."""
    # A start with a smaller limit may find rings beyond it.
    here = {
        ring: offset for offset, ring in known.rings.items() if offset + len(ring) <= slots
    }
    taken = {offset: len(ring) for offset, ring in known.rings.items()}
    offsets = []
    for ring in rings:
        offset = here.get(ring, 0) if ring else 0
        if ring and ring not in here:
            offset = place_ring(len(ring), taken, slots)
            taken[offset] = len(ring)
            here[ring] = offset  # services with equal rings share one
        offsets.append(offset)
    return offsets


def _tracked(served: Iterable[Served], endpoints: AbstractSet[Endpoint]) -> frozenset[int]:
    """Return the ids of the NAT backends that answer from one of ``endpoints``."""
    return frozenset(
        one.backend_ids[backend.name]
        for one in served
        if one.service.mode is Mode.NAT
        for backend in one.service.backends
        if backend.name in one.backend_ids and answering(one.service, backend) in endpoints
    )


def _direct(
    desired: DesiredState, network: Network, prefixes: Iterable[IpNetwork]
) -> dict[Prefix, Index]:
    """Return where replies go untranslated: to the node itself and where the file says."""
    vips: set[IpAddress] = {service.vip for service in desired}
    own = (ip_network(address) for address in network.addresses - vips)
    return {Prefix(network): _PRESENT for network in (*own, *prefixes)}
