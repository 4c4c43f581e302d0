"""Gratuitous ARP: tell neighbours and switches where an address is now."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from socket import AF_PACKET, SOCK_NONBLOCK, SOCK_RAW, socket
from typing import Final

# Frames get lost, and nobody confirms these.
REPEAT: Final = 5

_BROADCAST: Final = b"\xff" * 6
_ETHERTYPE_ARP: Final = 0x0806
_ETHERNET: Final = struct.Struct("!6s6sH")
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_ARP_ETHERNET: Final = 1
_ARP_IPV4: Final = 0x0800
_ARP_REQUEST: Final = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """An address, and where it can be reached from now on."""

    interface: str
    mac: bytes
    address: IPv4Address


def gratuitous_arp(mac: bytes, address: IPv4Address) -> bytes:
    """Return the Ethernet frame that says "``address`` is at ``mac``" to everybody.

    A request for one's own address: caches that hold it are updated (RFC 826, RFC 5227
    section 3), and nobody has to answer.
    """
    ethernet = _ETHERNET.pack(_BROADCAST, mac, _ETHERTYPE_ARP)
    arp = _ARP.pack(
        _ARP_ETHERNET,
        _ARP_IPV4,
        len(mac),
        len(address.packed),
        _ARP_REQUEST,
        mac,
        address.packed,
        _BROADCAST,
        address.packed,
    )
    return ethernet + arp


def announce(claims: Iterable[Claim]) -> None:
    """Send each claim's frame :data:`REPEAT` times; OSError if an interface cannot.

    Blocking: the kernel takes some 10 ms to close such a socket.
    """
    frames = [(gratuitous_arp(each.mac, each.address), each.interface) for each in claims]
    # Protocol 0: this socket receives nothing.
    with socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0) as out:
        for frame, interface in frames * REPEAT:
            out.sendto(frame, (interface, _ETHERTYPE_ARP))
