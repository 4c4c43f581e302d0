"""What the API refuses, over a real channel: code and sentence."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from control.api.numbers import MAX_REQUEST_BYTES
from control.api.v1 import guideway_pb2 as pb
from tests.support.api_client import ADD_WEB, WEB, Api, api_client
from tests.support.full_disk import full_disk


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_client(tmp_path) as api:
        yield api


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """Return how a call is refused."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def web(**changed: object) -> pb.AddServiceRequest:
    """Return a request for a service like WEB; None takes a field away."""
    service = pb.Service()
    service.CopyFrom(WEB)
    for field, value in changed.items():
        service.ClearField(field)
        if value is not None:
            service.MergeFrom(pb.Service(**{field: value}))
    return pb.AddServiceRequest(service=service)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (web(name=None), "service name: '' is not a name: 1…63 letters, digits and any of"),
        (web(vip="nowhere"), "service.vip: 'nowhere' is not an IP address"),
        (
            web(vip="224.0.0.1"),
            "service 'web': 224.0.0.1 is not an address that a host can have",
        ),
        (web(protocol=None), "service.protocol: is required: tcp or udp"),
        (web(protocol=99), "service.protocol: 99 is unknown: tcp or udp"),
        (web(vip="[2001:db8::1]"), "service.vip: '[2001:db8::1]' is not an IP address; wr"),
        (web(port=None), "service.port: is required; 0 is every port"),
        (web(port=65536), "service 'web': port 65536 is not in 0…65535"),
        (web(mode=None), "service.mode: is required: dr or nat"),
        (web(mode=99), "service.mode: 99 is unknown: dr or nat"),
        (web(affinity=99), "service.affinity: 99 is unknown: transition, always or none"),
        (web(ring_size=4096), "service 'web': ring size 4096 is not a prime number"),
        (web(ring_size=4294967291), "service 'web': ring size 4294967291 is above 8388593"),
        (web(check=pb.HealthCheck()), "check.kind: is none that this guidewayd knows"),
        (
            web(check=pb.HealthCheck(tcp=pb.TcpCheck(interval=float("nan")))),
            "service 'web', check: interval nan s is not in 0.01…3600 s",
        ),
        (
            web(check=pb.HealthCheck(tcp=pb.TcpCheck(timeout=float("inf")))),
            "service 'web', check: timeout inf s is not in 0.01…3600 s",
        ),
        (
            web(check=pb.HealthCheck(tcp=pb.TcpCheck(initial=99))),
            "check.initial: 99 is unknown: first, up, down or before",
        ),
        (
            web(check=pb.HealthCheck(tcp=pb.TcpCheck(via=99))),
            "check.via: 99 is unknown: backend or vip",
        ),
        (
            web(check=pb.HealthCheck(tcp=pb.TcpCheck(rise=0))),
            "service 'web', check: rise 0 is not in 1…1000",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_service_that_is_wrong_is_refused(
    api: Api, request_: pb.AddServiceRequest, sentence: str
) -> None:
    code, details = refusal(lambda: api.stub.AddService(request_))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(sentence)
    assert api.node.store.version == 0


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [
        (pb.Backend(), "backend.address: '' is not an IP address"),
        (
            pb.Backend(address="192.0.2.10"),
            "service 'web', backend '192.0.2.10': 192.0.2.10 is the VIP itself",
        ),
        (
            pb.Backend(address="10.0.0.2", port=8080),
            "service 'web', backend '10.0.0.2': port 8080 differs from the service's 80",
        ),
        (
            pb.Backend(address="10.0.0.2", weight=65536),
            "service 'web', backend '10.0.0.2': weight 65536 is not in 0…65535",
        ),
        (
            pb.Backend(address="10.0.0.2", state=99),
            "backend.state: 99 is unknown: active, draining or disabled",
        ),
        (
            pb.Backend(name="[red]", address="10.0.0.2"),
            "backend name: '[red]' is not a name",
        ),
        (
            pb.Backend(name="b", address="10.0.0.1"),
            "service 'web': backend 'b' has the address 10.0.0.1:80, which another",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)
def test_a_backend_that_is_wrong_is_refused(
    api: Api, backend: pb.Backend, sentence: str
) -> None:
    api.stub.AddService(ADD_WEB)
    request = pb.AddBackendRequest(service="web", backend=backend)

    code, details = refusal(lambda: api.stub.AddBackend(request))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith(sentence)
    assert api.node.store.version == 1


def test_what_is_not_there_is_not_found(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    no_mail = (grpc.StatusCode.NOT_FOUND, "no service 'mail'")
    no_backend = (grpc.StatusCode.NOT_FOUND, "no backend 'b' in service 'web'")

    mail = pb.GetServiceRequest(name="mail")
    assert refusal(lambda: api.stub.GetService(mail)) == no_mail
    change = pb.ChangeServiceRequest(name="mail", ring_size=0)
    assert refusal(lambda: api.stub.ChangeService(change)) == no_mail
    remove = pb.RemoveServiceRequest(name="mail")
    assert refusal(lambda: api.stub.RemoveService(remove)) == no_mail
    add = pb.AddBackendRequest(service="mail", backend=pb.Backend(address="10.0.0.2"))
    assert refusal(lambda: api.stub.AddBackend(add)) == no_mail
    weigh = pb.SetBackendRequest(service="web", backend="b", weight=1)
    assert refusal(lambda: api.stub.SetBackend(weigh)) == no_backend
    drop = pb.RemoveBackendRequest(service="web", backend="b")
    assert refusal(lambda: api.stub.RemoveBackend(drop)) == no_backend


def test_a_name_that_is_taken_is_refused(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    again = pb.AddBackendRequest(service="web", backend=pb.Backend(address="10.0.0.1"))

    taken = grpc.StatusCode.ALREADY_EXISTS
    assert refusal(lambda: api.stub.AddService(ADD_WEB)) == (
        taken,
        "service 'web' exists already",
    )
    assert refusal(lambda: api.stub.AddBackend(again)) == (
        taken,
        "backend '10.0.0.1' exists already in 'web'",
    )


def test_a_disk_that_is_full_is_a_failed_precondition(api: Api, tmp_path: Path) -> None:
    api.stub.AddService(ADD_WEB)
    weigh = pb.SetBackendRequest(service="web", backend="10.0.0.1", weight=7)

    with full_disk(tmp_path):
        code, details = refusal(lambda: api.stub.SetBackend(weigh))

    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "desired.db: the change was not stored: disk I/O error" in details
    assert api.state.service("web").backend("10.0.0.1").weight == 1


def test_a_bug_is_unknown_and_its_traceback_is_logged(api: Api) -> None:
    api.node.broken = True

    with capture_logs() as logged:
        answer = refusal(lambda: api.stub.GetStatistics(pb.GetStatisticsRequest()))

    assert answer == (
        grpc.StatusCode.UNKNOWN,
        "guidewayd has a bug (ZeroDivisionError): its log has the traceback",
    )
    (bug,) = [entry for entry in logged if entry["event"] == "bug in the API"]
    assert bug["exc_info"]


def test_a_long_sentence_still_arrives(api: Api) -> None:
    code, details = refusal(lambda: api.stub.AddService(web(name="x" * 100_000)))

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details == "service name: '" + "x" * 985


def test_a_request_that_is_too_large_is_refused(api: Api) -> None:
    code, _ = refusal(lambda: api.stub.AddService(web(name="x" * MAX_REQUEST_BYTES)))

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
