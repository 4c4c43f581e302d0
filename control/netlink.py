"""The few questions that are asked of the kernel for each backend, many at a time.

pyroute2 takes half a millisecond for a message: 8 seconds of a core for 16,384 backends.
Here it is a hundredth of that. Blocking, in the namespace of the process; what the messages
look like is in rtnetlink(7) and linux/rtnetlink.h. For all else there is pyroute2.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from itertools import islice
from typing import Final, NamedTuple

from pyroute2.netlink.exceptions import NetlinkDumpInterrupted
from pyroute2.netlink.rtnl import ndmsg

from control.addresses import IpAddress

_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_BATCH: Final = 32  # questions; the answers to as many fit into any socket's buffer
_MOST: Final = 1 << 16  # bytes of an answer

# linux/netlink.h
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, number, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_REQUEST, _ACK, _DUMP, _CREATE_OR_REPLACE = 0x1, 0x4, 0x300, 0x500
_INTERRUPTED: Final = 0x10
_ERROR, _DONE = 2, 3
_TYPE: Final = 0x3FFF  # of an attribute, without its flags
# linux/rtnetlink.h and linux/neighbour.h
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR, _GET_NEIGHBOURS = 28, 29, 30
_GET_ROUTE: Final = 26
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # family, length of destination, …
_INTERFACE, _GATEWAY, _PREFERRED_SOURCE, _VIA = 4, 5, 7, 18
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")  # family, interface, state, flags, type
_ADDRESS, _LINK_ADDRESS = 1, 2
# Links, neighbours, addresses, routes, rules and next hops: bits of their numbers less 1.
_GROUPS: Final = sum(1 << (n - 1) for n in (1, 3, 5, 7, 8, 9, 11, 19, 32))
_RECEIVE_BUFFER_FORCE: Final = 33  # SO_RCVBUFFORCE; whatever rmem_max allows others
_HEARING_BYTES: Final = 4 << 20

# How the kernel says that a route leads nowhere: unreachable, blackhole, prohibit.
_NO_ROUTE: Final = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EINVAL, errno.EACCES}


_Question = tuple[tuple[int, int], bytes]  # type and flags, and the body


class Way(NamedTuple):
    """Where packets for an address go."""

    ifindex: int
    via: IpAddress | None  # the router, of either family (RFC 8950); None: it is at hand
    source: IpAddress | None  # where the host speaks from


class Neighbour(NamedTuple):
    """What the kernel knows of a host at hand."""

    state: int  # NUD_…
    mac: bytes  # zeros where there is none, as for a tunnel


@dataclass(frozen=True, slots=True)
class Heard:
    """What has changed since somebody asked last."""

    neighbours: bool
    others: bool  # links, addresses, routes, rules


class Listener:
    """Hears that something changes in the network; what it is has to be asked for."""

    def __init__(self) -> None:
        """Listen from now on."""
        self._socket = _open(_GROUPS)
        try:
            option = _RECEIVE_BUFFER_FORCE
            self._socket.setsockopt(socket.SOL_SOCKET, option, _HEARING_BYTES)
        except PermissionError:  # we are not root, and get what rmem_max allows
            option = socket.SO_RCVBUF
            self._socket.setsockopt(socket.SOL_SOCKET, option, _HEARING_BYTES)

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def heard(self) -> Heard:
        """Return what has changed since the last call; everything, if it was too much."""
        neighbours = others = False
        while True:
            try:
                data = self._socket.recv(_MOST, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return Heard(neighbours, others)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                neighbours = others = True
                continue
            for kind, _, _, _ in _messages(data):
                is_of_neighbour = kind in (_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR)
                neighbours, others = (
                    neighbours or is_of_neighbour,
                    (others or not is_of_neighbour),
                )


def find_ways(destinations: Collection[IpAddress]) -> dict[IpAddress, Way]:
    """Return the way to each destination; there is none where no route leads to.

    Some 10 µs for each. Raises OSError.
    """
    found = {}
    order = list(destinations)
    for number, kind, body in _ask(map(_route_question, order)):
        if kind == _ERROR:
            code = _code(body)
            if code not in _NO_ROUTE:
                raise OSError(code, os.strerror(code))
        elif way := _way(body):
            found[order[number]] = way
    return found


def read_neighbours() -> dict[tuple[int, IpAddress], Neighbour]:
    """Return all neighbours by interface and address.

    Raises NetlinkDumpInterrupted if they changed so that some may be missing.
    """
    found = {}
    for family in _FAMILIES.values():
        body = _NEIGHBOUR.pack(family, 0, 0, 0, 0)
        with _open() as asking:
            asking.send(_message(_GET_NEIGHBOURS, _REQUEST | _DUMP, 0, body))
            for each in _dump(asking):
                _, ifindex, state, _, _ = _NEIGHBOUR.unpack_from(each)
                attributes = _attributes(each, _NEIGHBOUR.size)
                if _ADDRESS in attributes:
                    place = (ifindex, ip_address(attributes[_ADDRESS]))
                    mac = attributes.get(_LINK_ADDRESS, bytes(6))
                    found[place] = Neighbour(state, mac)
    return found


def resolve(neighbours: Iterable[tuple[int, IpAddress]]) -> None:
    """Have the kernel ask who these are, by interface, as packets of ours would have.

    Where it cannot (the interface went down a moment ago, or the table of neighbours is
    full), nothing happens: who has no MAC says so.
    """
    for _ in _ask(_use(*each) for each in neighbours):
        pass


def _route_question(destination: IpAddress) -> _Question:
    address = destination.packed
    head = _ROUTE.pack(_FAMILIES[destination.version], 8 * len(address), *[0] * 7)
    return (_GET_ROUTE, _REQUEST), head + _attribute(_ADDRESS, address)


def _use(ifindex: int, address: IpAddress) -> _Question:
    family = _FAMILIES[address.version]
    head = _NEIGHBOUR.pack(family, ifindex, ndmsg.NUD_NONE, ndmsg.NTF_USE, 0)
    flags = _REQUEST | _ACK | _CREATE_OR_REPLACE
    return (_NEW_NEIGHBOUR, flags), head + _attribute(_ADDRESS, address.packed)


def _ask(questions: Iterable[_Question]) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, type and body of the answer to each question."""
    waiting = enumerate(questions)
    with _open() as asking:
        while batch := list(islice(waiting, _BATCH)):
            messages = (_message(*about, n, body) for n, (about, body) in batch)
            asking.send(b"".join(messages))
            # The kernel has answered when it has taken the questions.
            for _ in batch:
                data = asking.recv(_MOST, socket.MSG_DONTWAIT)
                for kind, _, number, body in _messages(data):
                    yield number, kind, body


