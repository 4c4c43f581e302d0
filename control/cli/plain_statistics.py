"""Counters as plain values: see :mod:`control.cli.plain`."""

from typing import TypedDict

from control.api.v1 import guideway_pb2 as pb
from control.cli.plain import spelled


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
