"""The socket at which guideway-vrrpd is asked: what it answers, and to whom it does not."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from vrrp.errors import HostError
from vrrp.inquiry import ask
from vrrp.operator import listen
from vrrp.requests import MAX_REQUEST, Answer, AnyRequest, Failover, Maintain, ShowStatus


@asynccontextmanager
async def desk(path: Path) -> AsyncIterator[list[AnyRequest]]:
    """Answer every request; what was asked is in the list."""
    asked: list[AnyRequest] = []

    async def handle(request: AnyRequest) -> Answer:
        asked.append(request)
        return Answer(moved=("front",))

    with capture_logs():
        async with listen(path, handle):
            yield asked


def run(work: Callable[[Path, list[AnyRequest]], Awaitable[None]], path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), desk(path) as asked:
            await work(path, asked)

    asyncio.run(main())


async def tell(path: Path, raw: bytes) -> Answer:
    """Send ``raw`` and the end of it; return the answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(raw)
    writer.write_eof()
    line = await reader.read()
    writer.close()
    return msgspec.json.decode(line, type=Answer)


@pytest.mark.parametrize(
    "request_",
    [ShowStatus(), Failover("front"), Maintain(on=True), Maintain(on=True, force=True)],
)
def test_what_is_asked_arrives_and_the_answer_comes_back(
    tmp_path: Path, request_: AnyRequest
) -> None:
    async def work(path: Path, asked: list[AnyRequest]) -> None:
        answer = await asyncio.to_thread(ask, path, request_, 5.0)
        assert answer == Answer(moved=("front",))
        assert asked == [request_]

    run(work, tmp_path / "vrrpd.sock")


def test_only_its_owner_may_ask(tmp_path: Path) -> None:
    async def work(path: Path, _: list[AnyRequest]) -> None:
        mode = await asyncio.to_thread(lambda: path.stat().st_mode)
        assert stat.S_IMODE(mode) == 0o600

    run(work, tmp_path / "vrrpd.sock")
    assert not (tmp_path / "vrrpd.sock").exists()


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "one line of at most 4096 bytes"),
        (b'{"do":"status"}', "one line of at most 4096 bytes"),  # no newline
        (b" " * (2 * MAX_REQUEST) + b"\n", "one line of at most 4096 bytes"),
        (b"status\n", "not a request: JSON is malformed"),
        (b'"\xff"\n', "not a request: "),
        (b'{"do":"reboot"}\n', "not a request: Invalid value 'reboot' - at `$.do`"),
        (b'{"do":"failover"}\n', "not a request: Object missing required field"),
        (b'{"do":"failover","instance":7}\n', "not a request: Expected `str`, got `int`"),
        (b'{"do":"status","now":1}\n', "not a request: Object contains unknown field"),
        (b"[" * 4000 + b"\n", "not a request: "),
    ],
)
def test_what_is_no_request_is_told_so_and_does_nothing(
    tmp_path: Path, raw: bytes, problem: str
) -> None:
    async def work(path: Path, asked: list[AnyRequest]) -> None:
        assert problem in (await tell(path, raw)).problem
        assert asked == []

    run(work, tmp_path / "vrrpd.sock")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=20))
def test_any_bytes_get_an_answer(tmp_path_factory: pytest.TempPathFactory, raws) -> None:
    async def work(path: Path, asked: list[AnyRequest]) -> None:
        for raw in raws:
            assert (await tell(path, raw + b"\n")).problem
        assert asked == []

    run(work, tmp_path_factory.mktemp("s") / "vrrpd.sock")


def test_clients_that_say_nothing_hold_up_nobody_until_there_are_too_many(
    tmp_path: Path,
) -> None:
    async def work(path: Path, asked: list[AnyRequest]) -> None:
        silent = [await asyncio.open_unix_connection(path) for _ in range(15)]
        assert (await tell(path, b'{"do":"status"}\n')).problem == ""
        silent.append(await asyncio.open_unix_connection(path))
        reader, writer = await asyncio.open_unix_connection(path)  # one too many
        assert await reader.read() == b""
        for _, each in (*silent, (reader, writer)):
            each.close()
        assert asked == [ShowStatus()]

    run(work, tmp_path / "vrrpd.sock")


def test_a_place_without_room_for_a_socket_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async def handle(_: AnyRequest) -> Answer:
            return Answer()

        async with listen(tmp_path / "missing" / "vrrpd.sock", handle):
            pass

    with pytest.raises(HostError, match=r"cannot listen at .*: No such file or directory"):
        asyncio.run(work())


def test_asking_nobody_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"does not listen at .*: is it running"):
        ask(tmp_path / "vrrpd.sock", ShowStatus(), 1.0)


def test_whoever_does_not_answer_is_not_waited_for_long(tmp_path: Path) -> None:
    path = tmp_path / "vrrpd.sock"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()

        with pytest.raises(HostError, match=r"did not answer within 0\.2 s"):
            ask(path, ShowStatus(), 0.2)


def test_whoever_answers_something_else_is_not_guideway_vrrpd(tmp_path: Path) -> None:
    path = tmp_path / "vrrpd.sock"

    async def work() -> None:
        async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 smtp ready\r\n")
            writer.close()

        async with await asyncio.start_unix_server(other, path):
            with pytest.raises(HostError, match="is not guideway-vrrpd"):
                await asyncio.to_thread(ask, path, ShowStatus(), 5.0)

    asyncio.run(work())
