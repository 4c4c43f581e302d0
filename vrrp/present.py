"""The addresses that an interface has, as the kernel tells of them. Blocking.

pyroute2 takes 40 µs for each, and leaves much for the garbage collector: time in which no
advertisement is sent. Here it is a tenth of that. What the messages look like is in
rtnetlink(7) and linux/if_addr.h. For all else there is pyroute2.
"""

import errno
import os
import struct
from collections.abc import Iterator
from socket import AF_NETLINK, NETLINK_ROUTE, SOCK_CLOEXEC, SOCK_RAW, socket
from typing import Final, NamedTuple

_MOST: Final = 1 << 16  # bytes of an answer
_TRIES: Final = 5  # of reading them while they change

_SOL_NETLINK: Final = 270  # linux/socket.h
_STRICT: Final = 12  # NETLINK_GET_STRICT_CHK of linux/netlink.h: heed the interface
_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, number, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_CODE: Final = struct.Struct("=i")  # of an end: 0, or an error's number below 0
_REQUEST_DUMP: Final = 0x301
_INTERRUPTED: Final = 0x10
_ERROR, _DONE, _GET_ADDRESSES = 2, 3, 22
_TYPE: Final = 0x3FFF  # of an attribute, without its flags
_ADDRESS: Final = struct.Struct("=BBBBI")  # family, prefix, flags, scope, interface
_PEER, _LOCAL, _PROTO = 1, 2, 11  # IFA_ADDRESS, IFA_LOCAL, IFA_PROTO
_DEPRECATED: Final = 0x20


class Present(NamedTuple):
    """An address."""

    packed: bytes
    prefix: int  # bits
    mark: int  # which program has added it; 0: none that says so
    deprecated: bool


def read(index: int, family: int) -> list[Present]:
    """Return the addresses of an interface, given its index; raise OSError."""
    for _ in range(_TRIES):
        with socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) as asking:
            asking.setsockopt(_SOL_NETLINK, _STRICT, 1)
            body = _ADDRESS.pack(family, 0, 0, 0, index)
            size = _HEADER.size + len(body)
            asking.send(_HEADER.pack(size, _GET_ADDRESSES, _REQUEST_DUMP, 0, 0) + body)
            answer = _answer(asking)
        if answer is not None:
            return [_present(each) for each in answer]
    raise OSError(errno.EAGAIN, "the addresses keep changing while they are read")


def _answer(asking: socket) -> list[bytes] | None:
    """Return the body of each message; None if something changed half-way."""
    found = list[bytes]()
    while True:
        for kind, flags, body in _messages(asking.recv(_MOST)):
            if flags & _INTERRUPTED:
                return None
            if kind in (_DONE, _ERROR):
                code = -_CODE.unpack_from(body)[0]
                if code:  # there is no such interface, say
                    raise OSError(code, os.strerror(code))
                return found
            found.append(body)


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, flags and body of each message."""
    start = 0
    while start < len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, start)
        yield kind, flags, data[start + _HEADER.size : start + length]
        start += -(-length // 4) * 4


def _present(body: bytes) -> Present:
    _, prefix, flags, _, _ = _ADDRESS.unpack_from(body)
    attributes = {}
    start = _ADDRESS.size
    while start < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, start)
        attributes[kind & _TYPE] = body[start + _ATTRIBUTE.size : start + length]
        start += -(-length // 4) * 4
    # IPv6 has a local address only where there is a peer's as well.
    packed = attributes.get(_LOCAL) or attributes[_PEER]
    mark = attributes.get(_PROTO, b"\0")[0]
    return Present(packed, prefix, mark, flags & _DEPRECATED != 0)
