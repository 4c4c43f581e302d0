"""Compiling only what depends on what has changed. Pure.

An image is compiled from what is wanted, from facts, and from the image before. A service
for which all three are as they were in the round before comes out as it did then. So only
the others are compiled, by the same functions, and take their entries' places in the image.
What concerns several services at once (other endpoints, NAT backends that are shared, other
interfaces, maps that get full) is left to :func:`control.compile.compile_image` as a whole.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from control import arena
from control.admission import Admission, admit_backends, number_services
from control.assembly import assemble
from control.basis import Basis, Now, is_few
from control.desired import DesiredState
from control.entries import endpoint_of, next_hops
from control.ids import Ids
from control.model import Mode, Service
from control.outcome import outcome
from control.pool import Pool
from control.pools import as_served, pools_of
from control.returns import answering
from control.rounds import Round, Settings, weighted
from control.serving import Served, serving_ids
from control.transition import is_in_transition
from dataplane import records
from dataplane.image import Image, Ring
from dataplane.records import Endpoint

_SPARE_TABLES: Final = 256  # that nobody asks for any more
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Renewed:
    """An image of which only a part was compiled."""

    image: Image
    basis: Basis
    compiled: frozenset[int]  # the services that were, by their place
    pools: Mapping[str, Pool]  # theirs, by name; of those that are not here each by itself


def renew(basis: Basis, now: Now, known: Image) -> Renewed | None:
    """Return what the maps should hold; None if everything has to be compiled for that.

    ``known`` is what was compiled from ``basis``, and what the maps hold.
    """
    numbers = _to_compile(basis, now)
    if numbers is None:
        return None
    order = sorted(numbers)
    new = [now.desired.services[number] for number in order]
    old = [basis.configured.services[number] for number in order]
    limits = basis.settings.limits
    speakers = _speakers((*old, *new), known, limits.backends)
    if speakers is None:
        return None
    around = _part(basis.settings, now, known, new, speakers)
    if (result := _serve(around)) is None:
        return None
    fresh, admission = result
    served = list(basis.served)
    for number, one in zip(order, fresh, strict=True):
        served[number] = one
    offsets = arena.place([one.ring for one in served], known.rings, limits.slots)
    if None in offsets:
        return None
    part, late = assemble(around, fresh, [offsets[n] for n in order], admission)
    if late:
        return None
    image = replace(
        known,
        backends=_updated(known.backends, around.known.backends, part.backends),
        returns=_updated(known.returns, around.known.returns, part.returns),
        rings=_rings(known, served, offsets),
        services=_services(known, part, served, offsets),
    )
    moving = frozenset(number for number in order if is_in_transition(served[number].ring))
    next_basis = Basis(
        now.desired,
        now.facts,
        basis.settings,
        tuple(served),
        numbers if _differs(part, around.known) else frozenset(),
        (basis.moving - numbers) | moving,
    )
    return Renewed(image, next_basis, numbers, around.facts.pools)


def _to_compile(basis: Basis, now: Now) -> frozenset[int] | None:
    """Return the services to be compiled; None: all of them, which is not more work."""
    if len(now.tables) > len(basis.served) + _SPARE_TABLES:
        return None  # so that those of them are forgotten that nobody asks for
    numbers = basis.to_compile(now)
    if numbers is None or not is_few(len(numbers), len(basis.served)):
        return None
    return numbers


def _speakers(
    services: Iterable[Service], known: Image, room: int
) -> frozenset[Endpoint] | None:
    """Return what the replies of NAT services come from; None if others speak there too."""
    found: dict[Endpoint, str] = {}
    for service in services:
        for backend in service.members if service.mode is Mode.NAT else ():
            endpoint = answering(service, backend)
            answer = known.returns.get(endpoint)
            vip = (service.vip, service.port)
            if (
                not service.port
                or found.setdefault(endpoint, service.name) != service.name
                or replace(endpoint, port=0) in known.returns
                or (answer and (answer.is_tracked or (answer.vip, answer.port) != vip))
            ):
                return None
    return frozenset(found) if len(known.returns) + len(found) <= room else None


def _part(
    settings: Settings,
    now: Now,
    known: Image,
    configured: Sequence[Service],
    speakers: Iterable[Endpoint],
) -> Round:
    """Return the round of these services alone, with what the maps hold of them."""
    services = {each: known.services[each] for each in map(endpoint_of, configured)}
    owners = {entry.id for entry in services.values()}
    part = Image(
        backends={i: b for i, b in known.backends.items() if b.service_id in owners},
        returns={each: known.returns[each] for each in speakers if each in known.returns},
        rings={
            entry.ring_offset: known.rings[entry.ring_offset]
            for entry in services.values()
            if entry.ring_size
        },
        vips=known.vips,
        services=services,
    )
    ids = Ids.of(part)
    taken = {index.number for index in known.backends}
    others = frozenset(taken.difference(ids.backends.values()))
    addresses = {backend.address for one in configured for backend in one.members}
    network, weights = now.facts.network, now.facts.weights
    hops = {at: hop for at in addresses if (hop := network.next_hops.get(at))}
    by_checks = DesiredState(tuple(weighted(one, weights) for one in configured))
    pools = pools_of(by_checks, now.facts, part)
    return Round(
        configured=DesiredState(tuple(configured)),
        desired=as_served(by_checks, pools),
        facts=replace(now.facts, pools=pools),
        settings=settings,
        known=part,
        ids=Ids(ids.services, ids.backends, others),
        serving=serving_ids(part),
        hops=next_hops(replace(network, next_hops=hops)),
        tables=now.tables,
        moment=now.moment,
    )


def _serve(around: Round) -> tuple[list[Served], Admission] | None:
    """Return how all services came out, and who got room; None if somebody did not."""
    service_ids = number_services(around, around.desired)
    if len(service_ids) < len(around.desired.services):
        return None
    services = around.desired.services
    admission = admit_backends(around, services, service_ids)
    if not admission.is_complete:
        return None
    return [
        outcome(around, one, service_ids[endpoint_of(one)], admission.numbers)
        for one in services
    ], admission


def _updated(
    whole: Mapping[_Key, _Value], old: Mapping[_Key, _Value], new: Mapping[_Key, _Value]
) -> Mapping[_Key, _Value]:
    """Return ``whole`` with ``new`` in place of its part ``old``; itself if that is so."""
    gone = old.keys() - new.keys()
    other = {key: value for key, value in new.items() if old.get(key) != value}
    if not gone and not other:
        return whole
    changed = dict(whole)
    for key in gone:
        del changed[key]
    changed.update(other)
    return changed


def _rings(
    known: Image, served: Iterable[Served], offsets: Iterable[int | None]
) -> Mapping[int, Ring]:
    placed = zip(served, offsets, strict=True)
    rings = {offset or 0: one.ring for one, offset in placed if one.ring}
    return known.rings if rings == known.rings else rings


def _services(
    known: Image, part: Image, served: Iterable[Served], offsets: Iterable[int | None]
) -> Mapping[Endpoint, records.Service]:
    """Return the services' entries; a ring may have moved without a change."""
    found = {}
    for one, offset in zip(served, offsets, strict=True):
        endpoint = endpoint_of(one.service)
        entry = part.services.get(endpoint, known.services[endpoint])
        if entry.ring_offset != (offset or 0):
            entry = replace(entry, ring_offset=offset or 0)
        found[endpoint] = entry
    return found


def _differs(part: Image, known: Image) -> bool:
    """Tell whether services came out otherwise than the maps have them."""
    return (part.backends, part.returns, part.services) != (
        known.backends,
        known.returns,
        known.services,
    )
