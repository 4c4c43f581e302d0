"""What one scrape tells: plain values, put together by those who know them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from control.facts import BackendKey
from control.health.passive import Finding
from control.serving import Served
from control.status import Health, MapStatus, NodeStatus
from dataplane.counters import Counters


@dataclass(frozen=True, slots=True)
class Work:
    """What this process has done since it was started."""

    reconciled: float | None = None  # Unix time of the last round that went well
    failures: int = 0  # rounds that failed
    lost: float = 0.0  # seconds by which it was woken late, altogether
    hindered: int = 0  # probes without a result, now


@dataclass(frozen=True, slots=True)
class Router:
    """One virtual router, as guideway-vrrpd's status file has it."""

    state: str  # "initialize", "backup" or "active"
    since: float  # Unix time
    priority: int
    transitions: int = 0
    discarded: Mapping[str, int] = field(default_factory=dict)  # packets, by why
    noticed: Mapping[str, int] = field(default_factory=dict)  # heeded, but odd, by why
    problem: str = ""  # why it rests
    latest: float = 0.0  # seconds by which a timer was late at most
    fenced: int = 0  # how often it gave the addresses up since it was late itself
    sent: Mapping[str, int] = field(default_factory=dict)  # advertisements, by kind
    unsent: int = 0  # that the kernel did not take
    heard: Mapping[str, int] = field(default_factory=dict)  # of those that were heeded
    handed_over: int = 0  # how often a peer took over since it was asked to
    late: Mapping[str, int] = field(default_factory=dict)  # timers, by seconds at most
    late_total: float = 0.0  # seconds by which timers were late, altogether


@dataclass(frozen=True, slots=True)
class Seen:
    """The node at one time."""

    node: NodeStatus
    work: Work = Work()
    served: tuple[Served, ...] = ()
    health: Mapping[BackendKey, Health] = field(default_factory=dict)  # of who is checked
    weights: Mapping[BackendKey, int] = field(default_factory=dict)  # that checks give
    handshakes: Mapping[BackendKey, Finding] = field(default_factory=dict)  # if watched
    counters: Counters | None = None  # None: the data plane is detached
    maps: tuple[MapStatus, ...] = ()
    routers: Mapping[str, Router] | None = None  # None: guideway-vrrpd tells nothing
