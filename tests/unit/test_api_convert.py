"""The API's messages: whatever a client sends becomes a value or one of our errors.

Invariant: no message raises anything but a GuidewayError, on its way to the state.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from control.api import convert
from control.api.v1 import guideway_pb2 as pb
from control.desired import DesiredState
from control.encoding import decode, encode
from control.errors import GuidewayError
from control.model import Backend, Mode, Protocol, Service
from tests.support.damaged import damaged_bytes

WEB = Service(
    "web",
    IPv4Address("192.0.2.10"),
    Protocol.TCP,
    80,
    Mode.DR,
    (Backend("a", IPv4Address("10.0.0.1"), 80),),
)
STATE = DesiredState((WEB,))

texts = st.sampled_from(["", "web", "a", "192.0.2.1", "10.0.0.1", "::1"]) | st.text()
uint32 = st.sampled_from([0, 1, 80, 65535]) | st.integers(0, 2**32 - 1)
enums = st.integers(0, 3) | st.integers(-(2**31), 2**31 - 1)
doubles = st.sampled_from([0.5, 1.0]) | st.floats()


def messages(kind: type, **fields: st.SearchStrategy) -> st.SearchStrategy:
    """Return how to draw messages of a kind, in which any field may be missing."""
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: kind(**given))


checks = messages(pb.HealthCheck, none=st.just(pb.NoCheck())) | messages(
    pb.HealthCheck,
    tcp=messages(
        pb.TcpCheck,
        interval=doubles,
        timeout=doubles,
        rise=uint32,
        fall=uint32,
        port=uint32,
    ),
)
pools = messages(
    pb.PoolPolicy,
    quorum=uint32,
    hysteresis=uint32,
    sorry_server=texts | st.just("10.0.0.9:80"),
    when_all_down=enums,
    keep_flows=st.booleans(),
    max_ejected=doubles,
    slow_start=doubles,
    watch_handshakes=st.booleans(),
)
services = messages(
    pb.Service,
    pool=pools,
    name=texts,
    vip=texts,
    protocol=enums,
    port=uint32,
    mode=enums,
    check=checks,
    ring_size=uint32,
    affinity=enums,
    hash=enums,
)
backends = messages(
    pb.Backend,
    name=texts,
    address=texts,
    port=uint32,
    weight=uint32,
    state=enums,
    drain_deadline=doubles,
)


def added_service(request: pb.AddServiceRequest) -> DesiredState:
    return STATE.with_new_service(convert.new_service(request))


CHANGES: dict[type, Callable] = {
    pb.AddServiceRequest: added_service,
    pb.ChangeServiceRequest: partial(convert.changed_service, STATE),
    pb.AddBackendRequest: partial(convert.added_backend, STATE),
    pb.SetBackendRequest: partial(convert.changed_backend, STATE, now=1000.0),
}
requests = st.one_of(
    messages(
        pb.AddServiceRequest, service=services, backends=st.lists(backends, max_size=3)
    ),
    messages(
        pb.ChangeServiceRequest,
        name=texts,
        pool=pools,
        mode=enums,
        check=checks,
        ring_size=uint32,
        affinity=enums,
        hash=enums,
    ),
    messages(pb.AddBackendRequest, service=texts, backend=backends),
    messages(
        pb.SetBackendRequest,
        service=texts,
        backend=texts,
        weight=uint32,
        state=enums,
        drain_within=doubles,
    ),
)


def check(request: object) -> None:
    with suppress(GuidewayError):
        state = CHANGES[type(request)](request)
        assert decode(encode(state)) == state


@given(requests)
def test_any_request_changes_the_state_or_is_refused(request: object) -> None:
    check(request)


@given(
    requests.flatmap(
        lambda one: st.tuples(st.just(type(one)), damaged_bytes(one.SerializeToString()))
    )
)
def test_any_bytes_that_are_a_request_change_the_state_or_are_refused(
    drawn: tuple[type, bytes],
) -> None:
    kind, data = drawn
    with suppress(DecodeError):  # gRPC answers such a client by itself
        check(kind.FromString(data))
