"""From what is wanted and what is known to what the maps should hold. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from control import arena
from control.admission import Waits, admit_backends, number_services
from control.assembly import assemble
from control.capacity import check_capacity
from control.entries import endpoint_of, next_hops
from control.facts import BackendKey, Facts, Moment
from control.ids import BackendPlace, Ids
from control.model import DesiredState, Service
from control.returns import answering
from control.rounds import Round, Settings
from control.serving import (
    LATE,
    Served,
    backends_of,
    follow,
    hold,
    remember,
    serve,
    serving_ids,
)
from control.status import Health
from control.sync.listener import leader
from control.tables import Tables
from dataplane.image import Image
from dataplane.records import Endpoint, Index


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the maps should hold, and what there is to say of it."""

    image: Image
    services: tuple[Served, ...]  # in the maps; in the operator's order
    waiting: frozenset[str] = frozenset()  # services that have to wait for another round


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
    that changes remembers it. If there is no room for what is new beside what goes, some of
    it is ``waiting``: write what is there, and compile again. So it comes to an end after
    some rounds, from wherever. ``tables`` remembers what was computed before. Raises
    HostError if the maps are too small.
    """
    check_capacity(desired, settings.limits)
    tables.begin_round()
    around = Round(
        desired,
        _weighted(desired, facts.weights),
        facts,
        settings,
        known,
        Ids.of(known).within(settings.limits),
        serving_ids(known),
        next_hops(facts.network),
        tables,
        moment,
    )
    waits = Waits()
    while isinstance(attempt := _attempt(around, waits), Waits):
        waits = attempt
    return attempt


def _attempt(around: Round, waits: Waits) -> Compiled | Waits:
    """Return what the maps should hold, or who has to wait besides ``waits``."""
    known = around.known
    candidates = [s for s in around.desired if endpoint_of(s) not in waits.absent]
    service_ids = number_services(around, candidates)
    present = [s for s in candidates if endpoint_of(s) in service_ids]
    admission = admit_backends(around, present, service_ids)
    if stranded := {e for e in admission.stranded - waits.held if _can_hold(around, e)}:
        return waits.and_held(stranded)
    served = [
        _served(around, service, service_ids, admission.numbers, waits)
        for service in present
    ]
    offsets = arena.place(
        [one.ring for one in served], known.rings, around.settings.limits.slots
    )
    homeless = {
        endpoint_of(one.service)
        for one, offset in zip(served, offsets, strict=True)
        if offset is None
    }
    if homeless:
        held = {e for e in homeless - waits.held if _can_hold(around, e)}
        return waits.and_held(held).and_absent(homeless - held)
    image, late = assemble(around, served, offsets, admission)
    compiled = Compiled(
        image, _as_configured(around, served), _waiting(around, served, late)
    )
    if compiled.waiting and compiled.image == known and waits.held:
        # Nothing gets anywhere any more: rather that one is away for a moment.
        return waits.and_absent([min(waits.held, key=service_ids.__getitem__)])
    return compiled


def _can_hold(around: Round, endpoint: Endpoint) -> bool:
    """Tell whether a service can stay as the maps have it, somebody serving."""
    entry = around.known.services.get(endpoint)
    if entry is None or not entry.ring_size or endpoint not in around.ids.services:
        return False
    return all(
        index.number < around.settings.limits.backends
        for index in backends_of(around.known, entry)
    )


def _served(
    around: Round,
    service: Service,
    service_ids: Mapping[Endpoint, int],
    numbers: Mapping[BackendPlace, int],
    waits: Waits,
) -> Served:
    endpoint, facts, serving = endpoint_of(service), around.facts, around.serving
    if endpoint in waits.held:
        return hold(service, numbers, facts, serving, around.known)
    number = service_ids[endpoint]
    one = serve(service, number, numbers, facts, serving, around.tables)
    is_known = endpoint in around.known.services
    own = facts.network.addresses
    if ring := leader(facts.shared, endpoint, own, known=is_known):
        return follow(one, around.known, around.moment, ring, numbers)
    return remember(one, around.known, around.moment)


def _as_configured(around: Round, served: Sequence[Served]) -> tuple[Served, ...]:
    configured = {service.name: service for service in around.configured}
    return tuple(replace(one, service=configured[one.service.name]) for one in served)


def _waiting(
    around: Round, served: Sequence[Served], late: AbstractSet[Endpoint]
) -> frozenset[str]:
    """Return the services that are not all that they are to be, for want of room."""
    there = {one.service.name for one in served}
    return frozenset(service.name for service in around.desired) - there | {
        one.service.name
        for one in served
        if one.held
        or LATE in one.problems.values()
        or (late and any(answering(one.service, b) in late for b in one.service.backends))
    }


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
