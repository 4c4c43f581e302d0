"""Every field of what may be asked of the API, set to what it must not be.

The fields are those of the messages, so a new one is tried from its first day on.
"""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from structlog.testing import capture_logs

from control.api.address import target
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from tests.support.running_api import Node, running_api

WRONG: dict[int, tuple[Any, ...]] = {
    FieldDescriptor.TYPE_STRING: ("\0", "\n", "x" * 5000, "\u202e", "nowhere\x1b[31m"),
    FieldDescriptor.TYPE_UINT32: (2**32 - 1,),
    FieldDescriptor.TYPE_DOUBLE: (float("nan"), float("inf"), -1.0, 1e300),
    FieldDescriptor.TYPE_ENUM: (99,),
}
# Texts of any kind, up to their length.
FREE = {"payload", "reply", "regex"}
KINDS = [
    field.name
    for field in pb.HealthCheck.DESCRIPTOR.oneofs_by_name["kind"].fields
    if field.name != "none"
]


def whole() -> pb.AddServiceRequest:
    """Return a request that is right."""
    return pb.AddServiceRequest(
        service=pb.Service(
            name="web",
            vip="192.0.2.1",
            protocol=pb.PROTOCOL_TCP,
            port=80,
            mode=pb.MODE_NAT,
            checks=[pb.HealthCheck(tcp=pb.TcpCheck())],
        ),
        backends=[pb.Backend(address="10.0.0.1")],
    )


def fields(descriptor: Descriptor) -> Iterator[FieldDescriptor]:
    for field in descriptor.fields:
        if field.type in WRONG and not field.is_repeated:
            yield field


def cases() -> Iterator[Any]:
    """Give how to reach a message, and each field of it that can be wrong."""
    places: dict[str, tuple[Descriptor, Any]] = {
        "service": (pb.Service.DESCRIPTOR, lambda request: request.service),
        "backends[0]": (pb.Backend.DESCRIPTOR, lambda request: request.backends[0]),
    }
    for kind in KINDS:
        descriptor = pb.HealthCheck.DESCRIPTOR.fields_by_name[kind].message_type
        places[f"service.checks[0].{kind}"] = (
            descriptor,
            lambda request, kind=kind: getattr(request.service.checks[0], kind),
        )
    for place, (descriptor, reach) in places.items():
        for field in fields(descriptor):
            yield pytest.param(reach, field, id=f"{place}.{field.name}")


@pytest.fixture(scope="module")
def api(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[LoadBalancerStub, Node]]:
    with (
        capture_logs(),
        running_api(tmp_path_factory.mktemp("api")) as (socket, node),
        grpc.insecure_channel(target(socket)) as channel,
    ):
        yield LoadBalancerStub(channel), node


def assert_refused(error: grpc.RpcError) -> None:
    """It is one printable sentence, with the field; and no bug of ours."""
    assert isinstance(error, grpc.Call)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    said = error.details() or ""
    assert said
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) <= 1000
    found = BadRequest()
    status = rpc_status.from_call(error)
    assert status
    assert any(detail.Unpack(found) for detail in status.details)


@pytest.mark.parametrize(("reach", "field"), list(cases()))
def test_a_wrong_field_is_refused_in_a_sentence_and_changes_nothing(
    api: tuple[LoadBalancerStub, Node], reach: Any, field: FieldDescriptor
) -> None:
    stub, node = api
    before = node.store.version
    for value in WRONG[field.type]:
        if field.name in FREE and len(value) < 5000:
            continue
        request = whole()
        message = reach(request)
        message.SetInParent()
        setattr(message, field.name, value)

        with pytest.raises(grpc.RpcError) as refused:
            stub.AddService(request)

        assert_refused(refused.value)
        assert node.store.version == before


def test_the_whole_request_is_right(api: tuple[LoadBalancerStub, Node]) -> None:
    stub, node = api

    version = stub.AddService(whole()).version
    stub.RemoveService(pb.RemoveServiceRequest(name="web"))

    assert node.store.version == version + 1
