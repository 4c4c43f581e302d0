"""Which of the packets that arrive are advertisements for us. No sockets, no clock."""

from dataclasses import dataclass

from vrrp.errors import Fault, MalformedError
from vrrp.packet import CLASSIC, TTL, Advertisement, Dialect, IpAddress


@dataclass(frozen=True, slots=True)
class Datagram:
    """An IP datagram taken apart."""

    source: IpAddress
    destination: IpAddress
    ttl: int  # or hop limit
    payload: bytes
    waited: float = 0.0  # seconds from its arrival until we read it


@dataclass(frozen=True, slots=True)
class Admission:
    """The receive checks of RFC 9568, section 7.1, and of RFC 3768 for version 2."""

    dialect: Dialect
    vrid: int
    interval: float  # seconds; version 2 wants it to be the same everywhere
    peers: frozenset[IpAddress] = frozenset()  # who may speak; none: anybody, to the group
    least_ttl: int = TTL

    def admit(self, datagram: Datagram, own: IpAddress) -> Advertisement:
        """Return what ``datagram`` advertises, or raise MalformedError.

        ``own`` is the address from which we send. Whatever arrives, no other error is
        raised. The checks that cost least come first: a flood has to be cheap.
        """
        # Others share the LAN lawfully; whose packet this is has to be known first.
        if len(datagram.payload) > 1 and datagram.payload[1] != self.vrid:
            raise MalformedError(
                Fault.VRID, f"its VRID is {datagram.payload[1]}, not {self.vrid}"
            )
        self._check_way(datagram, own)
        said = self.dialect.parse(datagram.payload, datagram.source, datagram.destination)
        if self.dialect.version == CLASSIC and said.interval != self.interval:
            raise MalformedError(
                Fault.INTERVAL,
                f"its interval is {said.interval:g} s, not {self.interval:g} s: version 2 "
                "forbids to heed it, so both routers will be Active until the intervals "
                "are equal",
            )
        return said

    def _check_way(self, datagram: Datagram, own: IpAddress) -> None:
        """Refuse what cannot have come from a router of ours."""
        if datagram.ttl < self.least_ttl:
            raise MalformedError(
                Fault.TTL, f"its TTL is {datagram.ttl}, less than {self.least_ttl}"
            )
        if datagram.source == own:
            raise MalformedError(
                Fault.REFLECTED,
                "it bears our own address: it was reflected, or somebody else uses it",
            )
        if self.peers and datagram.source not in self.peers:
            raise MalformedError(Fault.SOURCE, "its source is not one of our peers")
        if datagram.destination != (own if self.peers else self.dialect.group):
            raise MalformedError(
                Fault.DESTINATION,
                f"it was sent to {datagram.destination}: one of us uses unicast, the other "
                "multicast",
            )
