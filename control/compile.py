"""From what is wanted and what is known to what the maps should hold. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from control import arena
from control.admission import Waits, admit_backends, number_services
from control.assembly import assemble
from control.basis import Basis, Now, unsettled
from control.capacity import check_capacity
from control.desired import DesiredState
from control.entries import endpoint_of, next_hops
from control.facts import BackendKey, Facts, Moment
from control.ids import BackendPlace, Ids
from control.incremental import Renewed, renew
from control.model import Service
from control.outcome import outcome
from control.pool import ORDINARY, Pool
from control.pools import as_served, pools_of
from control.returns import answering
from control.rounds import Round, Settings, weighted
from control.serving import LATE, Served, backends_of, hold, serving_ids
from control.status import Health
from control.tables import Tables
from dataplane.image import Image
from dataplane.records import Endpoint, Index


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the maps should hold, and what there is to say of it."""

    image: Image
    services: tuple[Served, ...]  # in the maps; in the operator's order
    waiting: frozenset[str] = frozenset()  # services that have to wait for another round
    basis: Basis | None = None  # for the next round; None: it has to compile everything
    # By service; of those that are not here each backend serves by itself.
    pools: Mapping[str, Pool] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the next round needs not compile everything, if little changes."""
        return self.basis is not None and self.basis.is_settled


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
    by_checks = _weighted(desired, facts.weights)
    pools = pools_of(by_checks, facts, known)
    around = Round(
        desired,
        as_served(by_checks, pools),
        replace(facts, pools=pools),
        settings,
        known,
        Ids.of(known).within(settings.limits),
        serving_ids(known),
        next_hops(facts.network),
        tables,
        moment,
    )
    return _everything(around)


def compile_next(last: Compiled, settings: Settings, now: Now) -> Compiled:
    """Return what :func:`compile_image` does, where the maps hold the image of ``last``.

    It takes the time for what has changed since, where it can.
    """
    desired, known = now.desired, last.image
    if last.basis is not None and last.basis.settings == settings:
        check_capacity(desired, settings.limits)
        renewed = renew(last.basis, now, known)
        if renewed is not None:
            return _renewed(last, desired, renewed)
    return compile_image(desired, now.facts, settings, known, now.tables, now.moment)


def _everything(around: Round) -> Compiled:
    waits = Waits()
    while isinstance(attempt := _attempt(around, waits), Waits):
        waits = attempt
    return attempt


def _renewed(last: Compiled, desired: DesiredState, renewed: Renewed) -> Compiled:
    services, pools = list(last.services), dict(last.pools)
    for number in renewed.compiled:
        one, service = renewed.basis.served[number], desired.services[number]
        pool = renewed.pools.get(service.name)
        services[number] = replace(one, service=service, pool=pool or ORDINARY)
        if pool:
            pools[service.name] = pool
        else:
            pools.pop(service.name, None)
    return Compiled(renewed.image, tuple(services), basis=renewed.basis, pools=pools)


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
    waiting, basis = _waiting(around, served, late), None
    if not waiting and admission.is_complete:
        others = unsettled(served, known, image)
        facts = replace(around.facts, pools={})
        basis = Basis.of(around.configured, facts, around.settings, served, others)
    compiled = Compiled(
        image,
        _as_configured(around, served),
        waiting,
        basis,
        around.facts.pools,
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
    return outcome(around, service, service_ids[endpoint], numbers)


def _as_configured(around: Round, served: Sequence[Served]) -> tuple[Served, ...]:
    configured = {service.name: service for service in around.configured}
    pools = around.facts.pools
    return tuple(
        replace(
            one,
            service=configured[one.service.name],
            pool=pools.get(one.service.name, ORDINARY),
        )
        for one in served
    )


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
    return DesiredState(tuple(weighted(service, weights) for service in desired))
