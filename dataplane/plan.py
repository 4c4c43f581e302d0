"""The writes that turn one image into another."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.image import FILL_ORDER, Image


@dataclass(frozen=True, slots=True)
class Put:
    """Set one element."""

    table: str
    key: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one element."""

    table: str
    key: Any


@dataclass(frozen=True, slots=True)
class Reset:
    """Set a counter to zero: its id gets a new owner."""

    table: str
    index: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until no packet that was under way before is still under way."""


Write = Put | Delete | Reset | Settle


def plan(actual: Image, wanted: Image, counted: Image | None = None) -> Iterator[Write]:
    """Yield the writes that turn ``actual`` into ``wanted``, in a safe order.

    Filling in ``FILL_ORDER`` and emptying in the other one means that no packet ever meets
    a dangling reference, wherever the writing stops. When services lead to nothing any
    more that is going, packets that have read them before come to their end; then the rest
    goes. A ring is never changed in place: the caller gives a new one another offset.
    ``counted`` has the services and backends whose counters go on; without it, those of
    ``actual`` do.
    """
    deletes: dict[str, list[Write]] = {}
    for table in FILL_ORDER:
        have, want = getattr(actual, table), getattr(wanted, table)
        known = getattr(counted or actual, table)
        for key, value in _worth_a_look(want, have, known):
            if key not in known:
                yield from _resets(table, key, value)
            if key not in have or have[key] != value:
                yield Put(table, key, value)
        deletes[table] = [Delete(table, key) for key in set(have).difference(want)]
    yield from deletes.pop("services")
    if any(deletes.values()):
        yield Settle()
    for table in reversed(FILL_ORDER):
        yield from deletes.get(table, ())


def _worth_a_look(
    want: Mapping[Any, Any], have: Mapping[Any, Any], known: Mapping[Any, Any]
) -> Iterable[tuple[Any, Any]]:
    """Return the entries of ``want``, but not those that are the same objects in ``have``.

    That is the quickest way to see that nothing is to be done: most do not change.
    """
    if known is not have:
        return want.items()
    if want is have:
        return ()
    return (entry for entry in want.items() if have.get(entry[0]) is not entry[1])


def _resets(table: str, key: Any, value: Any) -> Iterator[Reset]:
    if table == "backends":
        yield Reset("backend_counters", key.number)
    elif table == "services":
        yield Reset("service_counters", value.id)
