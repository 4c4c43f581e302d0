"""Health checks as plain values: see :mod:`control.cli.plain`."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from control.api.v1 import guideway_pb2 as pb
from control.checks import CHECKS
from control.cli.plain import spelled

if TYPE_CHECKING:
    from google.protobuf.message import Message


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


def check_plain(check: pb.HealthCheck) -> CheckPlain:
    """Return a health check."""
    kind = check.WhichOneof("kind") or "unknown"  # of a later release
    message: Message = getattr(check, kind, pb.NoCheck())
    return cast("CheckPlain", {"type": kind} | _settings_plain(message))


def defaults_plain(defaults: pb.CheckDefaults) -> CheckDefaultsPlain:
    """Return what the checks of a service have in common."""
    return cast("CheckDefaultsPlain", _settings_plain(defaults))


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
