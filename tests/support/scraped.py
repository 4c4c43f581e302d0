"""A node as a scrape sees it, with something of everything."""

from dataclasses import replace
from ipaddress import IPv4Address

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from control.checks import TcpCheck
from control.compile import Served
from control.health.passive import Finding
from control.metrics.families import families
from control.metrics.seen import Router, Seen, Work
from control.model import Backend, BackendState, Mode, Protocol, Service
from control.pool import Pool
from control.pool_policy import PoolPolicy, SorryServer
from control.status import (
    FollowerStatus,
    Health,
    InterfaceStatus,
    MapStatus,
    NodeStatus,
    PeerStatus,
)
from dataplane.abi import REASONS
from dataplane.counters import Counters
from dataplane.image import Ring
from dataplane.records import Counter

NODE = NodeStatus(
    release="1.2.3",
    instance="default",
    abi=7,
    digest="0123abcd",
    interfaces=(InterfaceStatus("eth0", "native"), InterfaceStatus("eth1", "none")),
    adopted=True,
    desired_version=9,
    applied_version=8,
    warnings=("mend this",),
    started=1000.5,
    repairs=2,
    peers=(
        PeerStatus("192.0.2.2:7007", True, 1.0, 0.5, 3, 700, ""),  # noqa: FBT003
        PeerStatus("192.0.2.3:7007", False, 1.0, None, 0, 0, "?"),  # noqa: FBT003
    ),
    followers=tuple(
        FollowerStatus("CN=lb2", f"tcp 192.0.2.2:{port}", 1, 20, port / 1e6)
        for port in (40000, 50000)
    ),
)
BACKENDS = (
    Backend("a", IPv4Address("10.0.0.1"), 80, weight=3),
    Backend("b", IPv4Address("10.0.0.2"), 80),
    Backend("c", IPv4Address("10.0.0.3"), 80, state=BackendState.DRAINING),
)
WEB = Service(
    "web", IPv4Address("192.0.2.1"), Protocol.TCP, 80, Mode.DR, BACKENDS, (TcpCheck(),)
)
SORRY = PoolPolicy(
    quorum=4, sorry_server=SorryServer(IPv4Address("10.0.0.9"), 80), max_ejected=0.5
)
WEB = replace(WEB, pool=SORRY)
SERVED = Served(
    service=WEB,
    id=4,
    ring=Ring.of([11, 11, 11, 12]),
    changed_ns=0,
    slots={"a": 3, "b": 1, "c": 0},
    backend_ids={"a": 11, "b": 12},
    problems={},
    down=frozenset(),
    pool=Pool(2, quorum=False, kept={"b": "max_ejected"}, steps={"a": 3}, has_sorry=True),
)
COUNTERS = Counters(
    reasons={reason: Counter(reason.number, 10, 1) for reason in REASONS},
    services={4: Counter(40, 4000, 4)},
    backends={11: Counter(30, 3000, 3)},
)
ROUTERS = {
    "front": Router(
        "active",
        900.0,
        150,
        3,
        {"ttl": 2},
        noticed={"owner": 3},
        latest=0.25,
        fenced=1,
        sent={"alive": 70, "resigns": 2},
        unsent=1,
        heard={"alive": 20},
        handed_over=1,
        late={"0.01": 90, "0.1": 91, "+Inf": 92},
        late_total=0.75,
    ),
    "back": Router("initialize", 901.0, 150, problem="web: down"),
}
SEEN = Seen(
    node=NODE,
    work=Work(reconciled=2000.25, failures=1, lost=0.5, hindered=3),
    served=(SERVED,),
    health={("web", "a"): Health.UP, ("web", "b"): Health.DOWN, ("web", "c"): Health.UP},
    weights={("web", "a"): 2},
    handshakes={
        ("web", "a"): Finding(begun=40, completed=10, is_suspected=True, usual=1.0),
        ("web", "b"): Finding(),
    },
    counters=COUNTERS,
    maps=(MapStatus("records", 5, 1024, 4096),),
    routers=ROUTERS,
)


def parsed(seen: Seen) -> list[Metric]:
    """Return what Prometheus's own parser makes of the text."""
    return list(text_string_to_metric_families("".join(families(seen))))
