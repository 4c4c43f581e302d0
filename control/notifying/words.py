"""How a program is told of a change: its arguments and its environment. Pure."""

from typing import Final

from control.model import Backend, Service
from control.notifying.changes import Change, Kind
from control.notifying.settings import Program

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROLES: Final = {"active": "MASTER", "backup": "BACKUP", "gone": "STOP"}


def command(program: Program, change: Change) -> tuple[str, ...]:
    """Return the program with its arguments, the last ones in keepalived's words."""
    return (*program.command, *_arguments(change)) if program.arguments else program.command


def environment(change: Change, node: str) -> dict[str, str]:
    """Return all variables that a program finds, on the host ``node``."""
    subject, service, backend = change.subject, change.service, change.backend
    told = {
        "KIND": subject.kind.value,
        "EVENT": change.occasion.value,
        "SERVICE": subject.service,
        "VIP": str(service.vip) if service else "",
        "PORT": str(service.port) if service else "",
        "PROTOCOL": service.protocol.value if service else "",
        "BACKEND": subject.name if subject.kind is Kind.BACKEND else "",
        "BACKEND_ADDRESS": str(backend.address) if backend else "",
        "BACKEND_PORT": str(backend.port) if backend else "",
        "INSTANCE": subject.name if subject.kind is Kind.VRRP else "",
        "OLD": change.before,
        "NEW": change.after,
        "REASON": change.reason,
        "CHANGES": str(change.changes),
        "TIME": f"{change.time:.3f}",
        "VERSION": str(change.version),
        "NODE": node,
    }
    usual = {"PATH": _PATH, "LANG": "C.UTF-8"}
    return usual | {f"GUIDEWAY_{key}": _plain(value) for key, value in told.items()}


def _arguments(change: Change) -> tuple[str, ...]:
    subject = change.subject
    state = change.after.upper()
    match subject.kind:
        case Kind.BACKEND:
            real = _place(change.service, change.backend) or subject.name
            return ("RS", real, _place(change.service) or subject.service, state)
        case Kind.SERVICE:
            return ("VS", _place(change.service) or subject.service, state)
        case Kind.VRRP:
            role = _ROLES.get(change.after, "FAULT")
            return ("INSTANCE", subject.name, role, str(change.priority))
        case Kind.DATA_PLANE:
            return ("DATA_PLANE", state)


def _place(service: Service | None, backend: Backend | None = None) -> str:
    """Return ``[192.0.2.1]:tcp:80``; "" if nobody knows it any more."""
    if service is None:
        return ""
    address = backend.address if backend else service.vip
    port = backend.port if backend else service.port
    return f"[{address}]:{service.protocol}:{port}"


def _plain(value: str) -> str:
    """Return ``value`` as one line that does nothing to a terminal."""
    return "".join(one if one.isprintable() else "?" for one in value)
