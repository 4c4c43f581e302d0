"""Services and backends as plain values: see :mod:`control.cli.plain`."""

from collections.abc import Sequence
from typing import TypedDict

from control.api.v1 import guideway_pb2 as pb
from control.cli.plain import spelled
from control.cli.plain_checks import (
    CheckDefaultsPlain,
    CheckPlain,
    check_plain,
    defaults_plain,
)


class BackendPlain(TypedDict):
    """An element of ``backend list``, and of a service's ``backends``."""

    service: str
    name: str
    address: str
    port: int
    weight: int
    state: str  # "active", "draining" or "disabled"
    health: str  # "up", "down", "unknown" or "unchecked"
    reason: str  # why it gets no new flows; "": it gets some
    since: float | None  # Unix time of the last change of health; null: never
    share: float  # of the service's slots, 0…1
    mac: str | None  # of the next hop; null: not resolved
    dynamic_weight: int | None  # that its checks give it; null: `weight` counts
    zone: str  # its failure domain; "": none
    drain_deadline: float | None  # Unix time; null: none
    ramp: float | None  # part of its weight while it starts slowly; null: all
    kept: str  # why it serves although its checks fail; "": it does not
    suspected: str  # what its clients' handshakes say against it; "": nothing
    checks: list[CheckPlain] | None  # instead of the service's; null: those


class PoolPlain(TypedDict):
    """How a service treats its backends as a whole, and what that comes to now."""

    quorum: int
    hysteresis: int
    sorry_server: str | None  # address and port; null: none
    when_all_down: str  # "sorry", "none", "all" or "last_known"
    keep_flows: bool  # of backends that fail
    max_ejected: float  # part of the backends, 0…1
    slow_start: float  # seconds; 0: none
    watch_handshakes: bool  # of TCP, to suspect backends that do not answer
    live_weight: int  # of backends that are up
    quorum_reached: bool
    sorry_serves: bool
    sorry_problem: str  # why the sorry server could not serve; "": it could, or is not


class ServicePlain(TypedDict):
    """The answer of ``service show``, an element of ``service list``."""

    name: str
    vip: str
    protocol: str  # "tcp" or "udp"
    port: int  # 0: every port
    mode: str  # "dr" or "nat"
    check: CheckPlain | None  # the first one; null: none
    checks: list[CheckPlain]  # all have to pass
    ring_size: int  # slots now; 0: nobody can serve
    ring_size_wanted: int | None  # null: chosen from the number of backends
    affinity: str  # "transition", "always" or "none"
    hash: str  # "flow" or "source"
    returns: str  # "stateless" or "tracked"; of mode nat
    backends: list[BackendPlain]
    pool: PoolPlain
    check_defaults: CheckDefaultsPlain


def service_plain(status: pb.ServiceStatus) -> ServicePlain:
    """Return a service with its backends."""
    service = status.service
    checks = [check_plain(check) for check in service.checks]
    return {
        "name": service.name,
        "vip": service.vip,
        "protocol": spelled(pb.Protocol, service.protocol),
        "port": service.port,
        "mode": spelled(pb.Mode, service.mode),
        "check": checks[0] if checks else None,
        "checks": checks,
        "ring_size": status.ring_size,
        "ring_size_wanted": service.ring_size or None,
        "affinity": spelled(pb.Affinity, service.affinity),
        "hash": spelled(pb.Hash, service.hash),
        "returns": spelled(pb.Returns, service.returns),
        "backends": [backend_plain(service.name, backend) for backend in status.backends],
        "pool": _pool_plain(status),
        "check_defaults": defaults_plain(service.check_defaults),
    }


def _pool_plain(status: pb.ServiceStatus) -> PoolPlain:
    wanted, found = status.service.pool, status.pool
    known = status.HasField("pool")
    live = found.live_weight if known else _serving_weight(status)
    return {
        "quorum": wanted.quorum,
        "hysteresis": wanted.hysteresis,
        "sorry_server": wanted.sorry_server or None,
        "when_all_down": spelled(pb.WhenAllDown, wanted.when_all_down),
        "keep_flows": wanted.keep_flows,
        "max_ejected": wanted.max_ejected,
        "slow_start": wanted.slow_start,
        "watch_handshakes": wanted.watch_handshakes,
        "live_weight": live,
        "quorum_reached": found.quorum if known else live > 0,
        "sorry_serves": found.sorry,
        "sorry_problem": found.sorry_problem,
    }


def _serving_weight(status: pb.ServiceStatus) -> int:
    """Return the weight that is up where each backend serves by itself."""
    return sum(
        one.dynamic_weight if one.HasField("dynamic_weight") else one.backend.weight
        for one in status.backends
        if not one.reason
    )


def backend_plain(service: str, status: pb.BackendStatus) -> BackendPlain:
    """Return a backend of ``service``."""
    backend = status.backend
    return {
        "service": service,
        "name": backend.name,
        "address": backend.address,
        "port": backend.port,
        "weight": backend.weight,
        "state": spelled(pb.BackendState, backend.state),
        "health": spelled(pb.Health, status.health),
        "reason": status.reason,
        "since": status.since if status.HasField("since") else None,
        "share": status.share,
        "mac": status.mac if status.HasField("mac") else None,
        "dynamic_weight": (
            status.dynamic_weight if status.HasField("dynamic_weight") else None
        ),
        "zone": backend.zone,
        "drain_deadline": (
            backend.drain_deadline if backend.HasField("drain_deadline") else None
        ),
        "ramp": status.ramp if status.HasField("ramp") else None,
        "kept": status.kept,
        "suspected": status.suspected,
        "checks": _own_checks_plain(backend.checks),
    }


def _own_checks_plain(checks: Sequence[pb.HealthCheck]) -> list[CheckPlain] | None:
    if not checks:
        return None
    return [check_plain(one) for one in checks if not one.HasField("none")]
