"""How an error reaches a client: once, for every method."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
import structlog
from google.rpc import status_pb2

from control.api.details import refusal, status, trailer
from control.errors import GuidewayError

_log: Final = structlog.get_logger()
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Answer = TypeVar("Answer")
Method: TypeAlias = Callable[[Servicer, Request, Context], Awaitable[Answer]]
Stream: TypeAlias = Callable[[Servicer, Request, Context], AsyncGenerator[Answer]]


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
            await refuse(context, refusal(error))
        # gRPC would catch it as well, but not write it into our log.
        except Exception as error:  # noqa: BLE001
            await _confess(context, method.__name__, error)

    return reporting


def reports_stream_errors(
    method: Stream[Servicer, Request, Answer],
) -> Stream[Servicer, Request, Answer]:
    """Do as :func:`reports_errors` for a method that answers with a stream."""

    @wraps(method)
    async def reporting(
        servicer: Servicer, request: Request, context: Context
    ) -> AsyncGenerator[Answer]:
        try:
            async with aclosing(method(servicer, request, context)) as answers:
                async for answer in answers:
                    yield answer
        except GuidewayError as error:
            await refuse(context, refusal(error))
        except Exception as error:  # noqa: BLE001 - as above
            await _confess(context, method.__name__, error)

    return reporting


async def refuse(context: Context, told: status_pb2.Status) -> NoReturn:
    """End the call with a status and its details."""
    await context.abort(_CODES[told.code], told.message, trailer(told))


async def _confess(context: Context, method: str, error: Exception) -> NoReturn:
    _log.exception("bug in the API", method=method)
    sentence = f"guidewayd has a bug ({type(error).__name__}): its log has the traceback"
    await refuse(context, status(grpc.StatusCode.UNKNOWN, sentence, "BUG"))
