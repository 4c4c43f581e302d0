"""From what happens on a node to the messages that tell of it."""

from collections.abc import Mapping
from typing import Any, Final

from control.api.convert_configuration import source_to_pb
from control.api.convert_status import HEALTH_TO_PB
from control.api.v1 import events_pb2 as pb
from control.events import (
    BackendChanged,
    DataPlaneChanged,
    Event,
    PlaneChange,
    PoolChanged,
    ServingChanged,
    SuspicionChanged,
    VersionApplied,
    VersionConfirmed,
    VersionStored,
    VrrpChanged,
    What,
)

_KINDS: Final = {
    PlaneChange.ATTACHED: pb.DataPlaneChange.KIND_ATTACHED,
    PlaneChange.RELOADED: pb.DataPlaneChange.KIND_RELOADED,
    PlaneChange.DETACHED: pb.DataPlaneChange.KIND_DETACHED,
    PlaneChange.FAILING: pb.DataPlaneChange.KIND_FAILING,
    PlaneChange.MENDED: pb.DataPlaneChange.KIND_MENDED,
}


def event_to_pb(event: Event) -> pb.WatchResponse:
    """Return the message that tells of an event."""
    name, message = _what_to_pb(event.what)
    told: dict[str, Any] = {name: message}
    return pb.WatchResponse(number=event.number, time=event.time, **told)


def vrrp_to_pb(states: Mapping[str, str]) -> list[pb.VrrpChange]:
    """Return the states of VRRP's instances."""
    return [pb.VrrpChange(instance=name, state=state) for name, state in states.items()]


def _what_to_pb(what: What) -> tuple[str, Any]:  # noqa: PLR0911 - an arm for each
    match what:
        case BackendChanged():
            message = pb.BackendChange(
                service=what.service,
                backend=what.backend,
                health=HEALTH_TO_PB[what.health],
                reason=what.reason,
            )
            return "backend", message
        case VersionStored():
            changed = pb.VersionStored(
                version=what.version,
                added=what.added,
                changed=what.changed,
                removed=what.removed,
                source=source_to_pb(what.source),
                author=what.author,
                comment=what.comment,
            )
            return "stored", changed
        case VersionConfirmed(version=version, author=author):
            return "confirmed", pb.VersionConfirmed(version=version, author=author)
        case VersionApplied(version=version):
            return "applied", pb.VersionApplied(version=version)
        case DataPlaneChanged(change=change, reason=reason):
            return "data_plane", pb.DataPlaneChange(kind=_KINDS[change], reason=reason)
        case VrrpChanged():
            moved = pb.VrrpChange(
                instance=what.instance,
                state=what.state,
                before=what.before,
                reason=what.reason,
                since=what.since,
                priority=what.priority,
            )
            return "vrrp", moved
        case ServingChanged(service=service, serves=serves, reason=reason):
            serving = pb.ServingChange(service=service, serves=serves, reason=reason)
            return "serving", serving
        case SuspicionChanged():
            suspicion = pb.SuspicionChange(
                service=what.service, backend=what.backend, suspected=what.suspected
            )
            return "suspicion", suspicion
        case PoolChanged():
            pool = pb.PoolChange(
                service=what.service,
                live_weight=what.live_weight,
                quorum=what.quorum,
                sorry=what.sorry,
                kept=what.kept,
            )
            return "pool", pool
