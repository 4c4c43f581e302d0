"""Advertisements on the wire: a raw socket of IP protocol 112 on one interface."""

import errno
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from socket import (
    AF_INET,
    AF_INET6,
    AF_PACKET,
    CMSG_SPACE,
    INADDR_ANY,
    IP_ADD_MEMBERSHIP,
    IP_MULTICAST_IF,
    IP_MULTICAST_LOOP,
    IP_MULTICAST_TTL,
    IP_TOS,
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_HOPLIMIT,
    IPV6_JOIN_GROUP,
    IPV6_MULTICAST_HOPS,
    IPV6_MULTICAST_IF,
    IPV6_MULTICAST_LOOP,
    IPV6_PKTINFO,
    IPV6_RECVHOPLIMIT,
    IPV6_RECVPKTINFO,
    IPV6_TCLASS,
    IPV6_UNICAST_HOPS,
    SO_BINDTODEVICE,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOL_SOCKET,
    AddressFamily,
    socket,
)
from typing import Final, Self

from vrrp.admission import Datagram
from vrrp.errors import Fault, MalformedError
from vrrp.frame import frame
from vrrp.packet import (
    INTERNETWORK_CONTROL,
    IPV4,
    PROTOCOL,
    TTL,
    Advertisement,
    Dialect,
    IpAddress,
)

# An interface may go, lose its address, or have a full queue, and a firewall may say no.
# VRRP is there for such moments, so it lives through them; anything else is a bug.
SURVIVABLE: Final = frozenset(
    {
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENODEV,
        errno.ENXIO,
        errno.EADDRNOTAVAIL,
        errno.EINVAL,  # what the kernel says when the source address is no longer ours
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.EPERM,  # a firewall's verdict
        errno.EACCES,  # a route's: prohibit
        errno.ECONNREFUSED,  # a unicast peer has no VRRP; said of an earlier packet
    }
)

_IP_MULTICAST_ALL: Final = 49  # linux/in.h; the socket module does not have these
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
_IPV6_MULTICAST_ALL: Final = 29  # linux/in6.h
_IPV6_AUTOFLOWLABEL: Final = 70
_MREQN: Final = struct.Struct("@4s4si")  # struct ip_mreqn
_MREQ6: Final = struct.Struct("@16si")  # struct ipv6_mreq
_PKTINFO6: Final = struct.Struct("@16si")  # struct in6_pktinfo
_INT: Final = struct.Struct("@i")
# From the kernel, when a packet arrived; in 64 bits on every architecture.
_SO_TIMESTAMPNS_NEW: Final = 64  # asm/socket.h, Linux 5.1
_TIMESPEC: Final = struct.Struct("@qq")
_ANCILLARY: Final = sum(map(CMSG_SPACE, (_PKTINFO6.size, _INT.size, _TIMESPEC.size)))
_LARGEST: Final = 8192  # bytes; 255 IPv6 addresses make 4088, and an IP header at most 60
# Enough to empty a receive buffer, but an end: nobody can keep us from our timers.
_DRAIN: Final = 512
_IP_HEADER: Final = struct.Struct("!BBHHHBBH4s4s")
_IP_VERSION: Final = 4


@dataclass(frozen=True, slots=True)
class Port:
    """Where a transport sends from and to."""

    interface: str
    index: int
    address: IpAddress
    dialect: Dialect
    peers: tuple[IpAddress, ...] = ()  # none: to the group
    mac: bytes = b""  # what is sent to the group bears it as its source; empty: the own one


class Transport(ABC):
    """Sends and receives on one interface.

    To open and to close it waits for the kernel's RTNL lock: not for an event loop.
    """

    def __init__(self, port: Port, family: AddressFamily) -> None:
        self._port = port
        self._destinations = port.peers or (port.dialect.group,)
        self._socket = socket(family, SOCK_RAW | SOCK_NONBLOCK, PROTOCOL)
        try:
            interface = port.interface.encode() + b"\0"
            self._socket.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, interface)
            self._socket.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)
            self._set_up()
            self._frames = self._open_frames()
        except OSError:
            self._socket.close()
            raise

    def _open_frames(self) -> socket | None:
        """Return what sends frames with another MAC than the interface's, if need be.

        To a peer it is the kernel that finds the way, and the neighbour.
        """
        if not self._port.mac or self._port.peers:
            return None
        return socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0)  # 0: it receives nothing

    @abstractmethod
    def _set_up(self) -> None:
        """Make the socket send and receive as VRRP wants it."""

    @abstractmethod
    def _receive(self) -> Datagram:
        """Return what waits; raise OSError if nothing does, MalformedError if it is bad."""

    @abstractmethod
    def _reach(self, destination: IpAddress) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return ``destination`` as the socket wants it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()
        if self._frames:
            self._frames.close()

    def fileno(self) -> int:
        """Let an event loop wait for what arrives."""
        return self._socket.fileno()

    def send(self, advertisement: Advertisement) -> None:
        """Send to the group, or to every peer; OSError, often one of :data:`SURVIVABLE`."""
        failed: OSError | None = None
        for destination in self._destinations:
            message = self._port.dialect.pack(
                advertisement, self._port.address, destination
            )
            try:
                self._send(message, destination)
            except OSError as error:  # the other peers have to hear it all the same
                failed = error
        if failed is not None:
            raise failed

    def _send(self, message: bytes, destination: IpAddress) -> None:
        port = self._port
        if self._frames is None:
            self._socket.sendto(message, self._reach(destination))
            return
        sent = frame(port.mac, port.address, destination, message)
        self._frames.sendto(sent, (port.interface, 0))

    def drain(self) -> Iterator[Datagram | MalformedError]:
        """Yield what has arrived, and do not wait for more."""
        for _ in range(_DRAIN):
            try:
                yield self._receive()
            except MalformedError as error:
                yield error
            except OSError as error:
                if error.errno in SURVIVABLE:
                    return
                raise


