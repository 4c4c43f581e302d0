"""Calls of the API over gRPC. Slow to import: see client.py."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from pwd import getpwuid
from typing import Final, TypeAlias, TypeVar

import grpc
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from control.api.claims import CLIENT_KEY, COMMAND_LINE, USER_KEY
from control.api.numbers import MAX_REQUEST_BYTES
from control.api.v1 import events_pb2
from control.api.v1.configuration_pb2_grpc import ConfigurationStub
from control.api.v1.events_pb2_grpc import EventsStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.cli.place import Place

MAX_ANSWER_BYTES: Final = 256 << 20  # a listing of a million backends
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # While we watch, for the daemon may be on a host that dies; it allows one in 10 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_TOO_LARGE: Final = "message larger than max"  # likewise
_UNCONNECTED: Final = "failed to connect"  # as gRPC says it; TCP alone has been tried

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


class GoneError(CallError):
    """Nobody answered the call: guidewayd ends, or ended while it was asked."""


def call(
    place: Place, method: "Method[Request, Answer]", request: Request, timeout: float
) -> Answer:
    """Call ``method`` at ``place`` and wait up to ``timeout`` s; raise CallError."""
    return _call(place, lambda it: method(LoadBalancerStub(it)), request, timeout)


def configure(
    place: Place,
    method: "ConfigurationMethod[Request, Answer]",
    request: Request,
    timeout: float,
) -> Answer:
    """Do as :func:`call` with a method of the service Configuration."""
    return _call(place, lambda it: method(ConfigurationStub(it)), request, timeout)


def _call(
    place: Place,
    pick: "Callable[[grpc.Channel], grpc.UnaryUnaryMultiCallable[Request, Answer]]",
    request: Request,
    timeout: float,
) -> Answer:
    with _channel(place) as channel:
        try:
            return pick(channel)(request, timeout=timeout, metadata=_claims())
        except grpc.RpcError as error:
            failed = GoneError if _is_gone(error) else CallError
            raise failed(_sentence(error, place, timeout)) from error


def _is_gone(error: grpc.RpcError) -> bool:
    codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    return isinstance(error, grpc.Call) and error.code() in codes


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


def watch(
    place: Place, request: events_pb2.WatchRequest
) -> Iterator[events_pb2.WatchResponse]:
    """Give what happens at ``place`` until guidewayd ends; raise CallError."""
    with _channel(place) as channel:
        try:
            yield from EventsStub(channel).Watch(request)
        except grpc.RpcError as error:
            raise CallError(_sentence(error, place)) from error


def _channel(place: Place) -> grpc.Channel:
    if place.files is None:
        return grpc.insecure_channel(place.target, _OPTIONS)
    ca, certificate, key = (_read(path) for path in place.files)
    try:
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    except ValueError as error:
        raise CallError(f"these certificates cannot be used: {error}") from error
    return grpc.secure_channel(place.target, credentials, _OPTIONS)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CallError(f"{path} cannot be read: {error.strerror}") from error


def _sentence(error: grpc.RpcError, place: Place, timeout: float = 0) -> str:
    # Every RpcError of a call is a Call, too; gRPC's types do not say so.
    if not isinstance(error, grpc.Call):
        return str(error)
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED if not rpc_status.from_call(error):
            return (
                f"guidewayd did not answer within {timeout:g} s (--timeout); what was "
                "asked of it may happen yet"
            )
        case grpc.StatusCode.UNAVAILABLE if place.files and _UNCONNECTED in str(error):
            return (
                f"no TLS with {place.target.rpartition('/')[2]}: is --ca the CA of its "
                "certificate, is that for this host, does --key belong to --cert, and does "
                f"its `api.client_ca` know yours? ({error.details()})"
            )
        case grpc.StatusCode.UNAVAILABLE:
            return f"guidewayd went away: {error.details()}"
        case grpc.StatusCode.UNIMPLEMENTED:
            return "this guidewayd does not know the command: it is of another release"
        case code:
            said = error.details() or code.name
            if _TOO_LARGE in said:
                limit = f"{MAX_REQUEST_BYTES >> 20} MiB"
                said = f"that is more than a request may have, which is {limit}"
            return said + _where(error)


def _where(error: grpc.Call) -> str:
    """Return which field of the request is meant, if the sentence does not say that."""
    told = rpc_status.from_call(error)
    found = BadRequest()
    for detail in told.details if told else ():
        if detail.Unpack(found):
            fields = [violation.field for violation in found.field_violations]
            unsaid = [f for f in fields if f and not (error.details() or "").startswith(f)]
            return f" (field {', '.join(unsaid)})" if unsaid else ""
    return ""
