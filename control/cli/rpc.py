"""One call of the API over gRPC. Slow to import: see client.py."""

import os
from collections.abc import Callable
from contextlib import suppress
from pwd import getpwuid
from typing import Final, TypeAlias, TypeVar

import grpc

from control.api.claims import CLIENT_KEY, COMMAND_LINE, USER_KEY
from control.api.v1.configuration_pb2_grpc import ConfigurationStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub

MAX_ANSWER_BYTES: Final = 256 << 20  # a listing of a million backends

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Method: TypeAlias = Callable[
    [LoadBalancerStub], "grpc.UnaryUnaryMultiCallable[Request, Answer]"
]
ConfigurationMethod: TypeAlias = Callable[
    [ConfigurationStub], "grpc.UnaryUnaryMultiCallable[Request, Answer]"
]


class CallError(Exception):
    """A call failed; the message is one sentence."""


def call(
    address: str, method: "Method[Request, Answer]", request: Request, timeout: float
) -> Answer:
    """Call ``method`` at ``address`` and wait up to ``timeout`` s; raise CallError."""
    return _call(
        address, lambda channel: method(LoadBalancerStub(channel)), request, timeout
    )


def configure(
    address: str,
    method: "ConfigurationMethod[Request, Answer]",
    request: Request,
    timeout: float,
) -> Answer:
    """Do as :func:`call` with a method of the service Configuration."""
    return _call(
        address, lambda channel: method(ConfigurationStub(channel)), request, timeout
    )


def _call(
    address: str,
    pick: "Callable[[grpc.Channel], grpc.UnaryUnaryMultiCallable[Request, Answer]]",
    request: Request,
    timeout: float,
) -> Answer:
    options = [("grpc.max_receive_message_length", MAX_ANSWER_BYTES)]
    with grpc.insecure_channel(address, options) as channel:
        try:
            return pick(channel)(request, timeout=timeout, metadata=_claims())
        except grpc.RpcError as error:
            raise CallError(_sentence(error, timeout)) from error


def _claims() -> tuple[tuple[str, str], ...]:
    """Return what is to be said of who calls: sudo's user, or else the process's."""
    user = os.environ.get("SUDO_USER")
    if user is None:
        with suppress(KeyError):  # a uid without a name
            user = getpwuid(os.getuid()).pw_name
    client = CLIENT_KEY, COMMAND_LINE
    if user and user.isascii() and user.isprintable():
        return client, (USER_KEY, user)
    return (client,)


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
