"""Versions and differences as plain values: the JSON that ``-o json`` prints.

Programs rely on it, see plain.py.
"""

from collections.abc import Iterable
from typing import TypedDict

from control.api.v1 import configuration_pb2
from control.api.v1 import difference_pb2 as pb
from control.cli.plain import spelled


class VersionPlain(TypedDict):
    """An element of ``history``'s ``versions``, and the ``version`` of ``show``."""

    version: int
    time: float  # Unix time
    source: str  # "file", "api", "cli" or "daemon"
    author: str
    comment: str
    confirmed: float | None  # Unix time; null: it never waited, or nobody did
    confirmed_by: str  # "": nobody


class FieldPlain(TypedDict):
    """A key that differs."""

    field: str
    before: str  # "": it was not there
    after: str


class BackendDifferencePlain(TypedDict):
    """A backend that differs."""

    name: str
    change: str  # "added", "removed" or "changed"
    fields: list[FieldPlain]


class SharePlain(TypedDict):
    """A backend's part of a ring."""

    backend: str
    weight_before: int
    weight_after: int
    slots_before: int
    slots_after: int


class DisruptionPlain(TypedDict):
    """What a change does to the flows of a service."""

    slots_before: int
    slots_after: int
    moved: int  # slots
    flows: float  # share of the flows whose hash has another backend, 0…1
    broken: float  # share of the established flows that lose their backend, 0…1
    shares: list[SharePlain]


class ServiceDifferencePlain(TypedDict):
    """A service that differs."""

    name: str
    change: str  # "added", "removed" or "changed"
    fields: list[FieldPlain]
    backends: list[BackendDifferencePlain]
    disruption: DisruptionPlain | None  # null: it has no flows so far, or all of them end
    other_service: str  # that has these flows: if it is added, so far, else then; "": none


class DifferencePlain(TypedDict):
    """The ``difference`` of ``apply``, ``rollback`` and ``diff``."""

    services: list[ServiceDifferencePlain]
    reordered: bool


def version_plain(version: configuration_pb2.Version) -> VersionPlain:
    """Return what the history says of a version."""
    return {
        "version": version.version,
        "time": version.time,
        "source": spelled(configuration_pb2.Source, version.source),
        "author": version.author,
        "comment": version.comment,
        "confirmed": (
            version.confirmed_time if version.HasField("confirmed_time") else None
        ),
        "confirmed_by": version.confirmed_by,
    }


def difference_plain(difference: pb.Difference) -> DifferencePlain:
    """Return what differs."""
    return {
        "services": [_service(one) for one in difference.services],
        "reordered": difference.reordered,
    }


def _service(one: pb.ServiceDifference) -> ServiceDifferencePlain:
    return {
        "name": one.name,
        "change": spelled(pb.Change, one.change),
        "fields": _fields(one.fields),
        "backends": [
            {
                "name": backend.name,
                "change": spelled(pb.Change, backend.change),
                "fields": _fields(backend.fields),
            }
            for backend in one.backends
        ],
        "disruption": (_disruption(one.disruption) if one.HasField("disruption") else None),
        "other_service": one.other_service,
    }


def _fields(fields: Iterable[pb.FieldDifference]) -> list[FieldPlain]:
    return [
        {"field": one.field, "before": one.before, "after": one.after} for one in fields
    ]


def _disruption(one: pb.Disruption) -> DisruptionPlain:
    return {
        "slots_before": one.slots_before,
        "slots_after": one.slots_after,
        "moved": one.moved,
        "flows": one.flows,
        "broken": one.broken,
        "shares": [
            {
                "backend": share.backend,
                "weight_before": share.weight_before,
                "weight_after": share.weight_after,
                "slots_before": share.slots_before,
                "slots_after": share.slots_after,
            }
            for share in one.shares
        ],
    }
