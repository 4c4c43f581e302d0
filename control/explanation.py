"""What would become of a packet, and why: the question and the answer, as frozen values."""

from dataclasses import dataclass
from typing import Final

from control.addresses import MAX_PORT, IpAddress, with_port
from control.errors import ConfigError
from control.model import Backend, Protocol, Service
from control.reasons import Described
from dataplane.decision import Rule
from dataplane.frames import Headers
from dataplane.records import Tag

_MAX_TAGS: Final = 2
_MAX_VLAN: Final = 4094  # IEEE 802.1Q, 9.6


@dataclass(frozen=True, slots=True)
class Question:
    """A packet to ask about."""

    protocol: Protocol
    source: IpAddress
    source_port: int
    destination: IpAddress
    destination_port: int
    interface: str = ""  # "": the first one
    is_established: bool = False  # of TCP: an ACK, and not the SYN that begins a flow
    tags: tuple[Tag, ...] = ()  # the outer one first

    def __post_init__(self) -> None:
        for what, port in (
            ("source port", self.source_port),
            ("destination port", self.destination_port),
        ):
            if not 1 <= port <= MAX_PORT:
                raise ConfigError(what, f"{port} is not in 1…{MAX_PORT}")
        if self.source.version != self.destination.version:
            raise ConfigError(
                "flow",
                f"{self.source} is IPv{self.source.version}, and {self.destination} is "
                f"IPv{self.destination.version}: both have to be of one family",
            )
        if self.is_established and self.protocol is not Protocol.TCP:
            raise ConfigError(
                "established", f"{self.protocol} has no connections; leave it out"
            )
        if len(self.tags) > _MAX_TAGS:
            raise ConfigError("VLANs", f"{len(self.tags)} tags are more than {_MAX_TAGS}")
        for tag in self.tags:
            if not 1 <= tag.id <= _MAX_VLAN:
                raise ConfigError("VLAN", f"{tag.id} is not in 1…{_MAX_VLAN}")

    @property
    def where(self) -> str:
        """What the packet is for, as services are named."""
        return f"{with_port(self.destination, self.destination_port)}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class SlotOwners:
    """The slot of the flow, by the program."""

    number: int  # from 0
    ring_size: int
    now: str  # who gets flows that begin, "": nobody
    before: str  # who keeps flows from before; "": nobody
    in_transition: bool  # it asks for records


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer."""

    summary: str  # a clause that begins with the verdict
    why: str  # how the backend was chosen, a clause; "": none was
    reason: Described
    interface: str  # that it came in by
    out: str  # that it is sent by; "": it is not sent
    service: Service | None  # that it belongs to
    backend: Backend | None  # that it goes to
    rule: Rule
    slot: SlotOwners | None  # None: it was not looked for
    ring_in_transition: bool  # any slot of the service asks for records
    received: Headers
    left: Headers | None  # as it leaves the program; None: it is dropped
