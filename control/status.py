"""What a running node can say about itself: the answers to status and statistics requests.

Plain values; :class:`Observer` is how the API asks for them without knowing the daemon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from control.checks import AnyCheck
from control.confirmation import Pending
from control.explanation import Explanation, Question
from control.model import Backend, Service


class Health(StrEnum):
    """What the probes say of a backend."""

    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"  # no probe has ended yet
    UNCHECKED = "unchecked"  # its service has no check: taken as up


class Outcome(StrEnum):
    """What came of a probe."""

    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"  # it could not be made, which says nothing of the backend


class ProbeResult(NamedTuple):
    """What came of one probe; of these there are many."""

    time: float  # when it ended, Unix time
    duration: float  # seconds
    outcome: Outcome
    problem: str = ""  # why it failed or was not made


@dataclass(frozen=True, slots=True)
class ProbeStatus:
    """What is asked of a backend, and what it said."""

    check: AnyCheck
    port: int  # 0: the check needs none
    health: Health
    since: float | None  # Unix time of the last change of health; None: never changed
    against: int  # results in a row that contradict the verdict
    needed: int  # so many of them change it
    hold: float  # seconds for which it is kept down because it flaps; 0: it is not
    results: tuple[ProbeResult, ...]  # the last ones, the newest last


@dataclass(frozen=True, slots=True)
class BackendStatus:
    """One backend as this node sees and serves it."""

    backend: Backend
    health: Health
    reason: str  # why it gets no traffic, "" if it does
    since: float | None  # Unix time of the last change of health; None: never changed
    share: float  # of the service's slots, 0…1
    mac: str | None  # of the next hop towards it; None: not resolved
    dynamic_weight: int | None = None  # that its checks give it; None: as configured
    ramp: float | None = None  # part of its weight while it starts slowly; None: all
    kept: str = ""  # why it serves although its checks fail; "": it does not
    suspected: str = ""  # what its clients' handshakes say against it; "": nothing


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """What the policy of a service's pool comes to."""

    live_weight: int  # of backends that are up
    quorum: bool
    sorry: bool  # the sorry server gets all new flows
    sorry_problem: str  # why the sorry server could not serve; "": it could, or is not


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service and its backends, in the operator's order."""

    service: Service
    ring_size: int  # slots; 0: nobody can serve
    backends: tuple[BackendStatus, ...]
    pool: PoolStatus | None = None  # None: each backend serves by itself


@dataclass(frozen=True, slots=True)
class VlanStatus:
    """A VLAN in which services are balanced, by the host's interface for it."""

    name: str
    tags: tuple[str, ...]  # the outer one first: "802.1ad 7", "802.1Q 10"


@dataclass(frozen=True, slots=True)
class InterfaceStatus:
    """An interface that the program is attached to."""

    name: str
    mode: str  # "native" or "generic"
    vlans: tuple[VlanStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """Another node whose rings and flows this one follows."""

    address: str  # address and port of its API
    synced: bool  # it has told everything, and goes on telling
    since: float  # Unix time of the last change of that
    lag: float | None  # seconds since it had told everything last; None: it never has
    rings: int  # told since the start
    flows: int
    problem: str  # why there is no connection; "" if there is one


@dataclass(frozen=True, slots=True)
class FollowerStatus:
    """A node that follows this one."""

    author: str  # as its certificate names it
    via: str  # from where
    rings: int  # told on this connection
    flows: int
    seconds: float  # that the last look at what is news took


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The node as a whole."""

    release: str  # of guideway
    instance: str
    abi: int  # version of the map layouts
    digest: str  # of the program's source, hexadecimal
    interfaces: tuple[InterfaceStatus, ...]
    adopted: bool  # the data plane was running before this daemon started
    desired_version: int  # of the desired state
    applied_version: int  # the version that the kernel is equal to; 0: none yet
    warnings: tuple[str, ...]  # what the operator should mend, a sentence each
    started: float  # Unix time
    repairs: int = 0  # how often foreign writes to the maps were found and mended
    repaired: float | None = None  # Unix time of the last one
    detached: bool = False  # program and maps were taken away
    # The version that waits to be confirmed, and for how many seconds more.
    pending: tuple[Pending, float] | None = None
    peers: tuple[PeerStatus, ...] = ()
    followers: tuple[FollowerStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """An interface of the configuration, and what is on it."""

    name: str
    mode: str  # of an XDP program: "native", "generic" or "none"
    attached: bool  # that program is ours


@dataclass(frozen=True, slots=True)
class MapStatus:
    """One map of the data plane."""

    name: str
    used: int  # entries; of an array, those that are not zero
    limit: int  # entries
    bytes: int  # of the kernel's memory


@dataclass(frozen=True, slots=True)
class DataPlaneStatus:
    """Program, links and maps."""

    abi: int  # version of the map layouts
    digest: str  # of the program's source, hexadecimal; "" when detached
    adopted: bool  # it was running before this daemon started
    loaded: float | None  # Unix time; None: detached
    interfaces: tuple[Attachment, ...]
    maps: tuple[MapStatus, ...]  # none when detached


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was counted since the data plane was loaded."""

    packets: int
    bytes: int  # frame lengths, without the FCS
    flows: int  # TCP connections that began


@dataclass(frozen=True, slots=True)
class ReasonTraffic:
    """Packets that one reason explains."""

    reason: str  # as in abi.h, lower case, without the prefix
    verdict: str  # "forward", "pass" or "drop"
    meaning: str  # a sentence for the operator
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class Statistics:
    """All counters, read at one time."""

    reasons: tuple[ReasonTraffic, ...]
    services: Mapping[str, Traffic]
    backends: Mapping[tuple[str, str], Traffic]  # by service and backend name


@dataclass(frozen=True, slots=True)
class Standing:
    """What this node has found out about backends, as far as rings depend on it."""

    # Services by name with the identities of those of their backends that cannot serve now.
    unable: frozenset[tuple[str, str]] = frozenset()
    # Weights that checks give, by service and backend name.
    weights: Mapping[tuple[str, str], int] = field(default_factory=dict)
    # Likewise those that fail their checks, whether or not their pool lets them serve.
    failing: frozenset[tuple[str, str]] = frozenset()
    # Services that have no quorum, by name.
    lost: frozenset[str] = frozenset()
    # Backends, by service and name, that get a quarter of their share.
    suspected: frozenset[tuple[str, str]] = frozenset()


class Observer(Protocol):
    """Whoever can answer; called from the event loop, returns within a few ms."""

    def node(self) -> NodeStatus:
        """Return the node's status."""

    def services(self) -> tuple[ServiceStatus, ...]:
        """Return the status of all services."""

    def probes(self, service: str, backend: str) -> tuple[ProbeStatus, ...]:
        """Return what the probes of a backend have found; none if there are none."""

    def standing(self) -> Standing:
        """Return who cannot serve, and who weighs something else than configured."""

    def trouble(self) -> str:
        """Return why packets are not balanced by what is wanted; "": they are."""

    async def statistics(self) -> Statistics:
        """Read the counters from the kernel. Raises HostError if there are none."""

    async def data_plane(self) -> DataPlaneStatus:
        """Return program, links and maps, the maps' entries counted."""

    async def explain(self, question: Question) -> Explanation:
        """Return what would become of a packet. Raises ConfigError or HostError."""


class Operations(Protocol):
    """What may be done with the data plane; one thing at a time."""

    async def reload(self) -> str:
        """Load the program anew and swap it in; return its digest. Raises HostError."""

    async def detach(self) -> None:
        """Take everything out of the kernel. Raises HostError or ConflictError."""
