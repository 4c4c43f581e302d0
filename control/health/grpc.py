"""A probe by gRPC's health service: the backend says that it is serving."""

import re
from typing import Any, Final

import grpc
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from control.addresses import with_port
from control.checks import GrpcCheck
from control.health.peer import Peer
from control.health.relay import relayed
from control.health.result import PASSED, Result, no_answer, one_line
from control.health.tls import read_ca

_OPTIONS: Final = (
    # Each probe connects itself, and does not wait where an earlier one failed.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 4096),
)

# What gRPC says before it comes to the point; with it, that would be cut off.
_PREAMBLE: Final = re.compile(
    r"failed to connect to all addresses; last error: (?:[A-Z_]+: )?(ipv[46]:\S+: )?"
    r"(?:.*OPENSSL_internal:)?"
)


async def probe(peer: Peer, check: GrpcCheck) -> Result:
    """Ask for the health of a service. Raises OSError, NoResultError."""
    if not peer.is_plain:  # gRPC does not let its sockets be chosen
        async with relayed(peer) as target:
            return await _ask(target, peer, check)
    address = with_port(peer.address, peer.port)
    return await _ask(f"ipv{peer.address.version}:{address}", peer, check)


async def _ask(target: str, peer: Peer, check: GrpcCheck) -> Result:
    async with _channel(target, peer, check) as channel:
        request = HealthCheckRequest(service=check.service)
        try:
            answer = await HealthStub(channel).Check(request, timeout=check.timeout)
        except aio.AioRpcError as error:
            return _failed(error, peer.port, check)
    if answer.status == HealthCheckResponse.SERVING:
        return PASSED
    names = HealthCheckResponse.ServingStatus
    known = answer.status in names.values()
    return Result(f"it says {names.Name(answer.status) if known else answer.status}")


def _channel(target: str, peer: Peer, check: GrpcCheck) -> aio.Channel:
    """Return a channel by whatever target; names are the backend's all the same."""
    host = check.sni or with_port(peer.address, peer.port)
    options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.default_authority", host)]
    if not check.tls:
        return aio.insecure_channel(target, options)
    owner = check.sni or str(peer.address)
    credentials = grpc.ssl_channel_credentials(read_ca(check.ca))
    options.append(("grpc.ssl_target_name_override", owner))
    return aio.secure_channel(target, credentials, options)


def _failed(error: aio.AioRpcError, port: int, check: GrpcCheck) -> Result:
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return no_answer(port, check.timeout)
    if code is grpc.StatusCode.NOT_FOUND:
        return Result(one_line(f"it does not know the service {check.service!r}"))
    said = _PREAMBLE.sub(r"\1", error.details() or "")
    return Result(one_line(f"{code.name}: {said}"))
