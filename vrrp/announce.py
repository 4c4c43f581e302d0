"""Gratuitous ARP and unsolicited neighbour advertisements: where an address is now."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from socket import AF_PACKET, IPPROTO_ICMPV6, SOCK_NONBLOCK, SOCK_RAW, socket
from typing import Final

from vrrp.checksum import internet_checksum, pseudo_header
from vrrp.packet import IpAddress

_ETHERTYPE_ARP: Final = 0x0806
_ETHERTYPE_IPV6: Final = 0x86DD
_ETHERNET: Final = struct.Struct("!6s6sH")
_ETHERTYPE: Final = slice(12, 14)
_BROADCAST: Final = b"\xff" * 6
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_ARP_ETHERNET: Final = 1
_ARP_IPV4: Final = 0x0800
_ARP_REQUEST: Final = 1

_ALL_NODES: Final = IPv6Address("ff02::1")
_ALL_NODES_MAC: Final = bytes.fromhex("333300000001")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_IPV6_VERSION: Final = 6 << 28
_HOP_LIMIT: Final = 255
_NEIGHBOUR: Final = struct.Struct("!BBHI16sBB6s")
_NEIGHBOUR_ADVERTISEMENT: Final = 136
# RFC 9568, 6.4.2: Router and Override set, Solicited not. A host that has us as its default
# router would drop that route if we said that we are none.
_ROUTER_AND_OVERRIDE: Final = 0xA0000000
_TARGET_LINK_LAYER_ADDRESS: Final = (2, 1)  # the option's type, and its length in 8 bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """An address, and where it can be reached from now on."""

    interface: str
    mac: bytes
    address: IpAddress


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


def unsolicited_advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """Return the frame that says the same of an IPv6 address; RFC 4861, section 7.2.6."""
    ethernet = _ETHERNET.pack(_ALL_NODES_MAC, mac, _ETHERTYPE_IPV6)
    ip = _IPV6.pack(
        _IPV6_VERSION,
        _NEIGHBOUR.size,
        IPPROTO_ICMPV6,
        _HOP_LIMIT,
        address.packed,
        _ALL_NODES.packed,
    )
    unsigned = _neighbour(0, mac, address)
    covered = pseudo_header(address, _ALL_NODES, IPPROTO_ICMPV6, len(unsigned)) + unsigned
    return ethernet + ip + _neighbour(internet_checksum(covered), mac, address)


def announce(claims: Iterable[Claim], repeat: int) -> None:
    """Send each claim's frame ``repeat`` times; OSError if an interface cannot.

    Blocking: the kernel takes some 10 ms to close such a socket.
    """
    frames = [(_frame(each), each.interface) for each in claims]
    # Protocol 0: this socket receives nothing.
    with socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0) as out:
        for frame, interface in frames * repeat:
            out.sendto(frame, (interface, int.from_bytes(frame[_ETHERTYPE], "big")))


def _frame(claim: Claim) -> bytes:
    if isinstance(claim.address, IPv4Address):
        return gratuitous_arp(claim.mac, claim.address)
    return unsolicited_advertisement(claim.mac, claim.address)


def _neighbour(checksum: int, mac: bytes, address: IPv6Address) -> bytes:
    return _NEIGHBOUR.pack(
        _NEIGHBOUR_ADVERTISEMENT,
        0,
        checksum,
        _ROUTER_AND_OVERRIDE,
        address.packed,
        *_TARGET_LINK_LAYER_ADDRESS,
        mac,
    )
