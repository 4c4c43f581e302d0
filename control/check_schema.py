"""Checks as they are written, in the configuration file and in the store.

Types, ranges and unknown keys are msgspec's to check. A key that is not there has the value
that :mod:`control.checks` says. Programs of later releases read what is stored: keys may be
added, and neither renamed nor removed.
"""

from dataclasses import fields, replace
from typing import Annotated, Any, Final, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from control.check_common import BUILT_IN, CheckDefaults, Initial, Via
from control.checks import CHECKS, AnyCheck

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=1000)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Jitter = Annotated[float, Meta(ge=0, le=0.5)]
Damping = Annotated[float, Meta(ge=0, le=3600)]

_UNNAMED: Final = "tcp"  # the type of a check that does not say


class DefaultsSchema(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all kinds have, and a service may say for all of its checks."""

    interval: Seconds | UnsetType = UNSET
    timeout: Seconds | UnsetType = UNSET
    rise: Count | UnsetType = UNSET
    fall: Count | UnsetType = UNSET
    retry_interval: Seconds | UnsetType | None = UNSET
    initial: Initial | UnsetType = UNSET
    jitter: Jitter | UnsetType = UNSET
    damping: Damping | UnsetType = UNSET


class _Schema(DefaultsSchema, frozen=True, kw_only=True, tag_field="type"):
    """What all kinds have."""

    port: Port | UnsetType | None = UNSET


class _NetworkSchema(_Schema, frozen=True, kw_only=True):
    """What those have that open a socket."""

    source: str | UnsetType | None = UNSET
    interface: str | UnsetType | None = UNSET


class _PortSchema(_NetworkSchema, frozen=True, kw_only=True):
    """What those have that ask a port."""

    via: Via | UnsetType = UNSET


class TcpSchema(_PortSchema, frozen=True, tag="tcp"):
    """``type: tcp``."""


class TlsSchema(_PortSchema, frozen=True, tag="tls"):
    """``type: tls``."""

    verify: bool | UnsetType = UNSET
    ca: str | UnsetType | None = UNSET
    sni: str | UnsetType | None = UNSET


class HttpSchema(_PortSchema, frozen=True, tag="http"):
    """``type: http``."""

    method: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    host: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    status: str | int | UnsetType = UNSET
    regex: str | UnsetType | None = UNSET
    digest: str | UnsetType | None = UNSET


class HttpsSchema(HttpSchema, frozen=True, tag="https"):
    """``type: https``."""

    verify: bool | UnsetType = UNSET
    ca: str | UnsetType | None = UNSET
    sni: str | UnsetType | None = UNSET


class UdpSchema(_PortSchema, frozen=True, tag="udp"):
    """``type: udp``."""

    payload: str | UnsetType = UNSET
    reply: str | UnsetType | None = UNSET


class DnsSchema(_PortSchema, frozen=True, tag="dns"):
    """``type: dns``."""

    name: str | UnsetType = UNSET
    record: str | UnsetType = UNSET
    rcode: str | UnsetType = UNSET
    address: str | UnsetType | None = UNSET


class ExecSchema(_Schema, frozen=True, tag="exec"):
    """``type: exec``."""

    command: tuple[str, ...]
    dynamic: bool | UnsetType = UNSET


class GrpcSchema(_PortSchema, frozen=True, tag="grpc"):
    """``type: grpc``."""

    service: str | UnsetType = UNSET
    tls: bool | UnsetType = UNSET
    ca: str | UnsetType | None = UNSET
    sni: str | UnsetType | None = UNSET


class IcmpSchema(_NetworkSchema, frozen=True, tag="icmp"):
    """``type: icmp``."""


class SmtpSchema(_PortSchema, frozen=True, tag="smtp"):
    """``type: smtp``."""

    helo: str | UnsetType = UNSET


class FileSchema(_Schema, frozen=True, tag="file"):
    """``type: file``."""

    path: str


CheckSchema = (
    TcpSchema
    | TlsSchema
    | HttpSchema
    | HttpsSchema
    | UdpSchema
    | DnsSchema
    | ExecSchema
    | GrpcSchema
    | IcmpSchema
    | SmtpSchema
    | FileSchema
)
_SCHEMAS: Final[dict[str, type[CheckSchema]]] = {
    str(one.__struct_config__.tag): one for one in get_args(CheckSchema)
}


def to_defaults(
    written: DefaultsSchema | UnsetType, otherwise: CheckDefaults = BUILT_IN
) -> CheckDefaults:
    """Return what defaults mean; what they do not say, ``otherwise`` does."""
    if isinstance(written, UnsetType):
        return otherwise
    return replace(otherwise, **_given(written))


def from_defaults(defaults: CheckDefaults) -> DefaultsSchema:
    """Return defaults as they are written, nothing left out."""
    return DefaultsSchema(**defaults.values())


def to_check(written: CheckSchema, defaults: CheckDefaults = BUILT_IN) -> AnyCheck:
    """Return what a written check means in a service that has ``defaults``."""
    given = defaults.values() | _given(written)
    if "headers" in given:
        given["headers"] = tuple(sorted(given["headers"].items()))
    if "status" in given:
        given["status"] = str(given["status"])
    return CHECKS[str(written.__struct_config__.tag)](**given)


def from_check(check: AnyCheck) -> CheckSchema:
    """Return a check as it is written, nothing left out."""
    values = {field.name: getattr(check, field.name) for field in fields(check)}
    if "headers" in values:
        values["headers"] = dict(values["headers"])
    return _SCHEMAS[check.kind](**values)


def _given(written: Struct) -> dict[str, Any]:
    return {
        name: value
        for name in written.__struct_fields__
        if (value := getattr(written, name)) is not UNSET
    }


def name_types(services: Any) -> None:
    """Give each check without a type, in what is to become a list of services, its type.

    Before there were other types, files could leave it out. What does not look like a list
    of services is left as it is: msgspec will say what is wrong with it.
    """
    for service in _mappings(services):
        for one in (service, *_mappings(service.get("backends"))):
            for check in _mappings([one.get("check")]) + _mappings(one.get("checks")):
                check.setdefault("type", _UNNAMED)


def _mappings(value: Any) -> list[dict[Any, Any]]:
    """Return what is a mapping in what is to be a list."""
    return (
        [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
    )
