"""Between the API's messages and desired states and versions.

The command line imports it, too: it imports nothing heavy.
"""

from typing import TYPE_CHECKING, Final

from control.api.convert import backend_to_pb, new_service, service_to_pb
from control.api.v1 import configuration_pb2 as pb
from control.api.v1 import guideway_pb2
from control.desired import DesiredState
from control.errors import ConfigError
from control.model import Service

if TYPE_CHECKING:
    from control.confirmation import Pending
    from control.database import Version

_SOURCES: Final = {
    "file": pb.SOURCE_FILE,
    "api": pb.SOURCE_API,
    "cli": pb.SOURCE_CLI,
    "daemon": pb.SOURCE_DAEMON,
}


def state_from_pb(wanted: pb.DesiredState) -> DesiredState:
    """Return the state that is asked for; raise ConfigError."""
    services = (_service_from_pb(*each) for each in enumerate(wanted.services))
    return DesiredState(tuple(services))


def state_to_pb(state: DesiredState) -> pb.DesiredState:
    """Return ``state``, nothing left out."""
    return pb.DesiredState(services=[_service_to_pb(service) for service in state])


def version_to_pb(version: "Version") -> pb.Version:
    """Return what the history says of a version."""
    return pb.Version(
        version=version.number,
        time=version.time,
        source=source_to_pb(version.source),
        author=version.author,
        comment=version.comment,
        confirmed_time=version.confirmed,
        confirmed_by=version.confirmed_by,
    )


def source_to_pb(source: str) -> pb.Source.ValueType:
    """Return how a change came."""
    return _SOURCES.get(source, pb.SOURCE_UNSPECIFIED)


def pending_to_pb(
    pending: "tuple[Pending, float] | None",
) -> guideway_pb2.PendingVersion | None:
    """Return which version waits to be confirmed, and for how long more."""
    if pending is None:
        return None
    waiting, remaining = pending
    return guideway_pb2.PendingVersion(
        version=waiting.version, base=waiting.base, remaining=remaining
    )


def _service_from_pb(number: int, wanted: pb.DesiredService) -> Service:
    request = guideway_pb2.AddServiceRequest(
        service=wanted.service, backends=wanted.backends
    )
    try:
        return new_service(request)
    except ConfigError as error:
        raise ConfigError(
            f"state.services[{number}]: {error.where}", error.problem
        ) from error


def _service_to_pb(service: Service) -> pb.DesiredService:
    settings = service_to_pb(service)
    if service.checks:
        # In a request, `check` is one more than `checks`; it is left for "none" alone.
        settings.ClearField("check")
    return pb.DesiredService(
        service=settings, backends=[backend_to_pb(one) for one in service.backends]
    )
