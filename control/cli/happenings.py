"""Messages of ``watch`` as plain values: the lines that ``-o json`` prints.

Programs rely on them: keys are added, and neither renamed nor removed. Each has ``event``,
``number`` and ``time`` (Unix time), and what is said here beside them.
"""

from collections.abc import Callable
from typing import Any, Final

from control.api.v1 import configuration_pb2, guideway_pb2
from control.api.v1 import events_pb2 as pb
from control.cli.plain import spelled
from control.cli.plain_node import node_plain
from control.cli.plain_service import service_plain


def happening_plain(message: pb.WatchResponse) -> dict[str, Any]:
    """Return a message; ``event`` is "unknown" if a later release invented it."""
    kind = message.WhichOneof("what")
    plain = {"event": kind or "unknown", "number": message.number, "time": message.time}
    return {**plain, **_PARTS[kind](getattr(message, kind))} if kind else plain


def _backend(change: pb.BackendChange) -> dict[str, Any]:
    return {
        "service": change.service,
        "backend": change.backend,
        "health": spelled(guideway_pb2.Health, change.health),
        "reason": change.reason,
    }


def _stored(stored: pb.VersionStored) -> dict[str, Any]:
    return {
        "version": stored.version,
        "added": list(stored.added),
        "changed": list(stored.changed),
        "removed": list(stored.removed),
        "source": spelled(configuration_pb2.Source, stored.source),
        "author": stored.author,
        "comment": stored.comment,
    }


def _data_plane(plane: pb.DataPlaneChange) -> dict[str, Any]:
    change = spelled(pb.DataPlaneChange.Kind, plane.kind)
    return {"change": change, "reason": plane.reason}


def _vrrp(change: pb.VrrpChange) -> dict[str, Any]:
    return {
        "instance": change.instance,
        "state": change.state,
        "before": change.before,
        "reason": change.reason,
        "since": change.since or None,
        "priority": change.priority,
    }


def _begin(begin: pb.Begin) -> dict[str, Any]:
    return {
        "missed": begin.missed,
        "node": node_plain(begin.node),
        "vrrp": {one.instance: one.state for one in begin.vrrp},
    }


_PARTS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "begin": _begin,
    "service": lambda status: {"service": service_plain(status)},
    "end": lambda _: {},
    "backend": _backend,
    "stored": _stored,
    "confirmed": lambda one: {"version": one.version, "author": one.author},
    "applied": lambda applied: {"version": applied.version},
    "data_plane": _data_plane,
    "pool": lambda pool: {
        "service": pool.service,
        "live_weight": pool.live_weight,
        "quorum": pool.quorum,
        "sorry": pool.sorry,
        "kept": list(pool.kept),
    },
    "vrrp": _vrrp,
    "suspicion": lambda one: {
        "service": one.service,
        "backend": one.backend,
        "suspected": one.suspected,
    },
    "serving": lambda one: {
        "service": one.service,
        "serves": one.serves,
        "reason": one.reason,
    },
}
