"""One backend with its probes, as plain values: see :mod:`control.cli.plain`."""

from typing import TypedDict

from control.api.v1 import guideway_pb2 as pb
from control.cli.plain import spelled
from control.cli.plain_checks import CheckPlain, check_plain
from control.cli.plain_service import BackendPlain, backend_plain


class ProbeResultPlain(TypedDict):
    """An element of a probe's ``results``."""

    time: float  # when it ended, Unix time
    duration: float
    outcome: str  # "passed", "failed" or "none": it could not be made
    problem: str  # why it failed, or could not be made; "": it passed


class ProbePlain(TypedDict):
    """An element of a backend's ``probes``."""

    check: CheckPlain
    port: int  # that is asked; 0: none
    health: str  # "up", "down" or "unknown"
    since: float | None  # Unix time of the last change of health; null: never
    against: int  # results in a row that contradict it
    needed: int  # so many of them change it
    hold: float  # seconds for which it is kept down because it flaps; 0: it is not
    results: list[ProbeResultPlain]  # the last ones, the newest last


class ShownBackendPlain(BackendPlain):
    """The answer of ``backend show``."""

    probes: list[ProbePlain]


def shown_backend_plain(service: str, answer: pb.GetBackendResponse) -> ShownBackendPlain:
    """Return a backend of ``service`` with its probes."""
    probes = [_probe_plain(probe) for probe in answer.probes]
    return {**backend_plain(service, answer.backend), "probes": probes}


def _probe_plain(probe: pb.ProbeStatus) -> ProbePlain:
    return {
        "check": check_plain(probe.check),
        "port": probe.port,
        "health": spelled(pb.Health, probe.health),
        "since": probe.since if probe.HasField("since") else None,
        "against": probe.against,
        "needed": probe.needed,
        "hold": probe.hold,
        "results": [
            {
                "time": result.time,
                "duration": result.duration,
                "outcome": spelled(pb.Outcome, result.outcome),
                "problem": result.problem,
            }
            for result in probe.results
        ],
    }