def open_transport(port: Port) -> Transport:
    """Return the transport of the port's family; OSError, often :data:`SURVIVABLE`."""
    return Transport4(port) if port.dialect.family == IPV4 else Transport6(port)


class Transport4(Transport):
    """Over IPv4."""

    def __init__(self, port: Port) -> None:
        super().__init__(port, AF_INET)

    def _set_up(self) -> None:
        option = self._socket.setsockopt
        option(IPPROTO_IP, IP_TOS, INTERNETWORK_CONTROL)
        option(IPPROTO_IP, IP_TTL, TTL)
        # No "don't fragment", as keepalived has it.
        option(IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        # Not what other sockets of this host have joined elsewhere.
        option(IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        if self._port.peers:
            # Else the kernel may choose a virtual address as the source of what we send.
            self._socket.bind((str(self._port.address), 0))
            return
        index, any_address = self._port.index, INADDR_ANY.to_bytes(4, "big")
        group = self._port.dialect.group.packed
        option(IPPROTO_IP, IP_ADD_MEMBERSHIP, _MREQN.pack(group, any_address, index))
        # As above; a socket that is bound would not hear the group.
        out = _MREQN.pack(any_address, self._port.address.packed, index)
        option(IPPROTO_IP, IP_MULTICAST_IF, out)
        option(IPPROTO_IP, IP_MULTICAST_LOOP, 0)
        option(IPPROTO_IP, IP_MULTICAST_TTL, TTL)

    def _receive(self) -> Datagram:
        packet, ancillary, _, _ = self._socket.recvmsg(_LARGEST, _ANCILLARY)
        return replace(dissect(packet), waited=_waited(ancillary))

    def _reach(self, destination: IpAddress) -> tuple[str, int]:
        return str(destination), 0


class Transport6(Transport):
    """Over IPv6."""

    def __init__(self, port: Port) -> None:
        super().__init__(port, AF_INET6)

    def _set_up(self) -> None:
        option = self._socket.setsockopt
        option(IPPROTO_IPV6, IPV6_TCLASS, INTERNETWORK_CONTROL)
        option(IPPROTO_IPV6, IPV6_UNICAST_HOPS, TTL)
        option(IPPROTO_IPV6, _IPV6_AUTOFLOWLABEL, 0)
        option(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        option(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
        option(IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        # Unlike in IPv4, a bound socket hears the groups that it has joined. While
        # duplicate address detection goes on, the kernel refuses this.
        self._socket.bind(self._reach(self._port.address))
        if self._port.peers:
            return
        group = _MREQ6.pack(self._port.dialect.group.packed, self._port.index)
        option(IPPROTO_IPV6, IPV6_JOIN_GROUP, group)
        option(IPPROTO_IPV6, IPV6_MULTICAST_IF, self._port.index)
        option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0)
        option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, TTL)

    def _receive(self) -> Datagram:
        payload, ancillary, _, sender = self._socket.recvmsg(_LARGEST, _ANCILLARY)
        facts = {kind: data for level, kind, data in ancillary if level == IPPROTO_IPV6}
        destination, _ = _PKTINFO6.unpack(facts[IPV6_PKTINFO])
        (hops,) = _INT.unpack(facts[IPV6_HOPLIMIT])
        # Without the zone, "%eth0", which is ours to know.
        source = IPv6Address(sender[0].partition("%")[0])
        waited = _waited(ancillary)
        return Datagram(source, IPv6Address(destination), hops, payload, waited)

    def _reach(self, destination: IpAddress) -> tuple[str, int, int, int]:
        local = destination.is_link_local or destination.is_multicast
        return str(destination), 0, 0, self._port.index if local else 0


def _waited(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Return for how many seconds a packet was in the socket; clocks may be set."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_SOCKET, _SO_TIMESTAMPNS_NEW):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            arrived: float = seconds + nanoseconds / 1e9
            return max(0.0, time.time() - arrived)
    return 0.0


def dissect(packet: bytes) -> Datagram:
    """Take an IPv4 datagram apart, link-layer padding left out; raise MalformedError."""
    if len(packet) < _IP_HEADER.size:
        raise MalformedError(
            Fault.LENGTH, f"it has {len(packet)} bytes, fewer than an IP header"
        )
    first, _, total, _, _, ttl, protocol, _, source, destination = _IP_HEADER.unpack_from(
        packet
    )
    header = (first & 0x0F) * 4
    if first >> 4 != _IP_VERSION or header < _IP_HEADER.size or protocol != PROTOCOL:
        raise MalformedError(Fault.VERSION, "it is not VRRP over IPv4")
    if not header <= total <= len(packet):
        raise MalformedError(
            Fault.LENGTH, f"its length is {total}, but {len(packet)} bytes arrived"
        )
    return Datagram(
        IPv4Address(source), IPv4Address(destination), ttl, packet[header:total]
    )
