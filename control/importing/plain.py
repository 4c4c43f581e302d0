"""What comes out of an import: files, as plain values and as YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import yaml

from control.checks import AnyCheck
from control.desired import DesiredState
from control.document import pool_document
from control.importing.notes import Note
from control.model import Backend, Hash, Protocol, Service
from dataplane.source import Limits

_LIMITS: Final = Limits()
_WIDTH: Final = 88  # columns
_SPARE: Final = 2  # numbers that are not reused in the round that they become free in


@dataclass(frozen=True, slots=True)
class Imported:
    """Files, None where there is nothing for them, and what is to be said of lines."""

    guidewayd: Mapping[str, Any] | None
    vrrpd: Mapping[str, Any] | None
    notes: tuple[Note, ...]


def guidewayd_file(
    interfaces: tuple[str, ...],
    desired: DesiredState,
    told: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the file of guidewayd, with what has its default left out."""
    file: dict[str, Any] = {"interfaces": list(interfaces)}
    backends = sum(len(service.backends) for service in desired)
    services = len(desired.services) + _SPARE
    limits = {
        "services": services,
        "backends": backends + _SPARE,
        "slots": -(-services // _LIMITS.services) * _LIMITS.slots,
    }
    above = {key: value for key, value in limits.items() if value > getattr(_LIMITS, key)}
    if above:
        file["limits"] = above
    file.update(told or {})
    file["services"] = [_service(service) for service in desired]
    return file


def written(file: Mapping[str, Any], heading: str) -> str:
    """Return a file as YAML, under a line of comment."""
    text = yaml.safe_dump(
        dict(file),
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
        default_flow_style=None,
    )
    return f"# {heading}\n{text}"


def _service(service: Service) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": service.name,
        "vip": str(service.vip),
        "port": service.port,
    }
    if service.protocol is not Protocol.TCP:
        plain["protocol"] = str(service.protocol)
    plain["mode"] = str(service.mode)
    if service.hash is not Hash.FLOW:
        plain["hash"] = str(service.hash)
    plain["checks"] = [_check(check) for check in service.checks]
    if pool := pool_document(service.pool, service.port):
        plain["pool"] = pool
    plain["backends"] = [_backend(backend, service.port) for backend in service.backends]
    return plain


def _backend(backend: Backend, port: int) -> dict[str, Any]:
    plain: dict[str, Any] = {"address": str(backend.address)}
    if backend.name != str(backend.address):
        plain["name"] = backend.name
    if backend.port != port:
        plain["port"] = backend.port
    if backend.weight != 1:
        plain["weight"] = backend.weight
    if backend.checks is not None:
        plain["checks"] = [_check(check) for check in backend.checks]
    return plain


def _check(check: AnyCheck) -> dict[str, Any]:
    """Return a check with its type and what differs from the defaults."""
    plain: dict[str, Any] = {"type": check.kind}
    for field in fields(check):
        value = getattr(check, field.name)
        if value != field.default:
            plain[field.name] = list(value) if isinstance(value, tuple) else value
    return {key: _number(value) for key, value in plain.items()}


def _number(value: Any) -> Any:
    """Return 5 rather than 5.0, and a word rather than a member of an enum."""
    if isinstance(value, float) and value == int(value):
        return int(value)
    return str(value) if isinstance(value, str) else value
