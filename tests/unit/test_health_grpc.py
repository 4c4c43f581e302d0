"""Probes by gRPC's health service."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from grpc import aio
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from control.checks import GrpcCheck
from control.health.kinds import probe
from control.health.result import PASSED, NoResultError, Result
from tests.support.servers import LOOPBACK, Line, probed

CHECK = GrpcCheck(timeout=5)
HTTP2 = b"\0\0\0\4\0\0\0\0\0"  # an empty SETTINGS frame


def asked(
    check: GrpcCheck,
    servicer: HealthServicer,
    credentials: grpc.ServerCredentials | None = None,
) -> Result:
    """Probe a server once; its port is N."""

    async def scenario() -> Result:
        server = aio.server()
        add_HealthServicer_to_server(servicer, server)
        place = f"{LOOPBACK}:0"
        if credentials:
            port = server.add_secure_port(place, credentials)
        else:
            port = server.add_insecure_port(place)
        await server.start()
        try:
            result = await probe(LOOPBACK, port, check)
        finally:
            await server.stop(None)
        return Result(result.problem.replace(str(port), "N"))

    return asyncio.run(scenario())


class Says(HealthServicer):
    """A servicer that has one answer."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def Check(self, request, context) -> HealthCheckResponse:  # noqa: N802
        return HealthCheckResponse(status=self.status)


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (HealthCheckResponse.SERVING, ""),
        (HealthCheckResponse.NOT_SERVING, "it says NOT_SERVING"),
        (HealthCheckResponse.SERVICE_UNKNOWN, "it says SERVICE_UNKNOWN"),
        (99, "it says 99"),
    ],
)
def test_who_is_serving_is_well(status, problem) -> None:
    assert asked(CHECK, Says(status)) == Result(problem)


def test_a_service_may_be_asked_for_by_name() -> None:
    serving = health.aio.HealthServicer()

    async def known() -> None:
        await serving.set("a.b.Service", HealthCheckResponse.SERVING)

    asyncio.run(known())

    assert asked(GrpcCheck(service="a.b.Service", timeout=5), serving) == PASSED
    unknown = Result("it does not know the service 'c.Service'")
    assert asked(GrpcCheck(service="c.Service", timeout=5), serving) == unknown


def test_who_does_not_answer_in_time_fails() -> None:
    class Slow(HealthServicer):
        async def Check(self, request, context) -> HealthCheckResponse:  # noqa: N802
            await asyncio.sleep(60)

    late = Result("no answer from port N within 0.3 s")
    assert asked(GrpcCheck(timeout=0.3), Slow()) == late
    assert probed(GrpcCheck(timeout=0.3), Line.silence).result == late


def test_who_has_no_health_service_or_does_not_listen_fails() -> None:
    async def nobody() -> Result:
        return await probe(LOOPBACK, 1, CHECK)

    assert asked(CHECK, HealthServicer()).problem.startswith("UNIMPLEMENTED: ")
    assert asyncio.run(nobody()).problem.startswith("UNAVAILABLE: ipv4:127.0.0.1:")


def test_an_answer_that_is_too_large_is_not_read() -> None:
    class Talks(HealthServicer):
        async def Check(self, request, context) -> HealthCheckResponse:  # noqa: N802
            made = HealthCheckResponse()
            made.MergeFromString(b"\x12\x80\x80\x40" + bytes(1 << 20))  # an unknown field
            return made

    assert asked(CHECK, Talks()).problem.startswith("RESOURCE_EXHAUSTED: ")


@pytest.mark.parametrize(
    "data", [bytes(range(256)) * 64, b"HTTP/1.1 200 OK\r\n\r\n", HTTP2 + b"\xff" * 999, b""]
)
def test_what_is_not_grpc_fails_with_a_reason_in_one_line(data) -> None:
    async def serve(line: Line) -> None:
        await line.send(data)
        await line.silence()

    problem = probed(GrpcCheck(timeout=2), serve).result.problem

    assert problem
    assert problem.isprintable()


def test_who_pours_or_drips_fails_in_time() -> None:
    late = Result("no answer from port N within 0.5 s")

    assert probed(GrpcCheck(timeout=0.5), lambda line: line.drip(HTTP2)).result == late
    poured = probed(GrpcCheck(timeout=0.5), lambda line: line.pour(HTTP2 * 7000))
    assert poured.result.problem


def test_over_tls_the_certificate_has_to_be_right(tmp_path: Path) -> None:
    ca, file = trustme.CA(), str(tmp_path / "ca.pem")
    ca.cert_pem.write_to_path(file)
    made = ca.issue_cert("www.example")
    pair = (made.private_key_pem.bytes(), made.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([pair])
    serving = Says(HealthCheckResponse.SERVING)

    def over_tls(**settings: str) -> Result:
        return asked(GrpcCheck(tls=True, timeout=5, **settings), serving, credentials)

    assert over_tls(ca=file, sni="www.example") == PASSED
    for wrong in (over_tls(ca=file), over_tls(sni="www.example")):
        assert wrong.problem.startswith("UNAVAILABLE: ")
    with pytest.raises(NoResultError, match=f"{file}x: No such file"):
        over_tls(ca=f"{file}x")


def test_a_certificate_that_has_expired_is_said_to_be_wrong(tmp_path: Path) -> None:
    ca, file = trustme.CA(), str(tmp_path / "ca.pem")
    ca.cert_pem.write_to_path(file)
    made = ca.issue_cert("www.example", not_after=datetime.now(UTC) - timedelta(days=1))
    pair = (made.private_key_pem.bytes(), made.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([pair])
    check = GrpcCheck(tls=True, timeout=5, ca=file, sni="www.example")

    problem = asked(check, Says(HealthCheckResponse.SERVING), credentials).problem

    reason = "CERTIFICATE_VERIFY_FAILED: certificate has expired"
    assert problem.startswith(f"UNAVAILABLE: ipv4:127.0.0.1:N: {reason}")
