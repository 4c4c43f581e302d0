"""What each method of each service needs: the one table that decides who may call what.

A method that is not here is refused to everybody. A test compares the table with the
services that the .proto files describe.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control.access import Role

DEADLINE: Final = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call a method, and how long it may take at most."""

    role: Role
    seconds: float | None = DEADLINE  # None: a stream, which ends when the client wants


_VIEW: Final = Rule(Role.VIEW)
_CHANGE: Final = Rule(Role.CHANGE)
_STREAM: Final = Rule(Role.VIEW, seconds=None)
_COMPILES: Final = Rule(Role.CHANGE, seconds=300.0)  # the loader gives up after 240
_EXPLAINS: Final = Rule(Role.VIEW, seconds=90.0)  # the explainer gives up after 60

RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "guideway.v1.LoadBalancer": {
        "ListServices": _VIEW,
        "GetService": _VIEW,
        "GetBackend": _VIEW,
        "AddService": _CHANGE,
        "ChangeService": _CHANGE,
        "RemoveService": _CHANGE,
        "AddBackend": _CHANGE,
        "SetBackend": _CHANGE,
        "RemoveBackend": _CHANGE,
        "GetStatistics": _VIEW,
        "GetStatus": _VIEW,
        "GetDataPlane": _VIEW,
        "ReloadDataPlane": _COMPILES,
        "DetachDataPlane": _COMPILES,
        "Explain": _EXPLAINS,
    },
    "guideway.v1.Configuration": {
        "Apply": _CHANGE,
        "Export": _VIEW,
        "ListVersions": _VIEW,
        "GetVersion": _VIEW,
        "Diff": _VIEW,
        "Rollback": _CHANGE,
        "Confirm": _CHANGE,
    },
    "guideway.v1.Events": {
        "Watch": _STREAM,
    },
    "guideway.v1.Peering": {
        "Follow": Rule(Role.PEER, seconds=None),
    },
    "grpc.health.v1.Health": {
        "Check": _VIEW,
        "List": _VIEW,
        "Watch": _STREAM,
    },
    "grpc.reflection.v1alpha.ServerReflection": {
        "ServerReflectionInfo": _STREAM,
    },
}


def role_for(rule: Rule, request: object) -> Role:
    """Return the role that a request needs: who asks what a change would do only looks.

    Whatever has a field ``dry_run`` changes nothing where that is set.
    """
    if rule.role is Role.CHANGE and getattr(request, "dry_run", False):
        return Role.VIEW
    return rule.role


def rule_of(method: str) -> Rule | None:
    """Return the rule for ``/package.Service/Method``; None if there is none."""
    service, _, name = method.removeprefix("/").rpartition("/")
    return RULES.get(service, {}).get(name)
