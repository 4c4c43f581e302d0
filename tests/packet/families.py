"""The addresses of the test network in both families, and packets between them."""

from dataclasses import dataclass

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet


@dataclass(frozen=True)
class Family:
    version: int
    client: str  # its next hop is known
    stranger: str  # on the client's network; its MAC is not known
    clients: str  # a prefix that holds the client, but not the stranger
    vip: str
    other: str  # nobody's VIP
    backends: tuple[str, ...]
    own: str  # the node's address
    router: str  # on the way to clients, or behind the node

    def ip(self, src: str, dst: str, *, ttl: int = 64, **fields) -> Packet:
        """Return an IP header, with something in every field that may not change."""
        if self.version == 4:
            return IP(src=src, dst=dst, ttl=ttl, **{"id": 7, "tos": 0x28, **fields})
        return IPv6(src=src, dst=dst, hlim=ttl, **{"tc": 0x28, "fl": 0x12345, **fields})


V4 = Family(
    version=4,
    client="192.0.2.10",
    stranger="192.0.2.77",
    clients="192.0.2.0/28",
    vip="198.51.100.1",
    other="198.51.100.99",
    backends=tuple(f"10.0.0.{11 + number}" for number in range(8)),
    own="10.0.0.1",
    router="10.9.9.9",
)
V6 = Family(
    version=6,
    client="2001:db8:1::10",
    stranger="2001:db8:1::77",
    clients="2001:db8:1::/122",
    vip="2001:db8:f::1",
    other="2001:db8:f::99",
    backends=tuple(f"2001:db8:2::{11 + number}" for number in range(8)),
    own="2001:db8:2::1",
    router="2001:db8:9::9",
)


def checksummed(packet: Packet) -> bytes:
    """Return the bytes of ``packet`` with all checksums computed from nothing."""
    fresh = packet.copy()
    layer = fresh
    while layer:
        for name in ("chksum", "cksum"):
            if name in layer.fields:
                layer.delfieldval(name)
        layer = layer.payload
    return bytes(fresh)
