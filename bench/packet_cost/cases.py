"""The rows: which packet, through which configuration, and what has to become of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bench.dataplane_under_test import Server, Vip
from bench.packet_cost.layout import Ends, Kind, Template, template
from bench.packet_cost.network import (
    BACKEND_MAC,
    BACKENDS,
    BALANCER_MAC,
    CLIENTS,
    LO,
    OUT,
    OUT_MAC,
    ROUTER_MAC,
    STRANGERS,
    VIPS,
)

FAMILIES: Final = (4, 6)
MILLION: Final = 1_000_000
INTERFACES: Final = {LO: BALANCER_MAC, OUT: OUT_MAC}

_PORT: Final = 80
_CLIENT_PORT: Final = 1024
_RING_SIZE: Final = 65537  # of one service
_SMALL_RING_SIZE: Final = 8191  # of many: so that 1,024 fit into the default limits
_XDP_PASS, _XDP_TX, _XDP_REDIRECT = 2, 3, 4  # enum xdp_action


class Way(Enum):
    """A way through the program; the value is how it is called in the tables."""

    DR = "DR"
    DR_ACROSS = "DR, other interface"
    NAT = "NAT forward"
    RETURN = "NAT return"
    PASS = "not for a VIP"  # noqa: S105 - not a password

    @property
    def reason(self) -> str:
        """The reason that every packet has to be counted under."""
        return _OUTCOMES[self][0]

    @property
    def verdict(self) -> int:
        """The verdict that a packet has to get; enum xdp_action."""
        return _OUTCOMES[self][1]


_OUTCOMES: Final = {
    Way.DR: ("forwarded_dr", _XDP_TX),
    Way.DR_ACROSS: ("forwarded_dr", _XDP_REDIRECT),
    Way.NAT: ("forwarded_nat", _XDP_TX),
    Way.RETURN: ("replied_nat", _XDP_REDIRECT),
    Way.PASS: ("not_ours", _XDP_PASS),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A row."""

    family: int
    way: Way
    kind: Kind = Kind.ACK
    flows: int = 1
    vips: int = 1  # a power of two; flows go to them in turn
    backends: int = 3  # of each VIP
    frame_bytes: int = 60
    watched: bool = False  # handshakes are counted

    def services(self) -> list[Vip]:
        """Return what the balancer is configured for."""
        size = _RING_SIZE if self.vips == 1 else _SMALL_RING_SIZE
        return [
            Vip(
                address=VIPS[self.family] + number,
                port=_PORT,
                protocol=self.kind.protocol,
                nat=self.way in (Way.NAT, Way.RETURN),
                servers=self._servers(number * self.backends),
                ring_size=size,
                watched=self.watched,
            )
            for number in range(self.vips)
        ]

    def template(self) -> Template:
        """Return the frame of flow 0."""
        client, vip, backend = (kind[self.family] for kind in (CLIENTS, VIPS, BACKENDS))
        macs = ROUTER_MAC, BALANCER_MAC
        ports = _CLIENT_PORT, _PORT
        match self.way:
            case Way.RETURN:
                macs = BACKEND_MAC, BALANCER_MAC
                ends = Ends((backend, client), (_PORT, _CLIENT_PORT), macs)
            case Way.PASS:
                ends = Ends((client, STRANGERS[self.family]), ports, macs)
            case _:
                ends = Ends((client, vip), ports, macs)
        varies_source = self.way is not Way.RETURN
        return template(self.kind, ends, self.frame_bytes, vary_source=varies_source)

    def _servers(self, first: int) -> list[Server]:
        across = self.way is Way.DR_ACROSS
        return [
            Server(
                address=BACKENDS[self.family] + first + number,
                ifindex=OUT if across else LO,
                mac=BACKEND_MAC,
                source_mac=OUT_MAC if across else BALANCER_MAC,
            )
            for number in range(self.backends)
        ]


def cases(family: int) -> Iterator[Case]:
    """Yield the rows of one address family."""
    for flows in (1, 1000, MILLION):
        yield Case(family, Way.DR, Kind.ACK, flows)
    for flows in (1, MILLION):
        yield Case(family, Way.DR, Kind.SYN, flows)
    for flows in (1, 1000, MILLION):
        yield Case(family, Way.DR, Kind.UDP, flows)
    for kind in (Kind.ACK, Kind.SYN):
        for flows in (1, MILLION):
            yield Case(family, Way.DR, kind, flows, watched=True)
    yield Case(family, Way.DR, frame_bytes=1500)
    yield Case(family, Way.DR, flows=MILLION, backends=1000)
    for flows in (1, MILLION):
        yield Case(family, Way.DR, flows=flows, vips=1024)
    yield Case(family, Way.DR_ACROSS)
    for way in (Way.NAT, Way.RETURN, Way.PASS):
        for flows in (1, 1000, MILLION) if way is Way.RETURN else (1, MILLION):
            yield Case(family, way, flows=flows)
    yield Case(family, Way.PASS, Kind.UDP)
