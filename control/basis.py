"""What an image was compiled from, and what of it has changed since. Pure."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from control.addresses import IpAddress
from control.desired import DesiredState
from control.entries import endpoint_of
from control.facts import Facts, Moment, Network
from control.rounds import Settings
from control.serving import Served
from control.tables import Tables
from control.transition import PATIENCE, is_in_transition
from dataplane.image import Image

_FEW: Final = 4  # one in so many
_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Now:
    """What a round is to go by, besides what the maps hold."""

    desired: DesiredState
    facts: Facts
    tables: Tables
    moment: Moment


@dataclass(frozen=True, slots=True)
class Basis:
    """What an image was compiled from; services by their place in the operator's order."""

    configured: DesiredState
    facts: Facts
    settings: Settings
    served: tuple[Served, ...]
    # Who came out otherwise than the maps had it: once more, and it may be otherwise again.
    unsettled: frozenset[int]
    moving: frozenset[int]  # with a ring in transition

    @classmethod
    def of(
        cls,
        configured: DesiredState,
        facts: Facts,
        settings: Settings,
        served: Sequence[Served],
        unsettled: frozenset[int],
    ) -> "Basis":
        """Return the basis of an image in which ``served`` is as it came out."""
        moving = (n for n, one in enumerate(served) if is_in_transition(one.ring))
        return cls(configured, facts, settings, tuple(served), unsettled, frozenset(moving))

    @property
    def is_settled(self) -> bool:
        """Whether few services at most might come out otherwise another time."""
        return is_few(len(self.unsettled), len(self.served))

    def to_compile(self, now: Now) -> frozenset[int] | None:
        """Return the services that may come out otherwise now; None: all of them may."""
        found = set(self.unsettled)
        old, new = self.configured.services, now.desired.services
        if len(old) != len(new):
            return None
        for number, (was, one) in enumerate(zip(old, new, strict=True)):
            if was is not one and was != one:
                if was.name != one.name or endpoint_of(was) != endpoint_of(one):
                    return None
                found.add(number)
        concerned = self._concerned(now.desired, now.facts)
        if concerned is None:
            return None
        return concerned.union(found, self._over(now.moment))

    def _concerned(self, desired: DesiredState, facts: Facts) -> frozenset[int] | None:
        """Return the services of which other facts are known; None: it may be all."""
        before = self.facts
        network, health, weights = before.network, before.health, before.weights
        suspected = before.suspected
        addresses = _other_hops(network, facts.network)
        alike = replace(
            facts,
            network=network,
            health=health,
            weights=weights,
            steps=before.steps,
            suspected=suspected,
        )
        if addresses is None or alike != before:
            return None
        verdicts = _changed(health, facts.health) | _changed(weights, facts.weights)
        verdicts |= _changed(before.steps, facts.steps)
        verdicts |= suspected ^ facts.suspected
        names = {service for service, _ in verdicts}
        if not names and not addresses:
            return frozenset()
        return frozenset(
            number
            for number, service in enumerate(desired)
            if service.name in names
            or (addresses and any(b.address in addresses for b in service.members))
        )

    def _over(self, moment: Moment) -> frozenset[int]:
        """Return the services in transition whose window is over."""
        return frozenset(
            number
            for number in self.moving
            for one in [self.served[number]]
            for window_ns in [PATIENCE[one.service.protocol] * 1_000_000_000]
            if moment.now_ns - one.changed_ns > window_ns
        )


def is_few(some: int, services: int) -> bool:
    """Tell whether compiling some services alone is less work than compiling all."""
    return some * _FEW <= services


def unsettled(served: Sequence[Served], known: Image, image: Image) -> frozenset[int]:
    """Return the services that ``image`` has otherwise than ``known``, by their place."""
    owners = set[int]()
    for index in _changed(known.backends, image.backends):
        owners.update(
            one.service_id
            for one in (known.backends.get(index), image.backends.get(index))
            if one
        )
    speaking = set[tuple[IpAddress, int]]()
    for endpoint in _changed(known.returns, image.returns):
        speaking.update(
            (one.vip, one.port)
            for one in (known.returns.get(endpoint), image.returns.get(endpoint))
            if one
        )
    return frozenset(
        number
        for number, one in enumerate(served)
        for endpoint in [endpoint_of(one.service)]
        if one.id in owners
        or (endpoint.address, endpoint.port) in speaking
        or known.services.get(endpoint) != image.services[endpoint]
    )


def _other_hops(before: Network, now: Network) -> Collection[IpAddress] | None:
    """Return the addresses that have another next hop; None: it is another network."""
    if before is now:
        return ()
    if replace(now, next_hops=before.next_hops) != before:
        return None
    return _changed(before.next_hops, now.next_hops)


def _changed(old: Mapping[_Key, _Value], new: Mapping[_Key, _Value]) -> set[_Key]:
    """Return the keys that have another value, or none on one side."""
    if old is new or old == new:
        return set()
    other = {key for key, value in new.items() if old.get(key) != value}
    return other.union(set(old).difference(new))
