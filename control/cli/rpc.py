"""One call of the API over gRPC. Slow to import: see client.py."""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import grpc

from control.api.v1.guideway_pb2_grpc import LoadBalancerStub

MAX_ANSWER_BYTES: Final = 256 << 20  # a listing of a million backends

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Method: TypeAlias = Callable[
    [LoadBalancerStub], "grpc.UnaryUnaryMultiCallable[Request, Answer]"
]


class CallError(Exception):
    """A call failed; the message is one sentence."""


def call(
    address: str, method: "Method[Request, Answer]", request: Request, timeout: float
) -> Answer:
    """Call ``method`` at ``address`` and wait up to ``timeout`` s; raise CallError."""
    options = [("grpc.max_receive_message_length", MAX_ANSWER_BYTES)]
    with grpc.insecure_channel(address, options) as channel:
        try:
            return method(LoadBalancerStub(channel))(request, timeout=timeout)
        except grpc.RpcError as error:
            raise CallError(_sentence(error, timeout)) from error


def _sentence(error: grpc.RpcError, timeout: float) -> str:
    # Every RpcError of a call is a Call, too; gRPC's types do not say so.
    if not isinstance(error, grpc.Call):
        return str(error)
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"guidewayd did not answer within {timeout:g} s"
        case grpc.StatusCode.UNAVAILABLE:
            return f"guidewayd went away: {error.details()}"
        case grpc.StatusCode.UNIMPLEMENTED:
            return "this guidewayd does not know the command: it is of another release"
        case code:
            return error.details() or code.name
