"""Where the clients of a virtual server connect to: addresses, ranges, groups of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from control.importing.notes import Notes, RefusedError
from control.importing.ranges import addresses
from control.importing.statements import Statement

MAX_POINTS: Final = 65_536  # of one virtual_server
_LEFT_OUT: Final = "the virtual server is left out"


@dataclass(frozen=True, slots=True)
class Point:
    """Where clients connect to."""

    name: str
    address: str
    port: int


def points_of(
    virtual: Statement, groups: Mapping[str, Statement], notes: Notes
) -> list[Point]:
    """Return the addresses and ports of a virtual_server; raise RefusedError."""
    points = list(islice(_points(virtual, groups, notes), MAX_POINTS + 1))
    if len(points) > MAX_POINTS:
        raise RefusedError(virtual.place, f"has more than {MAX_POINTS} addresses")
    return points


def _points(
    virtual: Statement, groups: Mapping[str, Statement], notes: Notes
) -> Iterator[Point]:
    suffix = _suffix(virtual)
    match virtual.arguments:
        case ("group", name):
            if name not in groups:
                notes.add(virtual.place, name, f"there is no such group; {_LEFT_OUT}")
                return
            for one in groups[name].body or ():
                yield from _group_points(one, suffix, notes)
        case ("fwmark", _):
            why = f"packets are known by address and port, not by marks; {_LEFT_OUT}"
            notes.add(virtual.place, "fwmark", why)
        case (address, *port):
            where = Statement(virtual.place, address, tuple(port))
            yield from _group_points(where, suffix, notes)
        case _:
            notes.add(virtual.place, virtual.keyword, f"has no address; {_LEFT_OUT}")


def _group_points(where: Statement, suffix: str, notes: Notes) -> Iterator[Point]:
    if where.keyword == "fwmark":
        why = "packets are known by address and port, not by marks; left out"
        notes.add(where.place, "fwmark", why)
        return
    text = where.arguments[0] if where.arguments else "0"
    try:
        port = int(text)
        for address in addresses(where.keyword):
            yield Point(f"{address}-{port or 'any'}-{suffix}", str(address), port)
    except ValueError as error:
        notes.add(where.place, where.keyword, f"{error}; left out")


def _suffix(virtual: Statement) -> str:
    settings = [one for one in virtual.body or () if one.keyword == "protocol"]
    return protocol_name(next(reversed(settings), None))


def protocol_name(setting: Statement | None) -> str:
    """Return what ``protocol`` says, or what keepalived takes it for."""
    return setting.arguments[0].lower() if setting and setting.arguments else "udp"
