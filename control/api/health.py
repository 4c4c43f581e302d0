"""The standard health service, grpc.health.v1: whether the node balances.

The answer is looked up when it is asked for, never pushed: nobody who is slow to hear it
can be in the way of others.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as pb_grpc

from control.api.status_codes import Context, reports_errors, reports_stream_errors
from control.errors import NotFoundError
from control.status import Observer

# The server as a whole, and the service that people ask for.
NAMES: Final = ("", "guideway.v1.LoadBalancer")
_INTERVAL: Final = 0.25  # seconds between two looks, for those who watch


class Health(pb_grpc.HealthServicer):  # type: ignore[misc] # it has no types
    """SERVING while packets are balanced by what is wanted."""

    def __init__(self, observer: Observer, ending: asyncio.Event) -> None:
        """Ask ``observer``; end watching when ``ending`` is set."""
        self._observer = observer
        self._ending = ending

    @reports_errors
    async def Check(  # noqa: N802
        self, request: pb.HealthCheckRequest, context: Context
    ) -> pb.HealthCheckResponse:
        """Answer for one of :data:`NAMES`."""
        if request.service not in NAMES:
            raise NotFoundError("service", request.service)
        return self._answer()

    @reports_errors
    async def List(  # noqa: N802
        self, request: pb.HealthListRequest, context: Context
    ) -> pb.HealthListResponse:
        """Answer for all of them."""
        return pb.HealthListResponse(statuses=dict.fromkeys(NAMES, self._answer()))

    @reports_stream_errors
    async def Watch(  # noqa: N802
        self, request: pb.HealthCheckRequest, context: Context
    ) -> AsyncGenerator[pb.HealthCheckResponse]:
        """Answer, and again whenever it is another answer."""
        told = None
        while not self._ending.is_set():
            known = request.service in NAMES
            answer = self._answer() if known else _UNKNOWN
            if answer != told:
                yield answer
            told = answer
            try:
                async with asyncio.timeout(_INTERVAL):
                    await self._ending.wait()
            except TimeoutError:
                continue

    def _answer(self) -> pb.HealthCheckResponse:
        return _NOT_SERVING if self._observer.trouble() else _SERVING


_SERVING: Final = pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVING)
_NOT_SERVING: Final = pb.HealthCheckResponse(status=pb.HealthCheckResponse.NOT_SERVING)
_UNKNOWN: Final = pb.HealthCheckResponse(status=pb.HealthCheckResponse.SERVICE_UNKNOWN)