def _dump(asking: socket.socket) -> Iterator[bytes]:
    while True:
        for kind, flags, _, body in _messages(asking.recv(_MOST)):
            if kind == _ERROR:
                raise OSError(_code(body), os.strerror(_code(body)))
            if flags & _INTERRUPTED:
                raise NetlinkDumpInterrupted
            if kind == _DONE:
                return
            yield body


def _open(groups: int = 0) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened


def _message(kind: int, flags: int, number: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, number, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield type, flags, number and body of each message."""
    start = 0
    while start < len(data):
        length, kind, flags, number, _ = _HEADER.unpack_from(data, start)
        yield kind, flags, number, data[start + _HEADER.size : start + length]
        start += -(-length // 4) * 4


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _attributes(body: bytes, start: int) -> Mapping[int, bytes]:
    found = {}
    while start < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        found[kind & _TYPE] = body[start + _ATTRIBUTE.size : start + length]
        start += -(-length // 4) * 4
    return found


def _way(body: bytes) -> Way | None:
    attributes = _attributes(body, _ROUTE.size)
    interface = attributes.get(_INTERFACE)
    if interface is None:
        return None
    # RTA_VIA has the family before the address.
    via = attributes.get(_VIA, b"")[2:] or attributes.get(_GATEWAY)
    return _known_way(interface, via, attributes.get(_PREFERRED_SOURCE))


@lru_cache(maxsize=1024)
def _known_way(interface: bytes, via: bytes | None, source: bytes | None) -> Way:
    """Return a way; many destinations have the same."""
    return Way(
        struct.unpack("=i", interface)[0],
        ip_address(via) if via else None,
        ip_address(source) if source else None,
    )


def _code(body: bytes) -> int:
    return int(-struct.unpack_from("=i", body)[0])
