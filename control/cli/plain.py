"""Answers as plain values: the JSON that ``-o json`` prints.

Programs rely on it: keys are added, and neither renamed nor removed. Times are seconds.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar, cast

from control.api.v1 import guideway_pb2 as pb
from control.checks import CHECKS

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper
    from google.protobuf.message import Message

Number = TypeVar("Number", bound=int)
# Keys of checks that the API leaves empty where there is nothing.
_NULLABLE: Final = frozenset(
    field.name
    for check in CHECKS.values()
    for field in fields(check)
    if field.default is None
)


class CheckDefaultsPlain(TypedDict, total=False):
    """What the checks of a service have in common; keys are as in a check."""

    interval: float
    timeout: float
    rise: int
    fall: int
    retry_interval: float | None
    initial: str
    jitter: float
    damping: float


class CheckPlain(TypedDict, total=False):
    """A health check. What is here is in all; the keys of its type are beside it."""

    type: str  # "tcp", "http" …
    interval: float
    timeout: float
    rise: int
    fall: int
    port: int | None  # null: the backend's own
    retry_interval: float | None  # null: the interval
    initial: str  # "first", "up", "down" or "before"
    jitter: float  # part of the interval
    damping: float  # seconds that a flapping backend is kept down at most; 0: none
    source: str | None  # null: as routes say; in all but exec and file, and so is the next
    interface: str | None
    via: str  # "backend" or "vip"; in all but exec, file and icmp


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


class ReasonPlain(TypedDict):
    """An element of ``stats``' ``reasons``, those that never happened included."""

    reason: str
    verdict: str  # "forward", "pass" or "drop"
    meaning: str
    packets: int
    bytes: int
    flows: int  # TCP connections that began


class ServiceTrafficPlain(TypedDict):
    """An element of ``stats``' ``services``."""

    service: str
    packets: int
    bytes: int
    flows: int  # TCP connections that began


class BackendTrafficPlain(TypedDict):
    """An element of ``stats``' ``backends``."""

    service: str
    backend: str
    packets: int
    bytes: int
    flows: int  # TCP connections that began


class StatisticsPlain(TypedDict, total=False):
    """The answer of ``stats``; with --reasons and the like, only what is asked for."""

    reasons: list[ReasonPlain]
    services: list[ServiceTrafficPlain]
    backends: list[BackendTrafficPlain]


class VlanPlain(TypedDict):
    """A VLAN of an interface in which services are balanced."""

    name: str  # of the host's interface for it
    tags: list[str]  # the outer one first: "802.1ad 7", "802.1Q 10"


class InterfacePlain(TypedDict):
    """An interface that the program is attached to."""

    name: str
    mode: str  # "native" or "generic"
    vlans: list[VlanPlain]


class PendingPlain(TypedDict):
    """A version that is undone unless it is confirmed."""

    version: int
    base: int  # the version that comes back; 0: nothing is wanted then
    remaining: float  # seconds


class PeerPlain(TypedDict):
    """A node that this one follows."""

    address: str
    synced: bool
    since: float  # Unix time of the last change of that
    lag: float | None  # seconds since it had told everything; null: it never has
    rings: int
    flows: int
    problem: str  # "": there is a connection


class FollowerPlain(TypedDict):
    """A node that follows this one."""

    author: str
    via: str
    rings: int
    flows: int
    seconds: float  # that the last look at what is news took


class NodePlain(TypedDict):
    """The answer of ``status``."""

    release: str
    instance: str
    abi: int
    digest: str
    interfaces: list[InterfacePlain]
    adopted: bool
    desired_version: int
    applied_version: int
    warnings: list[str]
    started: float  # Unix time
    repairs: int  # foreign writes to the maps that were found and mended
    repaired: float | None  # Unix time of the last one; null: never
    detached: bool
    pending: PendingPlain | None  # null: no version waits to be confirmed
    peers: list[PeerPlain]
    followers: list[FollowerPlain]


class AttachmentPlain(TypedDict):
    """An interface of the configuration."""

    name: str
    mode: str  # "native", "generic" or "unspecified": no XDP program
    attached: bool  # the program is guideway's


class MapPlain(TypedDict):
    """A map of the data plane."""

    name: str
    used: int  # entries; of an array, those that are not zero
    limit: int
    bytes: int


