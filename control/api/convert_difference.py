"""From differences and disruptions to the API's messages."""

from collections.abc import Iterable
from typing import Final

from control.api.v1 import difference_pb2 as pb
from control.difference import (
    BackendDifference,
    Change,
    Difference,
    FieldDifference,
    ServiceDifference,
)
from control.disruption import Disruption

_CHANGES: Final = {
    Change.ADDED: pb.CHANGE_ADDED,
    Change.REMOVED: pb.CHANGE_REMOVED,
    Change.CHANGED: pb.CHANGE_CHANGED,
}


def difference_to_pb(difference: Difference) -> pb.Difference:
    """Return what differs, with what it does."""
    return pb.Difference(
        services=[_difference_to_pb(one) for one in difference.services],
        reordered=difference.is_reordered,
    )


def _difference_to_pb(one: ServiceDifference) -> pb.ServiceDifference:
    return pb.ServiceDifference(
        name=one.name,
        change=_CHANGES[one.change],
        fields=_fields_to_pb(one.fields),
        backends=[_backend_to_pb(backend) for backend in one.backends],
        disruption=_disruption_to_pb(one.disruption) if one.disruption else None,
        other_service=one.other_service,
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
