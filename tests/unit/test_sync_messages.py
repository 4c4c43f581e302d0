"""What nodes tell each other survives the wire; what cannot be is refused."""

import zlib
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.api.convert_peering import told_from_pb, told_to_pb
from control.api.v1 import guideway_pb2 as lb
from control.api.v1 import peering_pb2 as pb
from control.sync.shared import (
    SHARED_FLOW,
    SHARED_REPLY,
    Gone,
    SharedFlows,
    SharedReplies,
    SharedRing,
)
from dataplane.abi import RECORDS_ONLY
from dataplane.records import Endpoint

WEB = Endpoint(IPv4Address("192.0.2.1"), 80, 6)
DNS = Endpoint(IPv6Address("2001:db8::1"), 0, 17)
PLACES = ((IPv4Address("10.0.0.1"), 80), (IPv6Address("2001:db8::7"), 0))
NOW = 10**12

numbers = st.lists(st.sampled_from([0, 1, 2, RECORDS_ONLY]), max_size=40)


@given(numbers, st.booleans(), st.sampled_from([WEB, DNS]))
def test_a_ring_arrives_as_it_was_with_its_age(before, holds, endpoint) -> None:
    columns = np.array(before, np.uint32)
    now = np.where(columns == RECORDS_ONLY, 1, columns).astype(np.uint32)
    ring = SharedRing(endpoint, holds, NOW - 5, PLACES, now, columns)

    message = pb.FollowResponse.FromString(told_to_pb(ring, NOW).SerializeToString())
    got = told_from_pb(message, 7_000)  # by another clock

    assert isinstance(got, SharedRing)
    assert (got.endpoint, got.holds_vip, got.places) == (endpoint, holds, PLACES)
    assert got.changed_ns == 6_995
    assert got.now.tolist() == now.tolist()
    assert got.before.tolist() == before


def test_a_ring_that_never_changed_has_no_age() -> None:
    nothing = np.zeros(2, np.uint32)
    ring = SharedRing(
        WEB, holds_vip=False, changed_ns=0, places=(), now=nothing, before=nothing
    )

    got = told_from_pb(told_to_pb(ring, NOW), NOW)

    assert isinstance(got, SharedRing)
    assert got.changed_ns == 0


def test_flows_and_ends_arrive_as_they_were() -> None:
    flows = np.zeros(3, SHARED_FLOW)
    flows["number"], flows["idle_ms"] = [1, 2, 1], [0, 5, 2**32 - 1]
    shared = SharedFlows(WEB, PLACES, flows)

    got = told_from_pb(told_to_pb(shared, NOW), NOW)

    assert isinstance(got, SharedFlows)
    assert got.flows.tobytes() == flows.tobytes()
    assert (got.endpoint, got.places) == (WEB, PLACES)
    assert told_from_pb(told_to_pb(Gone(DNS), NOW), NOW) == Gone(DNS)
    assert told_from_pb(pb.FollowResponse(told=pb.Told()), NOW) is None


def test_whose_replies_are_whose_arrives_as_it_was() -> None:
    flows = np.zeros(2, SHARED_REPLY)
    flows["vip"], flows["protocol"], flows["idle_ms"] = b"1" * 16, [6, 17], [0, 2**32 - 1]

    got = told_from_pb(told_to_pb(SharedReplies(flows), NOW), NOW)

    assert isinstance(got, SharedReplies)
    assert got.flows.tobytes() == flows.tobytes()
    assert SHARED_REPLY.itemsize == 60


def service(**changes) -> pb.ServiceEndpoint:
    facts = {"vip": b"\1\2\3\4", "protocol": lb.PROTOCOL_TCP, "port": 80, **changes}
    return pb.ServiceEndpoint(**facts)


def ring(size: int, data: bytes) -> pb.FollowResponse:
    slots = zlib.compress(data)
    told = pb.SharedRing(service=service(), size=size, slots=slots)
    return pb.FollowResponse(ring=told)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (pb.FollowResponse(), "this release does not know"),
        (ring(1, b"\0" * 7), "another number of bytes"),
        (ring(1, b"\0" * (64 << 20)), "another number of bytes"),  # 64 KB on the wire
        (ring(2**31, b""), "slots"),
        (ring(1, b"\1" + b"\0" * 7), "does not name"),
        (
            pb.FollowResponse(ring=pb.SharedRing(size=1, slots=b"nonsense")),
            "cannot be read",
        ),
        (pb.FollowResponse(gone=service(protocol=99)), "protocol"),
        (pb.FollowResponse(gone=service(port=65536)), "port"),
        (pb.FollowResponse(gone=service(vip=b"123")), "address"),
        (pb.FollowResponse(flows=pb.SharedFlows(flows=b"\0" * 27)), "cut short"),
        (pb.FollowResponse(replies=pb.SharedReplies(flows=b"\0" * 59)), "cut short"),
        (pb.FollowResponse(replies=pb.SharedReplies(flows=b"\0" * 60)), "protocol"),
        (
            pb.FollowResponse(
                flows=pb.SharedFlows(service=service(), flows=b"\1" + b"\2" * 27)
            ),
            "does not name",
        ),
        (
            pb.FollowResponse(
                flows=pb.SharedFlows(service=service(), places=[pb.Place(address=b"1")])
            ),
            "address",
        ),
    ],
)
def test_what_cannot_be_is_refused(message: pb.FollowResponse, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        told_from_pb(message, NOW)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_arrive_or_be_refused(data: bytes) -> None:
    for message in (
        pb.FollowResponse(flows=pb.SharedFlows(service=service(), flows=data)),
        pb.FollowResponse(ring=pb.SharedRing(service=service(), size=3, slots=data)),
        pb.FollowResponse(gone=service(vip=data)),
        pb.FollowResponse(replies=pb.SharedReplies(flows=data)),
    ):
        try:
            assert told_from_pb(message, NOW) is not None
        except ValueError as error:
            assert str(error)  # noqa: PT017 - either is right
