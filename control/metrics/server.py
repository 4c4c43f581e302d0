"""``/metrics`` over HTTP: few clients, little patience, and none of it guidewayd's end.

Whoever connects has half a minute for all that it wants, said or unsaid, and is refused
while enough others are there.
"""

import asyncio
from typing import Final, Protocol

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from control.addresses import with_port
from control.config import MetricsEndpoint
from dataplane.errors import DataplaneError

_log: Final = structlog.get_logger()

_MOST_CLIENTS: Final = 16
_SILENCE: Final = 10.0  # seconds for a request
_PATIENCE: Final = 30.0  # seconds for a connection
_RETRY: Final = 5.0  # seconds after the address was not to be had
_MOST_HEADER: Final = 4096  # bytes of a line
_PLACE: Final = "/metrics"
_METHODS: Final = ("GET", "HEAD")


class Text(Protocol):
    """Whoever has something to expose."""

    async def text(self) -> bytes:
        """Return the exposition. Raises DataplaneError."""

    async def finish(self) -> None:
        """Wait for what is under way."""


class MetricsServer:
    """Serves while :meth:`run` runs; where it cannot, it says so and tries again."""

    def __init__(self, endpoint: MetricsEndpoint, exposition: Text) -> None:
        self._endpoint = endpoint
        self._exposition = exposition
        self.problem = ""  # why nobody can scrape; "" if one can

    async def run(self) -> None:
        """Serve until cancelled. Packets and probes do not wait for an address."""
        place = with_port(self._endpoint.address, self._endpoint.port)
        while True:
            server = web.Server(self._answer)
            try:
                listening = await asyncio.get_running_loop().create_server(
                    lambda: _connection(server),  # noqa: B023 - not called later than that
                    str(self._endpoint.address),
                    self._endpoint.port,
                )
            except OSError as error:
                self._failed(f"{place} cannot be listened at: {error.strerror or error}")
                await asyncio.sleep(_RETRY)
                continue
            self.problem = ""
            _log.info("metrics", address=place)
            try:
                async with listening:
                    await listening.serve_forever()
            finally:
                await server.shutdown(0)
                await self._exposition.finish()

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            _log.error("no metrics", problem=problem)
        self.problem = problem

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = await self._respond(request)
        response.force_close()
        return response

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        if request.method not in _METHODS:
            allowed = {"Allow": ", ".join(_METHODS)}
            return web.Response(status=405, text="only read here\n", headers=allowed)
        if request.path != _PLACE:
            return web.Response(status=404, text=f"metrics are at {_PLACE}\n")
        try:
            text = await self._exposition.text()
        except DataplaneError as error:
            return web.Response(status=503, text=f"{error}\n")
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _connection(server: web.Server) -> asyncio.Protocol:
    if len(server.connections) >= _MOST_CLIENTS:
        return _Refused()
    return _Connection(
        server,
        loop=asyncio.get_running_loop(),
        keepalive_timeout=_SILENCE,
        max_line_size=_MOST_HEADER,
        max_field_size=_MOST_HEADER,
    )


class _Connection(web.RequestHandler):
    """A client, for a limited time."""

    __slots__ = ("_end",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - as TCP has it
        self._end = asyncio.get_running_loop().call_later(_PATIENCE, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop it."""
        self._end.cancel()
        super().connection_lost(exc)


class _Refused(asyncio.Protocol):
    """One client too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say nothing."""
        transport.close()
