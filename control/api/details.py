"""What a refusal says to programs, beside its sentence: the standard details of google.rpc.

Each has an ErrorInfo with a reason that stays the same from release to release. A value
that is wrong is named by BadRequest, a thing by ResourceInfo, and what has to be mended on
the host by PreconditionFailure.
"""

from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details_pb
from google.rpc import status_pb2
from grpc import StatusCode

from control.errors import (
    BusyError,
    ConfigError,
    ConfirmationError,
    ConflictError,
    ForbiddenError,
    GuidewayError,
    HostError,
    NotFoundError,
    StaleError,
)

DOMAIN: Final = "guideway"
DETAILS_KEY: Final = "grpc-status-details-bin"  # of the trailing metadata
# Status and details travel in headers: gRPC refuses more than 8 KiB of those.
_MAX_SENTENCE: Final = 1000  # characters
_MAX_HEADER: Final = 2500  # bytes, as a header that names others than ASCII by three each
_MAX_FIELD: Final = 200  # characters

CODES: Final = {
    ConfigError: StatusCode.INVALID_ARGUMENT,
    NotFoundError: StatusCode.NOT_FOUND,
    ConflictError: StatusCode.ALREADY_EXISTS,
    StaleError: StatusCode.ABORTED,
    ConfirmationError: StatusCode.FAILED_PRECONDITION,
    ForbiddenError: StatusCode.PERMISSION_DENIED,
    BusyError: StatusCode.RESOURCE_EXHAUSTED,
    # Not UNAVAILABLE, which tells a client to try the same again.
    HostError: StatusCode.FAILED_PRECONDITION,
}
_REASONS: Final = {
    ConfigError: "INVALID_VALUE",
    NotFoundError: "NOT_FOUND",
    ConflictError: "CONFLICT",
    StaleError: "STALE",
    ConfirmationError: "CONFIRMATION",
    ForbiddenError: "ROLE_MISSING",
    BusyError: "BUSY",
    HostError: "HOST_NOT_READY",
}


def refusal(error: GuidewayError) -> status_pb2.Status:
    """Return the status by which ``error`` is told; its message is one sentence."""
    kind = type(error)
    return status(CODES[kind], str(error), _REASONS[kind], *_of(error))


def status(
    code: StatusCode, sentence: str, reason: str, *details: Message
) -> status_pb2.Status:
    """Return a status with an ErrorInfo for ``reason``, then ``details``."""
    number: int = code.value[0]
    info = details_pb.ErrorInfo(reason=reason, domain=DOMAIN)
    return status_pb2.Status(
        code=number,
        message=short(sentence),
        details=[_packed(one) for one in (info, *details)],
    )


def trailer(told: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """Return the trailing metadata in which the standard has the details."""
    return ((DETAILS_KEY, told.SerializeToString()),)


def short(sentence: str) -> str:
    """Return as much of ``sentence`` as goes into a header."""
    room = _MAX_HEADER
    for number, character in enumerate(sentence):
        room -= 1 if " " <= character <= "~" else 3 * len(character.encode())
        if room < 0 or number == _MAX_SENTENCE:
            return sentence[:number]
    return sentence


def _of(error: GuidewayError) -> tuple[Message, ...]:
    match error:
        case ConfigError(problem=problem, field=field):
            violation = details_pb.BadRequest.FieldViolation(
                field=field[:_MAX_FIELD], description=short(problem)
            )
            return (details_pb.BadRequest(field_violations=[violation]),)
        case NotFoundError(kind=kind, name=name, within=within):
            full = f"{within}/{name}" if within else name
            found = details_pb.ResourceInfo(
                resource_type=kind, resource_name=full[:_MAX_FIELD]
            )
            return (found,)
        case HostError(problem=problem):
            violated = details_pb.PreconditionFailure.Violation(
                type="HOST", subject="guidewayd", description=short(problem)
            )
            return (details_pb.PreconditionFailure(violations=[violated]),)
        case _:
            return ()


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
