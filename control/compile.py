"""From what is wanted and what is known to what the maps should hold. Pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from control import arena, entries
from control.addresses import IpNetwork
from control.entries import PRESENT, endpoint_of
from control.facts import BackendKey, Facts, Moment
from control.ids import BackendPlace, Ids, assign
from control.model import Affinity, DesiredState, Hash, Mode
from control.returns import answering, returns
from control.serving import Served, remember, serve, serving_ids
from control.status import Health
from control.tables import Tables
from control.transition import PATIENCE
from dataplane import records
from dataplane.image import Image
from dataplane.records import Address, Endpoint, Index, port_index
from dataplane.source import Limits

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
class Compiled:
    """What the maps should hold, and what there is to say of it."""

    image: Image
    services: tuple[Served, ...]


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
        (endpoint_of(service) for service in desired),
        ids.services,
        first=0,
        limit=settings.limits.services,
        what="services",
    )
    backends = entries.backends(
        desired, facts.network, service_ids, known, ids, settings.limits
    )
    numbers = {
        BackendPlace(record.service_id, record.address, record.port): index.number
        for index, record in backends.items()
    }
    serving = serving_ids(known)
    served = tuple(
        remember(
            serve(
                service, service_ids[endpoint_of(service)], numbers, facts, serving, tables
            ),
            known,
            moment,
        )
        for service in desired
    )
    down = frozenset[int]().union(*(one.down for one in served))
    rings = [one.ring for one in served]
    offsets = arena.place(rings, known, settings.limits.slots)
    answers = returns(desired, known.returns, moment.now_ns)
    tracked = _tracked(served, {end for end, one in answers.items() if one.is_tracked})
    interfaces = facts.network.interfaces
    vlans = entries.vlans(facts.network)
    image = Image(
        ports=entries.ports(facts.network, vlans.values()),
        vlans=vlans,
        transmit_ports={port_index(i.ifindex): Index(i.ifindex) for i in interfaces},
        direct=entries.direct(desired, facts.network, settings.direct),
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
        vips={Address(service.vip): PRESENT for service in desired},
        services={
            endpoint_of(one.service): records.Service(
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
        service_id = ids.services.get(endpoint_of(service))
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


def _tracked(served: Iterable[Served], endpoints: AbstractSet[Endpoint]) -> frozenset[int]:
    """Return the ids of the NAT backends that answer from one of ``endpoints``."""
    return frozenset(
        one.backend_ids[backend.name]
        for one in served
        if one.service.mode is Mode.NAT
        for backend in one.service.backends
        if backend.name in one.backend_ids and answering(one.service, backend) in endpoints
    )
