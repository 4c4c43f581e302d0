"""What nodes tell each other, as messages and as values.

What comes in is another node's, which proved who it is, and yet may be of another release
or broken: whatever does not fit is a ValueError, and nothing of it is taken.
"""

import zlib
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

import numpy as np

from control.api.v1 import guideway_pb2 as pb
from control.api.v1 import peering_pb2 as peering
from control.model import Protocol
from control.sync.shared import (
    SHARED_FLOW,
    SHARED_REPLY,
    Gone,
    Numbers,
    Place,
    SharedFlows,
    SharedReplies,
    SharedRing,
    Told,
)
from dataplane.abi import RECORDS_ONLY
from dataplane.records import Endpoint

_TO_PB: Final = {
    Protocol.TCP.number: pb.PROTOCOL_TCP,
    Protocol.UDP.number: pb.PROTOCOL_UDP,
}
_FROM_PB: Final = {value: number for number, value in _TO_PB.items()}
_MOST_SLOTS: Final = 8_388_593
_MOST_PORT: Final = 65535
_NUMBER_BYTES: Final = 4
_FAST: Final = 1  # of zlib's levels


def told_to_pb(told: Told, now_ns: int) -> peering.FollowResponse:
    """Return a message; ``now_ns`` is the time by this node's monotonic clock."""
    match told:
        case SharedRing():
            return peering.FollowResponse(ring=_ring_to_pb(told, now_ns))
        case SharedFlows():
            shared = peering.SharedFlows(
                service=_endpoint_to_pb(told.endpoint),
                places=_places_to_pb(told.places),
                flows=told.flows.tobytes(),
            )
            return peering.FollowResponse(flows=shared)
        case SharedReplies(flows):
            replies = peering.SharedReplies(flows=flows.tobytes())
            return peering.FollowResponse(replies=replies)
        case Gone(endpoint):
            return peering.FollowResponse(gone=_endpoint_to_pb(endpoint))


def told_from_pb(message: peering.FollowResponse, now_ns: int) -> Told | None:
    """Return what a message tells; None: that this was all. Raises ValueError."""
    match message.WhichOneof("what"):
        case "ring":
            return _ring(message.ring, now_ns)
        case "flows":
            return _flows(message.flows)
        case "replies":
            return _replies(message.replies)
        case "gone":
            return Gone(_endpoint(message.gone))
        case "told":
            return None
        case _:
            raise ValueError("it tells something that this release does not know")


def _ring_to_pb(ring: SharedRing, now_ns: int) -> peering.SharedRing:
    columns = np.concatenate((ring.now, ring.before)).astype("<u4")
    return peering.SharedRing(
        service=_endpoint_to_pb(ring.endpoint),
        holds_vip=ring.holds_vip,
        changed_ago=max(now_ns - ring.changed_ns, 0) if ring.changed_ns else None,
        places=_places_to_pb(ring.places),
        size=len(ring.now),
        slots=zlib.compress(columns.tobytes(), _FAST),
    )


def _ring(message: peering.SharedRing, now_ns: int) -> SharedRing:
    size, places = message.size, _places(message.places)
    if size > _MOST_SLOTS:
        raise ValueError(f"a ring of {size} slots")
    length = 2 * size * _NUMBER_BYTES
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(message.slots, length + 1)
    except zlib.error as error:
        raise ValueError(f"a ring that cannot be read: {error}") from error
    if len(data) != length:
        raise ValueError(f"a ring of {size} slots in another number of bytes")
    numbers = np.frombuffer(data, "<u4").astype(np.uint32)
    now, before = numbers[:size], numbers[size:]
    _check_numbers(now, places)
    _check_numbers(before[before != RECORDS_ONLY], places)
    changed_ns = 0
    if message.HasField("changed_ago"):
        changed_ns = max(now_ns - message.changed_ago, 1)
    endpoint = _endpoint(message.service)
    return SharedRing(endpoint, message.holds_vip, changed_ns, places, now, before)


def _flows(message: peering.SharedFlows) -> SharedFlows:
    if len(message.flows) % SHARED_FLOW.itemsize:
        raise ValueError("flows of which the last one is cut short")
    places = _places(message.places)
    flows = np.frombuffer(message.flows, SHARED_FLOW)
    _check_numbers(flows["number"], places)
    return SharedFlows(_endpoint(message.service), places, flows)


def _replies(message: peering.SharedReplies) -> SharedReplies:
    if len(message.flows) % SHARED_REPLY.itemsize:
        raise ValueError("replies of which the last one is cut short")
    flows = np.frombuffer(message.flows, SHARED_REPLY)
    if not np.isin(flows["protocol"], list(_TO_PB)).all():
        raise ValueError("replies of a protocol that there is not")
    return SharedReplies(flows)


def _check_numbers(numbers: Numbers, places: tuple[Place, ...]) -> None:
    if len(numbers) and int(numbers.max()) > len(places):
        raise ValueError("the number of a backend that it does not name")


def _endpoint_to_pb(endpoint: Endpoint) -> peering.ServiceEndpoint:
    return peering.ServiceEndpoint(
        vip=endpoint.address.packed,
        protocol=_TO_PB[endpoint.protocol],
        port=endpoint.port,
    )


def _endpoint(message: peering.ServiceEndpoint) -> Endpoint:
    protocol = _FROM_PB.get(message.protocol)
    if protocol is None or message.port > _MOST_PORT:
        raise ValueError("a service of a protocol or port that there is not")
    return Endpoint(ip_address(message.vip), message.port, protocol)


def _places_to_pb(places: Iterable[Place]) -> list[peering.Place]:
    return [peering.Place(address=address.packed, port=port) for address, port in places]


def _places(messages: Iterable[peering.Place]) -> tuple[Place, ...]:
    return tuple((ip_address(place.address), place.port) for place in messages)
