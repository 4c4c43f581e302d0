"""Advertisements on the wire: a raw socket of IP protocol 112 on one interface."""

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from socket import (
    AF_INET,
    INADDR_ANY,
    IP_ADD_MEMBERSHIP,
    IP_MULTICAST_IF,
    IP_MULTICAST_LOOP,
    IP_MULTICAST_TTL,
    IP_TOS,
    IPPROTO_IP,
    SO_BINDTODEVICE,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOL_SOCKET,
    socket,
)
from typing import Final, Self

from vrrp.errors import MalformedError
from vrrp.packet import GROUP, PROTOCOL, TTL, Advertisement

# An interface may go, lose its address, or have a full queue, and a firewall may say no.
# VRRP is there for such moments, so it lives through them; anything else is a bug.
SURVIVABLE: Final = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ENODEV,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
        errno.EINVAL,  # what the kernel says when the source address is no longer ours
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.EPERM,  # a firewall's verdict
    }
)

_INTERNETWORK_CONTROL: Final = 0xC0  # the precedence of routing protocols
_IP_MULTICAST_ALL: Final = 49  # linux/in.h; the socket module does not have these
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
_MREQN: Final = struct.Struct("@4s4si")  # struct ip_mreqn
_LARGEST: Final = 2048  # bytes; 255 addresses make 1028 and an IP header at most 60
# Enough to empty a receive buffer, but an end: nobody can keep us from our timers.
_DRAIN: Final = 512
_IP_HEADER: Final = struct.Struct("!BBHHHBBH4s4s")
_IP_VERSION: Final = 4


@dataclass(frozen=True, slots=True)
class Datagram:
    """An IP datagram taken apart."""

    source: IPv4Address
    destination: IPv4Address
    ttl: int
    payload: bytes


class Transport:
    """Sends and receives on one interface, for one VRID.

    To open and to close it waits for the kernel's RTNL lock: not for an event loop.
    """

    def __init__(self, interface: str, index: int, address: IPv4Address, vrid: int) -> None:
        self._address = address
        self._vrid = vrid
        self._socket = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, PROTOCOL)
        try:
            self._set_up(interface, index)
        except OSError:
            self._socket.close()
            raise

    def _set_up(self, interface: str, index: int) -> None:
        option = self._socket.setsockopt
        option(SOL_SOCKET, SO_BINDTODEVICE, interface.encode() + b"\0")
        # Not what other sockets of this host have joined elsewhere.
        option(IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        any_address = INADDR_ANY.to_bytes(4, "big")
        option(IPPROTO_IP, IP_ADD_MEMBERSHIP, _MREQN.pack(GROUP.packed, any_address, index))
        # Else the kernel may choose a virtual address as the source of what we send.
        out = _MREQN.pack(any_address, self._address.packed, index)
        option(IPPROTO_IP, IP_MULTICAST_IF, out)
        option(IPPROTO_IP, IP_MULTICAST_LOOP, 0)
        option(IPPROTO_IP, IP_MULTICAST_TTL, TTL)
        option(IPPROTO_IP, IP_TOS, _INTERNETWORK_CONTROL)
        # No "don't fragment", as keepalived has it.
        option(IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()

    def fileno(self) -> int:
        """Let an event loop wait for what arrives."""
        return self._socket.fileno()

    def send(self, advertisement: Advertisement) -> None:
        """Send to the group; OSError, often one of :data:`SURVIVABLE`."""
        message = advertisement.pack(self._address, GROUP)
        self._socket.sendto(message, (str(GROUP), 0))

    def drain(self) -> Iterator[Datagram]:
        """Yield what has arrived for our VRID, and do not wait for more."""
        for _ in range(_DRAIN):
            try:
                packet = self._socket.recv(_LARGEST)
            except OSError as error:
                if error.errno in SURVIVABLE:
                    return
                raise
            try:
                datagram = dissect(packet)
            except MalformedError:
                continue  # the kernel has checked the header, so this is for the types
            # Other virtual routers, and other versions of VRRP, may share the LAN.
            if datagram.destination == GROUP and datagram.payload[1:2] == bytes(
                [self._vrid]
            ):
                yield datagram


def dissect(packet: bytes) -> Datagram:
    """Take an IPv4 datagram apart, link-layer padding left out; raise MalformedError."""
    if len(packet) < _IP_HEADER.size:
        raise MalformedError(f"it has {len(packet)} bytes, fewer than an IP header")
    first, _, total, _, _, ttl, protocol, _, source, destination = _IP_HEADER.unpack_from(
        packet
    )
    header = (first & 0x0F) * 4
    if first >> 4 != _IP_VERSION or header < _IP_HEADER.size or protocol != PROTOCOL:
        raise MalformedError("it is not VRRP over IPv4")
    if not header <= total <= len(packet):
        raise MalformedError(f"its length is {total}, but {len(packet)} bytes arrived")
    return Datagram(
        IPv4Address(source), IPv4Address(destination), ttl, packet[header:total]
    )
