"""From what a node says of one backend to the API's messages."""

from dataclasses import replace
from typing import Final

from control.api.convert_checks import checks_to_pb
from control.api.convert_status import HEALTH_TO_PB, backend_status_to_pb
from control.api.v1 import guideway_pb2 as pb
from control.errors import NotFoundError
from control.status import Outcome, ProbeStatus, ServiceStatus

_OUTCOMES: Final = {
    Outcome.PASSED: pb.OUTCOME_PASSED,
    Outcome.FAILED: pb.OUTCOME_FAILED,
    Outcome.NONE: pb.OUTCOME_NONE,
}


def backend_to_pb(
    service: ServiceStatus, name: str, probes: tuple[ProbeStatus, ...]
) -> pb.GetBackendResponse:
    """Return the backend ``name``, with its probes; raise NotFoundError."""
    for status in service.backends:
        if status.backend.name == name:
            return pb.GetBackendResponse(
                backend=backend_status_to_pb(status),
                probes=[_probe_to_pb(one, status.backend.port) for one in probes],
            )
    raise NotFoundError("backend", name, within=service.service.name)


def _probe_to_pb(status: ProbeStatus, port: int) -> pb.ProbeStatus:
    """Return a probe of a backend that has ``port``; the check has another one only."""
    other = status.port if status.port not in (0, port) else None
    return pb.ProbeStatus(
        check=checks_to_pb([replace(status.check, port=other)])[0],
        port=status.port,
        health=HEALTH_TO_PB[status.health],
        since=status.since,
        against=status.against,
        needed=status.needed,
        hold=status.hold,
        results=[
            pb.ProbeResult(
                time=result.time,
                duration=result.duration,
                outcome=_OUTCOMES[result.outcome],
                problem=result.problem,
            )
            for result in status.results
        ],
    )
