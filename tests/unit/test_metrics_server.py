"""Metrics over HTTP, on loopback: who asks, who says nothing, who is one too many."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from control.config import MetricsEndpoint
from control.metrics import server as module
from control.metrics.server import MetricsServer
from dataplane.errors import KernelError

LOOPBACK = IPv4Address("127.0.0.1")
TEXT = b"guideway_build_info 1.0\n"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
ELSEWHERE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Written:
    """An exposition that somebody has written."""

    def __init__(self, text: bytes = TEXT) -> None:
        self.body = text
        self.asked = 0
        self.finished = False

    async def text(self) -> bytes:
        self.asked += 1
        return self.body

    async def finish(self) -> None:
        self.finished = True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((str(LOOPBACK), 0))
        return probe.getsockname()[1]


def serve(
    body: Callable[[int], Awaitable[None]], written: Written | None = None
) -> Written:
    """Run ``body`` with the port of a server."""
    exposition, port = written or Written(), free_port()

    async def run() -> None:
        endpoint = MetricsEndpoint(LOOPBACK, port, Path("/nowhere"))
        serving = asyncio.create_task(MetricsServer(endpoint, exposition).run())
        try:
            async with asyncio.timeout(20):
                await listening(port)
                await body(port)
        finally:
            serving.cancel()
            await asyncio.wait([serving])

    with capture_logs():
        asyncio.run(run())
    return exposition


async def listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(str(LOOPBACK), port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        return


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(str(LOOPBACK), port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


def test_metrics_are_served_and_the_connection_is_closed() -> None:
    async def body(port: int) -> None:
        head, _, rest = (
            await ask(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        ).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"Content-Type: text/plain; version=0.0.4; charset=utf-8" in head
        assert b"Connection: close" in head
        assert rest == TEXT

    written = serve(body)

    assert written.asked == 1
    assert written.finished


@pytest.mark.parametrize(
    ("request_line", "status", "said"),
    [
        (b"GET / HTTP/1.1", b"404", b"metrics are at /metrics\n"),
        (b"POST /metrics HTTP/1.1", b"405", b"only read here\n"),
        (b"\xff\xff\xff", b"400", b""),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1", b"400", b""),
    ],
    ids=["elsewhere", "post", "nonsense", "long"],
)
def test_anything_else_gets_a_status_and_no_metrics(
    request_line: bytes, status: bytes, said: bytes
) -> None:
    async def body(port: int) -> None:
        answer = await ask(port, request_line + b"\r\nHost: x\r\n\r\n")
        assert answer.startswith((b"HTTP/1.1 " + status, b"HTTP/1.0 " + status))
        assert said in answer

    assert serve(body).asked == 0


class Unreadable(Written):
    """Maps that the kernel does not let us read."""

    async def text(self) -> bytes:
        raise KernelError("bpf_map_lookup_batch", 12)


def test_if_the_kernel_refuses_it_is_said_and_tried_again_when_asked_again() -> None:
    async def body(port: int) -> None:
        for _ in range(2):
            said = await ask(port, REQUEST)
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"Cannot allocate memory" in said

    serve(body, Unreadable())


def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE", 0.1)

    async def body(port: int) -> None:
        assert await ask(port, b"") == b""

    serve(body)


def test_who_never_ends_its_request_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)

    async def body(port: int) -> None:
        reader, writer = await asyncio.open_connection(str(LOOPBACK), port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        assert await reader.read() == b""
        writer.close()

    serve(body)


def test_who_does_not_read_its_answer_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    monkeypatch.setattr(module, "_MOST_CLIENTS", 1)

    async def body(port: int) -> None:
        loop = asyncio.get_running_loop()
        await until_answered(port)
        with socket.socket() as lazy:
            lazy.settimeout(0)
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await loop.sock_connect(lazy, (str(LOOPBACK), port))
            await loop.sock_sendall(lazy, REQUEST)
            await until(lambda: written.asked == 1)
            await until_answered(port)  # there is room for one client
            assert await rest_of(lazy) < len(written.body)

    written = Written(b"#" * (32 << 20))
    serve(body, written)


async def rest_of(connection: socket.socket) -> int:
    """Return how many bytes there are still to be read."""
    loop, size = asyncio.get_running_loop(), 0
    with suppress(ConnectionResetError):
        while received := await loop.sock_recv(connection, 1 << 20):
            size += len(received)
    return size


async def until(condition: Callable[[], bool]) -> None:
    """Wait for ``condition``; the callers have a deadline for all that they do."""
    while not condition():  # noqa: ASYNC110 - what it asks has no event
        await asyncio.sleep(0.01)


def test_clients_beyond_the_limit_are_refused_until_others_go() -> None:
    async def body(port: int) -> None:
        silent = [
            await asyncio.open_connection(str(LOOPBACK), port)
            for _ in range(module._MOST_CLIENTS)  # noqa: SLF001
        ]
        assert await answer(port, REQUEST) == b""
        for _, writer in silent:
            writer.close()
        answers = [b""]
        while not answers[-1].endswith(TEXT):
            answers.append(await answer(port, REQUEST))

    serve(body)


async def until_answered(port: int) -> None:
    while not await answer(port, ELSEWHERE):
        pass


async def answer(port: int, request: bytes) -> bytes:
    try:
        return await ask(port, request)
    except ConnectionResetError:
        return b""


def test_an_address_in_use_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY", 0.05)
    with socket.create_server((str(LOOPBACK), 0)) as other:
        port = other.getsockname()[1]
        endpoint = MetricsEndpoint(LOOPBACK, port, Path("/nowhere"))

        async def run() -> None:
            server = MetricsServer(endpoint, Written())
            serving = asyncio.create_task(server.run())
            async with asyncio.timeout(20):
                await until(lambda: bool(server.problem))
                assert server.problem.startswith(
                    f"127.0.0.1:{port} cannot be listened at: "
                )
                other.close()
                await until(lambda: not server.problem)
                await listening(port)
            serving.cancel()
            await asyncio.wait([serving])

        with capture_logs() as logs:
            asyncio.run(run())

    assert [one["event"] for one in logs] == ["no metrics", "metrics"]
