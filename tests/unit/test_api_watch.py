"""``guideway.v1.Events`` over a real channel, and the services that are a standard."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from control.api.address import target
from control.api.roles import RULES
from control.api.v1 import configuration_pb2, guideway_pb2
from control.api.v1 import events_pb2 as pb
from control.api.v1.events_pb2_grpc import EventsStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.events import (
    BackendChanged,
    DataPlaneChanged,
    PlaneChange,
    VersionApplied,
    VersionConfirmed,
    VersionStored,
    VrrpChanged,
    What,
)
from control.status import Health
from tests.support.api_client import ADD_WEB
from tests.support.running_api import Node, running_api

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with running_api(tmp_path) as (_, node):
        yield node


@pytest.fixture
def channel(node: Node) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target(node.socket)) as channel:
        yield channel


def kinds(messages: list[pb.WatchResponse]) -> list[str | None]:
    return [message.WhichOneof("what") for message in messages]


def test_everything_comes_first_and_then_what_happens(
    channel: grpc.Channel, node: Node
) -> None:
    LoadBalancerStub(channel).AddService(ADD_WEB)
    node.publish(VrrpChanged("inside", "active"))

    stream = EventsStub(channel).Watch(pb.WatchRequest(), timeout=20)
    everything = [next(stream) for _ in range(3)]
    node.publish(BackendChanged("web", "10.0.0.1", Health.DOWN, "connection refused"))
    event = next(stream)

    begin, service, _ = everything
    assert kinds(everything) == ["begin", "service", "end"]
    assert (begin.begin.missed, begin.begin.node.release) == (0, "0.1.0")
    assert list(begin.begin.vrrp) == [pb.VrrpChange(instance="inside", state="active")]
    status = LoadBalancerStub(channel).GetService(
        guideway_pb2.GetServiceRequest(name="web")
    )
    assert service.service == status.service
    assert [message.number for message in everything] == [1, 1, 1]
    assert event.number == 2
    assert event.time >= begin.time
    assert event.backend == pb.BackendChange(
        service="web",
        backend="10.0.0.1",
        health=guideway_pb2.HEALTH_DOWN,
        reason="connection refused",
    )


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (
            VersionStored(4, ("a",), ("b",), ("c",)),
            pb.WatchResponse(
                stored=pb.VersionStored(
                    version=4, added=["a"], changed=["b"], removed=["c"]
                )
            ),
        ),
        (
            VersionStored(4, changed=("b",), source="cli", author="alice", comment="why"),
            pb.WatchResponse(
                stored=pb.VersionStored(
                    version=4,
                    changed=["b"],
                    source=configuration_pb2.SOURCE_CLI,
                    author="alice",
                    comment="why",
                )
            ),
        ),
        (
            VersionConfirmed(4, "alice"),
            pb.WatchResponse(confirmed=pb.VersionConfirmed(version=4, author="alice")),
        ),
        (VersionApplied(4), pb.WatchResponse(applied=pb.VersionApplied(version=4))),
        (
            DataPlaneChanged(PlaneChange.FAILING, "eth0 is taken"),
            pb.WatchResponse(
                data_plane=pb.DataPlaneChange(
                    kind=pb.DataPlaneChange.KIND_FAILING, reason="eth0 is taken"
                )
            ),
        ),
        (
            VrrpChanged("inside", "backup"),
            pb.WatchResponse(vrrp=pb.VrrpChange(instance="inside", state="backup")),
        ),
    ],
)
def test_every_kind_of_event_is_told(
    channel: grpc.Channel, node: Node, what: What, told: pb.WatchResponse
) -> None:
    stream = EventsStub(channel).Watch(pb.WatchRequest(), timeout=20)
    assert kinds([next(stream) for _ in range(2)]) == ["begin", "end"]
    node.publish(what)

    message = next(stream)

    message.ClearField("number")
    message.ClearField("time")
    assert message == told


def test_every_change_of_the_data_plane_has_a_kind() -> None:
    spelled = {f"KIND_{change.name}" for change in PlaneChange}

    assert {*pb.DataPlaneChange.Kind.keys()} == spelled | {"KIND_UNSPECIFIED"}


def test_services_can_be_chosen(channel: grpc.Channel, node: Node) -> None:
    LoadBalancerStub(channel).AddService(ADD_WEB)

    stream = EventsStub(channel).Watch(pb.WatchRequest(services=["mail"]), timeout=20)
    assert kinds([next(stream) for _ in range(2)]) == ["begin", "end"]
    node.publish(
        BackendChanged("web", "a", Health.DOWN, ""),
        BackendChanged("mail", "a", Health.DOWN, ""),
    )

    assert next(stream).backend.service == "mail"


def test_the_end_of_the_daemon_is_the_end_of_the_stream(tmp_path: Path) -> None:
    with running_api(tmp_path) as (socket, _):
        channel = grpc.insecure_channel(target(socket))
        stream = EventsStub(channel).Watch(pb.WatchRequest(), timeout=20)
        assert next(stream).HasField("begin")

    with channel:
        assert kinds(list(stream)) == ["end"]
        assert stream.code() is grpc.StatusCode.OK


def test_the_standard_health_service_says_whether_packets_are_balanced(
    channel: grpc.Channel, node: Node
) -> None:
    stub = HealthStub(channel)

    def answer(service: str = "") -> int:
        return stub.Check(health_pb2.HealthCheckRequest(service=service)).status

    assert (answer(), answer("guideway.v1.LoadBalancer")) == (SERVING, SERVING)
    node.failing = "eth0 is taken"
    assert (answer(), answer("guideway.v1.LoadBalancer")) == (NOT_SERVING, NOT_SERVING)
    node.failing, node.detached = "", True
    assert answer() == NOT_SERVING
    listed = stub.List(health_pb2.HealthListRequest()).statuses
    assert set(listed) == {"", "guideway.v1.LoadBalancer"}
    with pytest.raises(grpc.RpcError) as raised:
        answer("mail")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_can_be_watched(channel: grpc.Channel, node: Node) -> None:
    stub = HealthStub(channel)
    stream = stub.Watch(health_pb2.HealthCheckRequest(), timeout=20)
    other = stub.Watch(health_pb2.HealthCheckRequest(service="mail"), timeout=20)

    assert next(stream).status == SERVING
    node.failing = "eth0 is taken"
    assert next(stream).status == NOT_SERVING
    node.failing = ""
    assert next(stream).status == SERVING
    assert next(other).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_a_client_that_knows_nothing_finds_and_calls_everything(
    channel: grpc.Channel, node: Node
) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)

    services = set(database.get_services())
    method = pool.FindServiceByName("guideway.v1.LoadBalancer").methods_by_name["GetStatus"]
    request, answer = (
        GetMessageClass(method.input_type),
        GetMessageClass(method.output_type),
    )
    call = channel.unary_unary(
        "/guideway.v1.LoadBalancer/GetStatus",
        request.SerializeToString,
        answer.FromString,
    )

    assert services == set(RULES)
    assert call(request()).node.release == "0.1.0"
    assert pool.FindServiceByName("guideway.v1.Events").methods_by_name["Watch"]
    assert node.store.version == 0
