"""A probe by ICMP: the backend answers a ping.

By a ping socket, for which the kernel picks out its answers; where the process may not have
one (net.ipv4.ping_group_range), by a raw socket, for which that is done here.
"""

import asyncio
import os
import socket
import struct
from typing import Final

from control.addresses import IpAddress
from control.health.datagrams import conversation
from control.health.peer import Peer
from control.health.result import PASSED, NoResultError, Result

_HEADER: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_REQUEST: Final = {4: 8, 6: 128}  # types by IP version; RFC 792, RFC 4443
_REPLY: Final = {4: 0, 6: 129}
_PROTOCOL: Final = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


async def probe(peer: Peer) -> Result:
    """Ping once. Raises OSError, NoResultError."""
    cookie = os.urandom(16)
    with conversation(_socket(peer), peer) as line:
        await line.send(_request(peer.address, cookie))
        while True:
            if _answers(await line.receive(), peer.address, cookie):
                return PASSED
            await asyncio.sleep(0)  # to a raw socket comes everybody's ICMP: let others run


def _socket(peer: Peer) -> socket.socket:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return peer.open(kind, _PROTOCOL[peer.address.version])
        except PermissionError:
            continue
    raise NoResultError(
        "a ping needs CAP_NET_RAW, or our group in net.ipv4.ping_group_range"
    )


def _request(address: IpAddress, cookie: bytes) -> bytes:
    """Return an echo request, of which the kernel fills in what it knows better."""
    kind = _REQUEST[address.version]
    empty = _HEADER.pack(kind, 0, 0, 0, 1) + cookie
    return _HEADER.pack(kind, 0, _checksum(empty), 0, 1) + cookie


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _answers(data: bytes, address: IpAddress, cookie: bytes) -> bool:
    """Tell whether ``data`` is the reply to the request that had ``cookie``."""
    if address.version == 4 and data[:1] >= b"\x40":  # noqa: PLR2004 - an IP header (raw)
        data = data[(data[0] & 15) * 4 :]
    if len(data) < _HEADER.size:
        return False
    kind, code, *_ = _HEADER.unpack_from(data)
    return (kind, code) == (_REPLY[address.version], 0) and data[_HEADER.size :] == cookie
