"""How an error reaches a client: once, for every method."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, TypeAlias, TypeVar

import grpc
import structlog

from control.errors import (
    ConfigError,
    ConfirmationError,
    ConflictError,
    GuidewayError,
    HostError,
    NotFoundError,
    StaleError,
)

_log: Final = structlog.get_logger()
_CODES: Final = {
    ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    ConflictError: grpc.StatusCode.ALREADY_EXISTS,
    StaleError: grpc.StatusCode.ABORTED,
    ConfirmationError: grpc.StatusCode.FAILED_PRECONDITION,
    # Not UNAVAILABLE, which tells a client to try the same again.
    HostError: grpc.StatusCode.FAILED_PRECONDITION,
}
# The sentence travels in a header: gRPC refuses more than 8 KiB of those.
_MAX_DETAILS: Final = 1000  # characters

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Answer = TypeVar("Answer")
Method: TypeAlias = Callable[[Servicer, Request, Context], Awaitable[Answer]]


def reports_errors(
    method: Method[Servicer, Request, Answer],
) -> Method[Servicer, Request, Answer]:
    """Let a servicer's method answer with the status of the GuidewayError that it raises.

    Any other exception is a bug: the client learns its class, the log its traceback.
    """

    @wraps(method)
    async def reporting(servicer: Servicer, request: Request, context: Context) -> Answer:
        try:
            return await method(servicer, request, context)
        except GuidewayError as error:
            await context.abort(_CODES[type(error)], str(error)[:_MAX_DETAILS])
        # gRPC would catch it as well, but not write it into our log.
        except Exception as error:  # noqa: BLE001
            _log.exception("bug in the API", method=method.__name__)
            name = type(error).__name__
            await context.abort(
                grpc.StatusCode.UNKNOWN,
                f"guidewayd has a bug ({name}): its log has the traceback",
            )

    return reporting
