"""Where probes come from: the source address and the interface that a check names."""

import asyncio
import socket
from dataclasses import replace

import pytest
import trustme
from grpc import aio, ssl_server_credentials
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthServicer, add_HealthServicer_to_server

from control.checks import (
    AnyCheck,
    DnsCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    IcmpCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
from control.health.kinds import probe
from control.health.result import PASSED, NoResultError, Result
from tests.support.servers import LOOPBACK, answered

OTHER = "127.0.0.9"  # of this host, but not what a socket to 127.0.0.1 comes from
KINDS: list[AnyCheck] = [
    TcpCheck(),
    TlsCheck(),
    HttpCheck(),
    HttpsCheck(),
    UdpCheck(),
    DnsCheck(),
    GrpcCheck(),
    SmtpCheck(),
    IcmpCheck(),
]


def caller(check: AnyCheck) -> str:
    """Return the address that a server of TCP, which says nothing, sees a probe from."""
    with socket.create_server((str(LOOPBACK), 0)) as server:
        port = server.getsockname()[1]
        asyncio.run(probe(LOOPBACK, port, replace(check, timeout=0.2)))
        connection, (address, _) = server.accept()
        connection.close()
        return address


@pytest.mark.parametrize("kind", [TcpCheck, TlsCheck, HttpCheck, HttpsCheck, SmtpCheck])
def test_a_probe_comes_from_the_source_of_its_check(kind) -> None:
    assert caller(kind()) == str(LOOPBACK)
    assert caller(kind(source=OTHER)) == OTHER


def test_datagrams_from_another_source_are_answered() -> None:
    check = UdpCheck(payload="ping", reply="pong", source=OTHER, interface="lo")

    assert answered(check, lambda _: [b"pong"]) == PASSED


@pytest.mark.parametrize("check", KINDS, ids=lambda check: check.kind)
@pytest.mark.parametrize(
    ("missing", "problem"),
    [
        ({"source": "192.0.2.77"}, "source 192.0.2.77: this host has no such address"),
        ({"interface": "gone0"}, "interface gone0: there is none of that name here"),
    ],
)
def test_what_this_host_does_not_have_says_nothing_of_the_backend(
    check, missing, problem
) -> None:
    with pytest.raises(NoResultError) as raised:
        asyncio.run(probe(LOOPBACK, 9, replace(check, timeout=5, **missing)))

    assert str(raised.value) == problem


class Caller(HealthServicer):
    """Serves, and keeps in mind whom."""

    def __init__(self) -> None:
        self.peers: list[str] = []

    async def Check(self, request, context) -> HealthCheckResponse:  # noqa: N802
        self.peers.append(context.peer())
        return HealthCheckResponse(status=HealthCheckResponse.SERVING)


@pytest.mark.parametrize("tls", [False, True])
def test_grpc_speaks_from_the_source_of_its_check(tls, tmp_path) -> None:
    ca, caller = trustme.CA(), Caller()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    pair = ca.issue_cert("127.0.0.1")
    chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
    secrets = ssl_server_credentials([(pair.private_key_pem.bytes(), chain)])

    async def scenario() -> Result:
        server = aio.server()
        add_HealthServicer_to_server(caller, server)
        place = f"{LOOPBACK}:0"
        if tls:
            port = server.add_secure_port(place, secrets)
        else:
            port = server.add_insecure_port(place)
        await server.start()
        trust = {"tls": True, "ca": str(tmp_path / "ca.pem")} if tls else {}
        try:
            check = GrpcCheck(source=OTHER, interface="lo", timeout=5, **trust)
            return await probe(LOOPBACK, port, check)
        finally:
            await server.stop(None)

    assert asyncio.run(scenario()) == PASSED
    assert [peer.rpartition(":")[0] for peer in caller.peers] == [f"ipv4:{OTHER}"]


def test_grpc_from_a_source_is_refused_like_any_other() -> None:
    refused = asyncio.run(probe(LOOPBACK, 1, GrpcCheck(source=OTHER, timeout=5)))

    assert refused == Result("port 1: Connection refused")
