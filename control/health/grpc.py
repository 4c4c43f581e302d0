"""A probe by gRPC's health service: the backend says that it is serving."""

from typing import Final

import grpc
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from control.addresses import IpAddress, with_port
from control.checks import GrpcCheck
from control.health.result import PASSED, Result, no_answer, one_line
from control.health.tls import read_ca

_OPTIONS: Final = (
    # Each probe connects itself, and does not wait where an earlier one failed.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 4096),
)


async def probe(address: IpAddress, port: int, check: GrpcCheck) -> Result:
    """Ask for the health of a service. Raises NoResultError."""
    target = f"ipv{address.version}:{with_port(address, port)}"
    async with _channel(target, check) as channel:
        request = HealthCheckRequest(service=check.service)
        try:
            answer = await HealthStub(channel).Check(request, timeout=check.timeout)
        except aio.AioRpcError as error:
            return _failed(error, port, check)
    if answer.status == HealthCheckResponse.SERVING:
        return PASSED
    names = HealthCheckResponse.ServingStatus
    known = answer.status in names.values()
    return Result(f"it says {names.Name(answer.status) if known else answer.status}")


def _channel(target: str, check: GrpcCheck) -> aio.Channel:
    if not check.tls:
        return aio.insecure_channel(target, _OPTIONS)
    name = (("grpc.ssl_target_name_override", check.sni),) if check.sni else ()
    credentials = grpc.ssl_channel_credentials(read_ca(check.ca))
    return aio.secure_channel(target, credentials, (*_OPTIONS, *name))


def _failed(error: aio.AioRpcError, port: int, check: GrpcCheck) -> Result:
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return no_answer(port, check.timeout)
    if code is grpc.StatusCode.NOT_FOUND:
        return Result(one_line(f"it does not know the service {check.service!r}"))
    return Result(one_line(f"{code.name}: {error.details()}"))
