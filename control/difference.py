"""What differs between two desired states, in services and backends. Pure.

A name is who somebody is: what has another name is another one. But a service that has
another name where packets find it is renamed, for its flows stay.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from control.check_common import CheckDefaults
from control.checks import AnyCheck
from control.desired import DesiredState
from control.disruption import Disruption, disruption
from control.document import check_document, defaults_document, pool_document
from control.drains import deadline_text
from control.model import Backend, Service
from control.pool_policy import PoolPolicy
from control.status import Standing
from control.tables import Tables


class Change(StrEnum):
    """What became of a service or backend."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A key of a service or backend; values are as a file spells them, "" if absent."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class BackendDifference:
    """A backend that differs."""

    name: str
    change: Change
    fields: tuple[FieldDifference, ...]  # all of them if it was added or removed


@dataclass(frozen=True, slots=True)
class ServiceDifference:
    """A service that differs."""

    name: str
    change: Change
    fields: tuple[FieldDifference, ...]  # all of them if it was added or removed
    backends: tuple[BackendDifference, ...]
    # None: it has no flows so far, or all of them end, or nobody has computed it.
    disruption: Disruption | None = None
    # The service that has the flows of `disruption` otherwise: if this one was added, so
    # far, and else then. "": there is none.
    other_service: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs; nothing, if it is false."""

    services: tuple[ServiceDifference, ...] = ()
    is_reordered: bool = False  # services or backends stand in another order

    def __bool__(self) -> bool:
        return bool(self.services) or self.is_reordered


_Named = TypeVar("_Named", Service, Backend)
_Pair = tuple[Service | None, Service | None]
_Places = Mapping[tuple[object, ...], Service]  # who is where packets find it
SERVICE_FIELDS: Final[Mapping[str, Callable[[Service], str]]] = {
    "vip": lambda service: str(service.vip),
    "protocol": lambda service: service.protocol.value,
    "port": lambda service: str(service.port),
    "mode": lambda service: service.mode.value,
    "checks": lambda service: _checks(service.checks),
    "ring_size": lambda service: str(service.ring_size or "automatic"),
    "affinity": lambda service: service.affinity.value,
    "hash": lambda service: service.hash.value,
    "returns": lambda service: service.returns.value,
    "pool": lambda service: _pool(service.pool, service),
    "check_defaults": lambda service: _defaults(service.check_defaults),
}
BACKEND_FIELDS: Final[Mapping[str, Callable[[Backend], str]]] = {
    "address": lambda backend: str(backend.address),
    "port": lambda backend: str(backend.port),
    "weight": lambda backend: str(backend.weight),
    "state": lambda backend: backend.state.value,
    "zone": lambda backend: backend.zone,
    "drain_deadline": deadline_text,
    "checks": lambda backend: "" if backend.checks is None else _checks(backend.checks),
}


def difference(before: DesiredState, after: DesiredState) -> Difference:
    """Return what differs from ``before`` to ``after``, in the order of ``after``."""
    pairs = list(_service_pairs(before, after))
    return Difference(
        tuple(one for pair in pairs if (one := _service(*pair))),
        is_reordered=_any_reordered(before, after, pairs),
    )


def foresee(before: DesiredState, after: DesiredState, standing: Standing) -> Difference:
    """Return what differs, and what that does to flows.

    Takes a millisecond or two for each service that has some.
    """
    flows = _Flows(_places(before), _places(after), standing, Tables())
    pairs = list(_service_pairs(before, after))
    services = tuple(
        replace(one, disruption=foreseen, other_service=other)
        for pair in pairs
        if (one := _service(*pair))
        for foreseen, other in [flows.foresee(*pair)]
    )
    return Difference(services, is_reordered=_any_reordered(before, after, pairs))


@dataclass(frozen=True, slots=True)
class _Flows:
    """Whose flows are whose, before and after."""

    before: _Places
    after: _Places
    standing: Standing
    tables: Tables

    def foresee(
        self, old: Service | None, new: Service | None
    ) -> tuple[Disruption | None, str]:
        """Return what becomes of a service's flows, and which other one has them."""
        if old is None:
            assert new is not None  # noqa: S101 - nobody does not differ from nobody
            owner = _holder(self.before, new)
            return (self._step(owner, new), owner.name) if owner else (None, "")
        heir = _holder(self.after, old)
        if heir is None:
            return (self._step(old, new) if new else None), ""
        if heir is not new:
            return self._step(old, heir), heir.name
        # By its old name it is known how its backends are.
        return self._step(old, replace(new, name=old.name)), ""

    def _step(self, old: Service, new: Service) -> Disruption:
        return disruption(old, new, self.standing, self.tables)