class DataPlanePlain(TypedDict):
    """The answer of ``dataplane status``."""

    abi: int
    digest: str  # "": detached
    adopted: bool
    loaded: float | None  # Unix time; null: detached
    interfaces: list[AttachmentPlain]
    maps: list[MapPlain]


def spelled(enum: "_EnumTypeWrapper[Number]", number: Number) -> str:
    """Return the value of an enum as commands and files spell it: MODE_DR is ``dr``."""
    if number not in enum.values():
        return str(number)  # of a later release
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return enum.Name(number).removeprefix(prefix).lower()


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
        "check_defaults": cast(
            "CheckDefaultsPlain", _settings_plain(service.check_defaults)
        ),
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


def statistics_plain(answer: pb.GetStatisticsResponse) -> StatisticsPlain:
    """Return all counters."""
    return {
        "reasons": [
            {
                "reason": reason.reason,
                "verdict": spelled(pb.Verdict, reason.verdict),
                "meaning": reason.meaning,
                "packets": reason.traffic.packets,
                "bytes": reason.traffic.bytes,
                "flows": reason.traffic.flows,
            }
            for reason in answer.reasons
        ],
        "services": [
            {
                "service": service.service,
                "packets": service.traffic.packets,
                "bytes": service.traffic.bytes,
                "flows": service.traffic.flows,
            }
            for service in answer.services
        ],
        "backends": [
            {
                "service": backend.service,
                "backend": backend.backend,
                "packets": backend.traffic.packets,
                "bytes": backend.traffic.bytes,
                "flows": backend.traffic.flows,
            }
            for backend in answer.backends
        ],
    }


def node_plain(node: pb.NodeStatus) -> NodePlain:
    """Return the node's status."""
    return {
        "release": node.release,
        "instance": node.instance,
        "abi": node.abi,
        "digest": node.digest,
        "interfaces": [
            {
                "name": interface.name,
                "mode": spelled(pb.XdpMode, interface.mode),
                "vlans": [
                    {"name": vlan.name, "tags": list(vlan.tags)} for vlan in interface.vlans
                ],
            }
            for interface in node.interfaces
        ],
        "adopted": node.adopted,
        "desired_version": node.desired_version,
        "applied_version": node.applied_version,
        "warnings": list(node.warnings),
        "started": node.started,
        "repairs": node.repairs,
        "repaired": node.repaired if node.HasField("repaired") else None,
        "detached": node.detached,
        "pending": pending_plain(node.pending) if node.HasField("pending") else None,
        "peers": [
            {
                "address": peer.address,
                "synced": peer.synced,
                "since": peer.since,
                "lag": peer.lag if peer.HasField("lag") else None,
                "rings": peer.rings,
                "flows": peer.flows,
                "problem": peer.problem,
            }
            for peer in node.peers
        ],
        "followers": [
            {
                "author": follower.author,
                "via": follower.via,
                "rings": follower.rings,
                "flows": follower.flows,
                "seconds": follower.seconds,
            }
            for follower in node.followers
        ],
    }


def pending_plain(pending: pb.PendingVersion) -> PendingPlain:
    """Return the version that waits to be confirmed."""
    return {
        "version": pending.version,
        "base": pending.base,
        "remaining": pending.remaining,
    }


def data_plane_plain(plane: pb.DataPlane) -> DataPlanePlain:
    """Return program, links and maps."""
    return {
        "abi": plane.abi,
        "digest": plane.digest,
        "adopted": plane.adopted,
        "loaded": plane.loaded if plane.HasField("loaded") else None,
        "interfaces": [
            {
                "name": one.name,
                "mode": spelled(pb.XdpMode, one.mode),
                "attached": one.attached,
            }
            for one in plane.interfaces
        ],
        "maps": [
            {"name": one.name, "used": one.used, "limit": one.limit, "bytes": one.bytes}
            for one in plane.maps
        ],
    }


def check_plain(check: pb.HealthCheck) -> CheckPlain:
    """Return a health check."""
    kind = check.WhichOneof("kind") or "unknown"  # of a later release
    message: Message = getattr(check, kind, pb.NoCheck())
    return cast("CheckPlain", {"type": kind} | _settings_plain(message))


def _settings_plain(message: "Message") -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.name == "initial":
            value = spelled(pb.Initial, value)
        elif field.name == "via":
            value = spelled(pb.Via, value)
        elif field.name == "headers":
            value = dict(value)
        elif field.name == "command":
            value = list(value)
        plain[field.name] = value if value or field.name not in _NULLABLE else None
    return plain
