"""What a refusal of the API says to programs: the standard details of google.rpc."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2 as details_pb
from grpc_status import rpc_status

from control.api.details import CODES, refusal, short
from control.api.fields import field_in
from control.api.v1 import guideway_pb2 as pb
from control.errors import GuidewayError, HostError
from tests.support.api_client import ADD_WEB, WEB, Api, api_client

TCP = pb.HealthCheck(tcp=pb.TcpCheck())
BAD = pb.HealthCheck(tcp=pb.TcpCheck(rise=0))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_client(tmp_path) as api:
        yield api


def web(*backends: pb.Backend, **changed: object) -> pb.AddServiceRequest:
    """Return a request for a service like WEB; None takes a field away."""
    service = pb.Service()
    service.CopyFrom(WEB)
    for field, value in changed.items():
        service.ClearField(field)
        if value is not None:
            service.MergeFrom(pb.Service(**{field: value}))
    return pb.AddServiceRequest(service=service, backends=backends)


def told(call: Callable[[], object]) -> dict[str, object]:
    """Return the details of a refusal by their kind, and its status as "status"."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    status = rpc_status.from_call(raised.value)
    assert status.message == raised.value.details()
    assert status.code == raised.value.code().value[0]
    found: dict[str, object] = {"status": status}
    for detail in status.details:
        kind = detail.type_url.removeprefix("type.googleapis.com/google.rpc.")
        found[kind] = message = getattr(details_pb, kind)()
        detail.Unpack(message)
    return found


def field(call: Callable[[], object]) -> str:
    (violation,) = told(call)["BadRequest"].field_violations
    assert violation.description
    return violation.field


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (web(name="a b"), "service.name"),
        (web(vip="nowhere"), "service.vip"),
        (web(vip="224.0.0.1"), "service.vip"),
        (web(port=None), "service.port"),
        (web(port=65536), "service.port"),
        (web(protocol=None), "service.protocol"),
        (web(mode=None), "service.mode"),
        (web(affinity=99), "service.affinity"),
        (web(returns=pb.RETURNS_TRACKED), "service.returns"),
        (web(ring_size=4096), "service.ring_size"),
        (web(check=BAD), "service.check"),
        (web(checks=[TCP, BAD]), "service.checks[1]"),
        (web(check=TCP, checks=[BAD]), "service.checks[0]"),
        (web(checks=[pb.HealthCheck(none=pb.NoCheck()), BAD]), "service.checks"),
        (web(pb.Backend(address="10.0.0.1"), pb.Backend()), "backends[1].address"),
        (web(pb.Backend(address="10.0.0.1", port=8080)), "backends[0].port"),
        (web(pb.Backend(address="10.0.0.1", weight=70000)), "backends[0].weight"),
        (web(pb.Backend(address="10.0.0.1", state=9)), "backends[0].state"),
        (web(*[pb.Backend(address="10.0.0.1")] * 2), "backends[1].name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_is_wrong_in_a_new_service_is_named(
    api: Api, request_: pb.AddServiceRequest, path: str
) -> None:
    assert field(lambda: api.stub.AddService(request_)) == path


def test_a_place_that_another_service_has_is_named(api: Api) -> None:
    api.stub.AddService(ADD_WEB)

    assert field(lambda: api.stub.AddService(web(name="other"))) == "service.vip"


@pytest.mark.parametrize(
    ("backend", "path"),
    [
        (pb.Backend(), "backend.address"),
        (pb.Backend(address="192.0.2.10"), "backend.address"),
        (pb.Backend(address="10.0.0.2", weight=65536), "backend.weight"),
        (pb.Backend(address="10.0.0.2", name="a b"), "backend.name"),
        (pb.Backend(address="10.0.0.2", state=99), "backend.state"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_that_is_wrong_in_a_new_backend_is_named(
    api: Api, backend: pb.Backend, path: str
) -> None:
    api.stub.AddService(ADD_WEB)
    request = pb.AddBackendRequest(service="web", backend=backend)

    assert field(lambda: api.stub.AddBackend(request)) == path


def test_a_value_that_is_wrong_in_a_change_is_named(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    weigh = pb.SetBackendRequest(service="web", backend="10.0.0.1", weight=65536)
    mark = pb.SetBackendRequest(service="web", backend="10.0.0.1", state=99)
    size = pb.ChangeServiceRequest(name="web", ring_size=4)
    check = pb.ChangeServiceRequest(name="web", check=BAD)

    assert field(lambda: api.stub.SetBackend(weigh)) == "weight"
    assert field(lambda: api.stub.SetBackend(mark)) == "state"
    assert field(lambda: api.stub.ChangeService(size)) == "ring_size"
    assert field(lambda: api.stub.ChangeService(check)) == "check"


def test_what_the_request_has_no_field_for_is_the_whole_of_it() -> None:
    assert field_in(pb.RemoveServiceRequest(), "services[1].vip") == ""


def test_what_is_not_there_is_named(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    no_service = told(lambda: api.stub.GetService(pb.GetServiceRequest(name="mail")))
    request = pb.RemoveBackendRequest(service="web", backend="b")
    no_backend = told(lambda: api.stub.RemoveBackend(request))

    assert no_service["ResourceInfo"] == details_pb.ResourceInfo(
        resource_type="service", resource_name="mail"
    )
    assert no_backend["ResourceInfo"] == details_pb.ResourceInfo(
        resource_type="backend", resource_name="web/b"
    )


def test_what_the_host_lacks_is_a_violated_precondition(api: Api) -> None:
    api.node.refusal = "no memory for the maps"

    found = told(lambda: api.stub.ReloadDataPlane(pb.ReloadDataPlaneRequest()))

    (violation,) = found["PreconditionFailure"].violations
    assert (violation.type, violation.subject) == ("HOST", "guidewayd")
    assert violation.description == "no memory for the maps"


def test_every_refusal_has_a_reason_that_stays(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    api.node.broken = True
    refusals = [
        told(lambda: api.stub.AddService(web(port=None))),
        told(lambda: api.stub.AddService(ADD_WEB)),
        told(lambda: api.stub.GetService(pb.GetServiceRequest())),
        told(lambda: api.stub.GetStatistics(pb.GetStatisticsRequest())),
    ]

    reasons = [(one["ErrorInfo"].domain, one["ErrorInfo"].reason) for one in refusals]
    assert reasons == [
        ("guideway", "INVALID_VALUE"),
        ("guideway", "CONFLICT"),
        ("guideway", "NOT_FOUND"),
        ("guideway", "BUG"),
    ]


def test_every_error_that_is_raised_on_purpose_has_a_code() -> None:
    assert set(CODES) == set(GuidewayError.__subclasses__())


@pytest.mark.parametrize("character", ["x", "…", "\U0001f600", "\n"])
def test_a_sentence_and_its_details_always_fit_into_headers(
    api: Api, character: str
) -> None:
    api.node.refusal = character * 100_000

    found = told(lambda: api.stub.ReloadDataPlane(pb.ReloadDataPlaneRequest()))

    (violation,) = found["PreconditionFailure"].violations
    sentence = found["status"].message
    assert sentence == violation.description == character * len(sentence)
    assert len(sentence) > 100


def test_a_sentence_is_cut_only_if_it_has_to_be() -> None:
    assert short("a" * 1000) == "a" * 1000
    assert short("a" * 1001) == "a" * 1000
    assert refusal(HostError("the disk is full")).message == "the disk is full"