def _places(state: DesiredState) -> _Places:
    return {_place(service): service for service in state}


def _place(service: Service) -> tuple[object, ...]:
    return service.vip, service.protocol, service.port


def _holder(places: _Places, service: Service) -> Service | None:
    """Return who has the packets to the place of ``service``."""
    every_port = service.vip, service.protocol, 0
    return places.get(_place(service)) or places.get(every_port)


def _service_pairs(before: DesiredState, after: DesiredState) -> Iterator[_Pair]:
    """Give what is one service together, as :func:`_pairs`; renamed ones, too."""
    pairs = list(_pairs(before.services, after.services))
    gone = {_place(old): old for old, new in pairs if old and not new}
    for old, new in pairs:  # who is gone comes last
        if new is None:
            if old and _place(old) in gone:
                yield old, None
        else:
            yield old or gone.pop(_place(new), None), new


def _pairs(
    before: Sequence[_Named], after: Sequence[_Named]
) -> Iterator[tuple[_Named | None, _Named | None]]:
    """Give those of the same name together; None stands for who is missing there."""
    old = {one.name: one for one in before}
    new = {one.name: one for one in after}
    yield from ((old.get(one.name), one) for one in after)
    yield from ((one, None) for one in before if one.name not in new)


def _any_reordered(
    before: DesiredState, after: DesiredState, pairs: Iterable[_Pair]
) -> bool:
    return _is_reordered(before.services, after.services) or any(
        _is_reordered(old.backends, new.backends) for old, new in pairs if old and new
    )


def _is_reordered(before: Iterable[_Named], after: Iterable[_Named]) -> bool:
    old, new = [one.name for one in before], [one.name for one in after]
    staying = set(old) & set(new)
    return [one for one in old if one in staying] != [one for one in new if one in staying]


def _service(before: Service | None, after: Service | None) -> ServiceDifference | None:
    """Return how a service differs; None if it does not, but for the order of backends."""
    if before == after:
        return None
    name, change = _what(before, after)
    pairs = _pairs(before.backends if before else (), after.backends if after else ())
    fields = list(_fields(before, after, SERVICE_FIELDS))
    if before and before.name != name:
        fields.insert(0, FieldDifference("name", before.name, name))
    backends = tuple(_backend(*pair) for pair in pairs if pair[0] != pair[1])
    return (
        ServiceDifference(name, change, tuple(fields), backends)
        if fields or backends
        else None
    )


def _backend(before: Backend | None, after: Backend | None) -> BackendDifference:
    fields = tuple(_fields(before, after, BACKEND_FIELDS))
    return BackendDifference(*_what(before, after), fields)


def _what(before: _Named | None, after: _Named | None) -> tuple[str, Change]:
    if after is not None:
        return after.name, Change.CHANGED if before is not None else Change.ADDED
    assert before is not None  # noqa: S101 - nobody does not differ from nobody
    return before.name, Change.REMOVED


def _fields(
    before: _Named | None,
    after: _Named | None,
    texts: Mapping[str, Callable[[_Named], str]],
) -> Iterator[FieldDifference]:
    for field, text in texts.items():
        old, new = (text(one) if one else "" for one in (before, after))
        if old != new:
            yield FieldDifference(field, old, new)


def _pool(policy: PoolPolicy, service: Service) -> str:
    keys = pool_document(policy, service.port).items()
    return ", ".join(part for key in keys for part in _key(*key)) or "default"


def _defaults(defaults: CheckDefaults) -> str:
    keys = defaults_document(defaults).items()
    return ", ".join(f"{name}={value}" for name, value in keys) or "built in"


def _checks(checks: Iterable[AnyCheck]) -> str:
    return "; ".join(map(_check, checks)) or "none"


def _check(check: AnyCheck) -> str:
    """Return a check as the command line takes it."""
    kind, *keys = check_document(check).items()
    return ", ".join((str(kind[1]), *(part for key in keys for part in _key(*key))))


def _key(name: str, value: object) -> Iterator[str]:
    match value:
        case bool():
            yield f"{name}={str(value).lower()}"
        case dict():
            yield from (f"header.{header}={text}" for header, text in value.items())
        case list() | tuple():
            yield f"{name}={shlex.join(value)}"
        case _:
            yield f"{name}={value}"
