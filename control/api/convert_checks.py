"""Between the API's messages about health checks and the model's checks.

Fields have the same names there and here, so that this is written once for all kinds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from control.api.fields import meant, wrong
from control.api.v1 import guideway_pb2 as pb
from control.check_common import CheckDefaults, Initial, PortCheck, Via
from control.checks import CHECKS, AnyCheck, TcpCheck

_INITIALS: Final = {
    pb.INITIAL_FIRST: Initial.FIRST,
    pb.INITIAL_UP: Initial.UP,
    pb.INITIAL_DOWN: Initial.DOWN,
    pb.INITIAL_BEFORE: Initial.BEFORE,
}
_VIAS: Final = {pb.VIA_BACKEND: Via.BACKEND, pb.VIA_VIP: Via.VIP}
_ENUMS: Final[dict[str, Mapping[Any, Initial | Via]]] = {
    "initial": _INITIALS,
    "via": _VIAS,
}
_VIAS_TO_PB: Final = {value: number for number, value in _VIAS.items()}
_INITIALS_TO_PB: Final = {value: number for number, value in _INITIALS.items()}

_Changed = TypeVar("_Changed", bound=CheckDefaults)


def checks_from_pb(
    wanted: Iterable[pb.HealthCheck], known: tuple[AnyCheck, ...], defaults: CheckDefaults
) -> tuple[AnyCheck, ...]:
    """Return the checks that are asked for; ``known`` are those that there were.

    ``defaults`` are those of the service. Raises ConfigError.
    """
    values = defaults.values()
    asked = [one for one in wanted if not one.HasField("none")]
    found: list[AnyCheck] = []
    for one in asked:
        kind = one.WhichOneof("kind")
        if kind is None:
            kinds = ", ".join(CHECKS)
            raise wrong("check.kind", f"is none that this guidewayd knows: none, {kinds}")
        if kind == "known":
            there = known or (TcpCheck(**values),)
            found.extend(_changed(check, one.known) for check in there)
            continue
        alone = len(known) == len(asked) == 1 and known[0].kind == kind
        begun = known[0] if alone else CHECKS[kind](**values)
        found.append(_changed(begun, getattr(one, kind)))
    return tuple(found)


def defaults_from_pb(wanted: pb.CheckDefaults, known: CheckDefaults) -> CheckDefaults:
    """Return ``known`` with what is set in ``wanted``; raise ConfigError."""
    return _changed(known, wanted)


def defaults_to_pb(defaults: CheckDefaults) -> pb.CheckDefaults:
    """Return defaults as a message, nothing left out."""
    values = defaults.values()
    values["retry_interval"] = values["retry_interval"] or 0
    values["initial"] = _INITIALS_TO_PB[defaults.initial]
    return pb.CheckDefaults(**values)


def checks_to_pb(checks: Sequence[AnyCheck]) -> list[pb.HealthCheck]:
    """Return checks as messages, nothing left out."""
    return [_to_pb(check) for check in checks]


def one_check_to_pb(checks: Sequence[AnyCheck]) -> pb.HealthCheck | None:
    """Return what clients that know of one check have to know; None if there are more."""
    if not checks:
        return pb.HealthCheck(none=pb.NoCheck())
    return checks_to_pb(checks)[0] if len(checks) == 1 else None


def _changed(check: _Changed, wanted: Message) -> _Changed:
    """Return ``check`` with what is set in ``wanted``."""
    optional = {field.name for field in fields(check) if field.default is None}
    given: dict[str, Any] = {}
    for descriptor, value in wanted.ListFields():
        name = descriptor.name
        if name in _ENUMS:
            if spelled := meant(value, _ENUMS[name], f"check.{name}"):
                given[name] = spelled
        elif name == "headers":
            given[name] = tuple(sorted(value.items()))
        elif name == "command":
            given[name] = tuple(value)
        else:
            given[name] = (value or None) if name in optional else value
    return replace(check, **given)


def _to_pb(check: AnyCheck) -> pb.HealthCheck:
    values: dict[str, Any] = {}
    for field in fields(check):
        value = getattr(check, field.name)
        if value is None:
            value = 0 if field.name in {"port", "retry_interval"} else ""
        values[field.name] = value
    values["initial"] = _INITIALS_TO_PB[check.initial]
    if isinstance(check, PortCheck):
        values["via"] = _VIAS_TO_PB[check.via]
    if "headers" in values:
        values["headers"] = dict(values["headers"])
    kinds: dict[str, Any] = {check.kind: getattr(pb, type(check).__name__)(**values)}
    return pb.HealthCheck(**kinds)
