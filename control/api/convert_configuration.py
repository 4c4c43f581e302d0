"""Between the API's messages and desired states, versions and differences."""

from collections.abc import Iterable
from typing import Final

from control.api.convert import backend_to_pb, new_service, service_to_pb
from control.api.v1 import configuration_pb2 as pb
from control.api.v1 import guideway_pb2
from control.confirmation import Pending
from control.database import Version
from control.difference import (
    BackendDifference,
    Change,
    Difference,
    FieldDifference,
    ServiceDifference,
)
from control.disruption import Disruption
from control.errors import ConfigError
from control.model import DesiredState, Service

_SOURCES: Final = {
    "file": pb.SOURCE_FILE,
    "api": pb.SOURCE_API,
    "cli": pb.SOURCE_CLI,
    "daemon": pb.SOURCE_DAEMON,
}
_CHANGES: Final = {
    Change.ADDED: pb.CHANGE_ADDED,
    Change.REMOVED: pb.CHANGE_REMOVED,
    Change.CHANGED: pb.CHANGE_CHANGED,
}


def state_from_pb(wanted: pb.DesiredState) -> DesiredState:
    """Return the state that is asked for; raise ConfigError."""
    services = (_service_from_pb(*each) for each in enumerate(wanted.services))
    return DesiredState(tuple(services))


def state_to_pb(state: DesiredState) -> pb.DesiredState:
    """Return ``state``, nothing left out."""
    return pb.DesiredState(services=[_service_to_pb(service) for service in state])


def version_to_pb(version: Version) -> pb.Version:
    """Return what the history says of a version."""
    return pb.Version(
        version=version.number,
        time=version.time,
        source=_SOURCES.get(version.source, pb.SOURCE_UNSPECIFIED),
        author=version.author,
        comment=version.comment,
    )


def pending_to_pb(
    pending: tuple[Pending, float] | None,
) -> guideway_pb2.PendingVersion | None:
    """Return which version waits to be confirmed, and for how long more."""
    if pending is None:
        return None
    waiting, remaining = pending
    return guideway_pb2.PendingVersion(
        version=waiting.version, base=waiting.base, remaining=remaining
    )


def difference_to_pb(difference: Difference) -> pb.Difference:
    """Return what differs, with what it does."""
    return pb.Difference(
        services=[_difference_to_pb(one) for one in difference.services],
        reordered=difference.is_reordered,
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


def _difference_to_pb(one: ServiceDifference) -> pb.ServiceDifference:
    return pb.ServiceDifference(
        name=one.name,
        change=_CHANGES[one.change],
        fields=_fields_to_pb(one.fields),
        backends=[_backend_to_pb(backend) for backend in one.backends],
        disruption=_disruption_to_pb(one.disruption) if one.disruption else None,
    )


def _backend_to_pb(one: BackendDifference) -> pb.BackendDifference:
    return pb.BackendDifference(
        name=one.name, change=_CHANGES[one.change], fields=_fields_to_pb(one.fields)
    )


def _fields_to_pb(fields: Iterable[FieldDifference]) -> list[pb.FieldDifference]:
    return [
        pb.FieldDifference(field=one.field, before=one.before, after=one.after)
        for one in fields
    ]


def _disruption_to_pb(disruption: Disruption) -> pb.Disruption:
    return pb.Disruption(
        slots_before=disruption.slots_before,
        slots_after=disruption.slots_after,
        moved=disruption.moved,
        flows=disruption.flows,
        broken=disruption.broken,
        shares=[
            pb.ShareDifference(
                backend=one.backend,
                weight_before=one.weight_before,
                weight_after=one.weight_after,
                slots_before=one.slots_before,
                slots_after=one.slots_after,
            )
            for one in disruption.shares
        ],
    )
