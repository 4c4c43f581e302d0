"""The API's socket: who may open it, and what may be in its way."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from control.api.address import DEFAULT_SOCKET, target
from control.api.server import check_socket, serving
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.config import ApiConfig
from control.errors import ConfigError, HostError
from control.store import Store
from tests.support.running_api import Node


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "desired.db")) as store:
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "guidewayd.sock"


def serve(path: Path, store: Store, check: Callable[[], None] = lambda: None) -> None:
    """Serve until ``check`` has returned."""

    async def main() -> None:
        node = Node(store)
        async with serving(path, store, node, node):
            await asyncio.to_thread(check)

    asyncio.run(main())


def answers(path: Path) -> bool:
    with grpc.insecure_channel(target(path)) as channel:
        answer = LoadBalancerStub(channel).GetStatus(pb.GetStatusRequest(), timeout=5)
    return answer.node.release == "0.1.0"


def test_only_its_owner_may_open_the_socket(path: Path, store: Store) -> None:
    before = os.umask(0o022)
    os.umask(before)

    def check() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert answers(path)

    serve(path, store, check)

    after = os.umask(before)
    assert after == before


def test_the_socket_never_had_another_mode(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It fails before the first connection: what bind made is all there is.
    monkeypatch.setattr("grpc.aio._server.Server.start", lambda _: check())

    async def check() -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240
        raise InterruptedError

    with pytest.raises(InterruptedError):
        serve(path, store)


def test_the_socket_is_gone_afterwards(path: Path, store: Store) -> None:
    serve(path, store)

    assert list(path.parent.iterdir()) == []


def test_the_socket_of_a_dead_daemon_is_replaced(path: Path, store: Store) -> None:
    path.parent.mkdir()
    for left in (path, path.with_name(path.name + ".grpc")):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(left))
            dead.listen()

    def check() -> None:
        assert answers(path)

    serve(path, store, check)


def test_the_socket_of_a_live_daemon_is_left_alone(path: Path, store: Store) -> None:
    def check() -> None:
        with pytest.raises(HostError, match="in use by another guidewayd: stop"):
            serve(path, store)
        assert answers(path)

    serve(path, store, check)


def test_a_live_daemon_that_is_very_busy_is_left_alone(path: Path, store: Store) -> None:
    path.parent.mkdir()
    with (
        socket.socket(socket.AF_UNIX) as busy,
        socket.socket(socket.AF_UNIX) as client,
    ):
        busy.bind(str(path))
        busy.listen(0)
        client.connect(str(path))

        with pytest.raises(HostError, match="is in use by another guidewayd"):
            serve(path, store)


def test_what_is_no_socket_is_left_alone(path: Path, store: Store) -> None:
    path.parent.mkdir()
    path.write_text("precious")

    with pytest.raises(HostError, match="exists and is not a socket: move it away"):
        serve(path, store)

    assert path.read_text() == "precious"


def test_a_path_of_102_bytes_is_served(path: Path, store: Store) -> None:
    longest = path.with_name("s" * (102 - len(str(path.parent)) - 1))

    def check() -> None:
        assert answers(longest)

    serve(longest, store, check)


def test_a_longer_path_is_refused(path: Path, store: Store) -> None:
    longer = path.with_name("s" * (103 - len(str(path.parent)) - 1))

    with pytest.raises(ConfigError) as raised:
        serve(longer, store)

    assert str(raised.value) == (
        f"socket: {longer} has 103 bytes, and the path of the API's socket can have 102: "
        "choose a shorter one"
    )


def test_a_path_may_have_characters_that_mean_something_in_a_uri(
    path: Path, store: Store
) -> None:
    strange = path.with_name("a b%20#?.sock")

    def check() -> None:
        assert strange.is_socket()
        assert answers(strange)

    serve(strange, store, check)


def test_a_socket_is_checked_without_touching_anything(path: Path) -> None:
    check_socket(path)

    assert not path.parent.exists()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HostError, match="file/run/sock: Not a directory"):
        serve(tmp_path / "file" / "run" / "sock", store)


def test_daemon_and_command_line_meet_at_the_same_default() -> None:
    assert Path(ApiConfig().socket) == DEFAULT_SOCKET
