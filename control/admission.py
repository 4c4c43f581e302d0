"""Who gets room in the maps in a round, when there is not enough for old and new. Pure.

What stays has its numbers; what is new gets those that nobody has or had in the maps, as
long as there are any; the rest waits for the next round, when others have gone. Among the
new ones, those come first without whom a service could not be served at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain

from control.entries import endpoint_of
from control.ids import BackendPlace
from control.model import Backend, Mode, Service
from control.returns import answering
from control.rounds import Round
from control.serving import problem_of
from dataplane.records import Address, Endpoint

Member = tuple[Service, Backend, BackendPlace]


@dataclass(frozen=True, slots=True)
class Waits:
    """Services that cannot become what they are to be in this round, by their endpoints."""

    held: AbstractSet[Endpoint] = field(default_factory=frozenset)  # stay as they are
    absent: AbstractSet[Endpoint] = field(default_factory=frozenset)  # not in the maps

    def and_held(self, endpoints: Iterable[Endpoint]) -> "Waits":
        """Return these and ``endpoints``, which stay as they are."""
        return Waits(self.held | set(endpoints), self.absent)

    def and_absent(self, endpoints: Iterable[Endpoint]) -> "Waits":
        """Return these and ``endpoints``, which are not in the maps."""
        gone = set(endpoints)
        return Waits(self.held - gone, self.absent | gone)


def number_services(around: Round, services: Iterable[Service]) -> dict[Endpoint, int]:
    """Return the ids of services; of those that have to wait there is none."""
    ids, limits = around.ids, around.settings.limits
    free, vips = ids.free_services(limits), set(around.known.vips)
    numbers = {}
    for service in services:
        endpoint, vip = endpoint_of(service), Address(service.vip)
        number = ids.services.get(endpoint)
        # A round that did not get to its end may have left VIPs without services.
        if number is None and (vip in vips or len(vips) < limits.services):
            number = next(free, None)
        if number is not None:
            numbers[endpoint] = number
            vips.add(vip)
    return numbers


@dataclass(frozen=True, slots=True)
class Admission:
    """Which backends are in the maps in a round."""

    numbers: Mapping[BackendPlace, int]  # of those that are
    speakers: AbstractSet[Endpoint]  # NAT backends whose replies the maps know, or will
    stranded: frozenset[Endpoint]  # services that wait for everybody who could serve them
    is_complete: bool = False  # nobody waits


def admit_backends(
    around: Round, services: Sequence[Service], service_ids: Mapping[Endpoint, int]
) -> Admission:
    """Return the backends that have an entry, or get one; who is not reached, gets none."""
    ids, hops = around.ids, around.hops
    members = [
        [
            (service, backend, place)
            for backend in service.backends
            for place in [BackendPlace(number, backend.address, backend.port)]
            if place in ids.backends or backend.address in hops
        ]
        for service in services
        for number in [service_ids[endpoint_of(service)]]
    ]
    numbers, speakers = _admit(around, chain(*members))
    if len(numbers) == sum(map(len, members)):  # no two are the same
        return Admission(numbers, speakers, frozenset(), is_complete=True)
    able = [[one for one in each if _is_able(around, one)] for each in members]
    urgent = [
        each[0] for each in able if each and not any(m[2] in ids.backends for m in each)
    ]
    numbers, speakers = _admit(around, chain(urgent, *members))
    stranded = frozenset(
        endpoint_of(each[0][0])
        for each in able
        if each and not any(place in numbers for _, _, place in each)
    )
    return Admission(numbers, speakers, stranded)


def _is_able(around: Round, member: Member) -> bool:
    service, backend, place = member
    serves = around.ids.backends.get(place) in around.serving
    return not problem_of(service, backend, around.facts, serves=serves)


def _admit(
    around: Round, members: Iterable[Member]
) -> tuple[dict[BackendPlace, int], set[Endpoint]]:
    """Give numbers in this order, while there is room for backends and their replies."""
    ids, limits = around.ids, around.settings.limits
    free, speakers = ids.free_backends(limits), set(around.known.returns)
    numbers: dict[BackendPlace, int] = {}
    for service, backend, place in members:
        speaker = answering(service, backend) if service.mode is Mode.NAT else None
        is_known = speaker is None or speaker in speakers
        if place in numbers or not (is_known or len(speakers) < limits.backends):
            continue
        number = ids.backends.get(place)
        number = next(free, None) if number is None else number
        if number is None:
            continue
        numbers[place] = number
        if speaker:
            speakers.add(speaker)
    return numbers, speakers
