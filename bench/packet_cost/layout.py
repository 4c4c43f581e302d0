"""Frames to feed, and where in them a flow's number goes."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import Any, Final

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from bench.dataplane_under_test import IPAddress

ETHERNET_BYTES: Final = 14
WORD_BYTES: Final = 4
_PORT_BITS: Final = 16


class Kind(Enum):
    """What a packet is."""

    ACK = "TCP ACK"
    SYN = "TCP SYN"
    UDP = "UDP"

    @property
    def protocol(self) -> int:
        """IANA's number."""
        return 17 if self is Kind.UDP else 6


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, in words of 4 bytes after the Ethernet header."""

    words: int  # up to the end of the TCP or UDP header
    address_word: int  # the last of the address that a flow's number is mixed into
    ports_word: int
    port_shift: int  # in bits; that of the port that the number is mixed into
    vip_word: int  # the last of the destination's address


@dataclass(frozen=True, slots=True)
class Template:
    """The frame of flow 0."""

    frame: bytes
    layout: Layout


@dataclass(frozen=True, slots=True)
class Ends:
    """Who talks to whom: addresses, ports and MACs, the source first."""

    addresses: tuple[IPAddress, IPAddress]
    ports: tuple[int, int]
    macs: tuple[bytes, bytes]


def template(kind: Kind, ends: Ends, frame_bytes: int, *, vary_source: bool) -> Template:
    """Return a frame of ``frame_bytes``, or more if its headers need more.

    Flows differ by their source, or else by their destination.
    """
    headers = _headers(kind, ends)
    frame = bytes(headers / bytes(max(frame_bytes - len(headers), 0)))
    words = (len(headers) - ETHERNET_BYTES) // WORD_BYTES
    ports = words - len(_transport(kind, ends)) // WORD_BYTES
    dest = ports - 1  # both IP headers end with the destination
    source = dest - len(ends.addresses[0].packed) // WORD_BYTES
    layout = Layout(
        words=words,
        address_word=source if vary_source else dest,
        ports_word=ports,
        port_shift=0 if vary_source else _PORT_BITS,
        vip_word=dest,
    )
    return Template(frame, layout)


def _headers(kind: Kind, ends: Ends) -> Any:
    source_mac, dest_mac = (mac.hex(":") for mac in ends.macs)
    source, dest = map(str, ends.addresses)
    network = IPv6 if isinstance(ends.addresses[0], IPv6Address) else IP
    ethernet = Ether(src=source_mac, dst=dest_mac)
    return ethernet / network(src=source, dst=dest) / _transport(kind, ends)


def _transport(kind: Kind, ends: Ends) -> Any:
    source, dest = ends.ports
    if kind is Kind.UDP:
        return UDP(sport=source, dport=dest)
    return TCP(sport=source, dport=dest, flags="S" if kind is Kind.SYN else "A")
