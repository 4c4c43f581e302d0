"""What clients do wrong, on purpose or not: the daemon stays alive and in its bounds."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from control.access import Access
from control.api import entrance, numbers
from control.api.address import target
from control.api.roles import RULES
from control.api.v1 import configuration_pb2, events_pb2
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.events_pb2_grpc import EventsStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.events import MAX_FOLLOWERS, MAX_QUEUED, BackendChanged
from control.status import Health
from dataplane.source import Limits
from tests.support.certificates import Authority
from tests.support.running_api import Node, running_api
from tests.support.wait import eventually

GUIDEWAYD = Path(__file__).parents[2] / "docs" / "guidewayd.md"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, Node]]:
    with running_api(tmp_path) as running:
        yield running


@contextmanager
def connection(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(20)
        connected.connect(str(path))
        yield connected


def answers(path: Path) -> bool:
    with grpc.insecure_channel(target(path)) as channel:
        try:
            answer = LoadBalancerStub(channel).GetStatus(pb.GetStatusRequest(), timeout=10)
        except grpc.RpcError:
            return False
    return answer.node.release == "0.1.0"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def ends(connected: socket.socket) -> bool:
    """Tell whether the other end closes, whatever it says before."""
    try:
        while connected.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return True


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let handshakes take half a second at most."""
    options = dict(numbers.OPTIONS) | {"grpc.server_handshake_timeout_ms": 500}
    monkeypatch.setattr("control.api.server.OPTIONS", tuple(options.items()))


@pytest.mark.usefixtures("short_patience")
def test_a_client_that_connects_and_says_nothing_is_sent_away(tmp_path: Path) -> None:
    with running_api(tmp_path) as (path, _), connection(path) as silent:
        assert ends(silent)
        assert answers(path)


@pytest.mark.usefixtures("short_patience")
def test_over_tcp_too(tmp_path: Path) -> None:
    tcp = Authority(tmp_path / "tls").serve()

    with (
        capture_logs(),
        running_api(tmp_path, Access(tcp=tcp)) as (path, node),
        socket.create_connection(("127.0.0.1", node.tcp_port), 20) as silent,
    ):
        assert ends(silent)
        assert answers(path)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\0" * 1000,
        PREFACE + b"\xff" * 99,
    ],
    ids=["HTTP/1.1", "TLS", "zeros", "HTTP/2, then nonsense"],
)
def test_a_client_that_speaks_something_else_is_sent_away(
    running: tuple[Path, Node], said: bytes
) -> None:
    path, _ = running
    with connection(path) as confused:
        confused.sendall(said)

        assert ends(confused)
    assert answers(path)


def test_a_client_that_goes_away_leaves_nothing_behind(running: tuple[Path, Node]) -> None:
    path, _ = running
    assert answers(path)
    before = descriptors()

    for said in (b"", PREFACE[:5], PREFACE + EMPTY_SETTINGS):
        for _ in range(20):
            with connection(path) as hasty:
                hasty.sendall(said)

    eventually(lambda: descriptors() <= before, within=10, what="they are closed")
    assert answers(path)


def test_a_client_that_goes_away_while_it_watches_leaves_nothing_behind(
    running: tuple[Path, Node],
) -> None:
    path, node = running
    followers = node.hub._followers  # noqa: SLF001 (what is left behind)

    with grpc.insecure_channel(target(path)) as channel:
        stream = EventsStub(channel).Watch(events_pb2.WatchRequest())
        next(stream)
        assert len(followers) == 1

    eventually(lambda: not followers, within=10, what="nobody follows")
    assert answers(path)


def test_a_message_of_a_hundred_megabytes_is_refused(running: tuple[Path, Node]) -> None:
    path, node = running
    with grpc.insecure_channel(target(path)) as channel:
        service = pb.Service(name="x" * 100_000_000)
        with pytest.raises(grpc.RpcError) as raised:
            LoadBalancerStub(channel).AddService(pb.AddServiceRequest(service=service))

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert node.store.version == 0
    assert answers(path)


def test_headers_that_are_too_long_are_refused(running: tuple[Path, Node]) -> None:
    path, _ = running
    with grpc.insecure_channel(target(path)) as channel:
        long = [("x-long", "x" * 2 * numbers.MAX_HEADER_BYTES)]
        with pytest.raises(grpc.RpcError) as raised:
            LoadBalancerStub(channel).GetStatus(pb.GetStatusRequest(), metadata=long)

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answers(path)


def test_a_message_that_is_none_is_refused(running: tuple[Path, Node]) -> None:
    path, node = running
    with grpc.insecure_channel(target(path)) as channel:
        call = channel.unary_unary("/guideway.v1.LoadBalancer/AddService")
        with pytest.raises(grpc.RpcError):
            call(b"\xff" * 100)

    assert node.store.version == 0
    assert answers(path)


def test_connections_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "MAX_CONNECTIONS", 5)

    with running_api(tmp_path) as (path, _):
        with ExitStack() as silent:
            for _ in range(5):
                silent.enter_context(connection(path))
            with connection(path) as sixth:
                assert ends(sixth)
        eventually(lambda: answers(path), within=10, what="there is room again")


def test_connections_over_tcp_do_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(numbers.OPTIONS) | {"grpc.max_allowed_incoming_connections": 2}
    monkeypatch.setattr("control.api.server.OPTIONS", tuple(options.items()))
    tcp = Authority(tmp_path / "tls").serve()

    with (
        capture_logs(),
        running_api(tmp_path, Access(tcp=tcp)) as (_, node),
        ExitStack() as silent,
    ):
        where = ("127.0.0.1", node.tcp_port)
        for _ in range(2):
            silent.enter_context(socket.create_connection(where, 20))
        with socket.create_connection(where, 5) as third:
            assert ends(third)


def test_those_of_one_user_do_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "MAX_OF_A_USER", 2)
    monkeypatch.setattr(entrance, "is_ours", lambda _: False)

    with running_api(tmp_path) as (path, _), ExitStack() as silent:
        for _ in range(2):
            silent.enter_context(connection(path))
        with connection(path) as third:
            assert ends(third)


def test_as_many_may_watch_as_there_are_places_for(running: tuple[Path, Node]) -> None:
    path, _ = running
    with grpc.insecure_channel(target(path)) as channel:
        stub = EventsStub(channel)
        streams = [stub.Watch(events_pb2.WatchRequest()) for _ in range(MAX_FOLLOWERS)]
        for stream in streams:
            next(stream)
        one_more = stub.Watch(events_pb2.WatchRequest())
        with pytest.raises(grpc.RpcError) as raised:
            next(one_more)
        assert LoadBalancerStub(channel).GetStatus(pb.GetStatusRequest()).node.release

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.details() == "32 clients watch already: end one of them"


def test_a_client_that_reads_nothing_misses_events_and_starts_anew(
    running: tuple[Path, Node],
) -> None:
    path, node = running
    with grpc.insecure_channel(target(path)) as channel:
        stream = EventsStub(channel).Watch(events_pb2.WatchRequest())
        assert next(stream).HasField("begin")
        (follower,) = node.hub._followers  # noqa: SLF001 (what is bounded)
        number = 0

        def overflown() -> bool:
            nonlocal number
            number += 500
            node.publish(*[BackendChanged("web", "a", Health.DOWN, "x" * 4000)] * 500)
            return follower._missed > 0  # noqa: SLF001

        eventually(overflown, within=30, what="the daemon has stopped to queue")
        assert len(follower._queue) <= MAX_QUEUED  # noqa: SLF001
        told = 0
        for message in stream:
            if message.HasField("begin"):
                break
            told += message.HasField("backend")

    assert message.begin.missed + told <= number
    assert message.begin.missed > MAX_QUEUED
    assert message.number == message.begin.missed + told


def test_what_the_documentation_says_of_the_bounds_is_so() -> None:
    section = GUIDEWAYD.read_text().partition("## The API\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| (.+?) \| ([\d ]+).*\|$", section, re.MULTILINE))
    rules = RULES["guideway.v1.LoadBalancer"]

    assert {what: int(number.replace(" ", "")) for what, number in rows.items()} == {
        "a request": numbers.MAX_REQUEST_BYTES >> 20,
        "headers of a request": numbers.MAX_HEADER_BYTES >> 10,
        "calls at a time": numbers.MAX_CALLS,
        "of them, clients that watch": MAX_FOLLOWERS,
        "events that wait for a client": MAX_QUEUED,
        "calls at a time on a connection": numbers.MAX_STREAMS,
        "connections to the socket": entrance.MAX_CONNECTIONS,
        "of them, of one user": entrance.MAX_OF_A_USER,
        "connections over TCP": numbers.MAX_TCP_CONNECTIONS,
        "a handshake": numbers.HANDSHAKE_SECONDS,
        "a connection without a call": numbers.IDLE_SECONDS,
        "a silent connection is asked whether it lives": numbers.PING_SECONDS,
        "and has to say so": numbers.PING_ANSWER_SECONDS,
        "a client may ask the same": numbers.CLIENT_PING_SECONDS,
        "a call": rules["GetStatus"].seconds,
        "a reload or detach": rules["ReloadDataPlane"].seconds,
        "an explanation": rules["Explain"].seconds,
    }


def test_what_a_node_can_hold_fits_into_a_request() -> None:
    """1,024 services of 16 backends, the maps' default limits, with the longest names."""
    long = "x" * 57
    state = configuration_pb2.DesiredState(
        services=[
            configuration_pb2.DesiredService(
                service=pb.Service(
                    name=f"{long}{number:06}",
                    vip=f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:ffff",
                    protocol=pb.PROTOCOL_TCP,
                    port=65535,
                    mode=pb.MODE_NAT,
                    checks=[pb.HealthCheck(http=pb.HttpCheck())],
                ),
                backends=[
                    pb.Backend(
                        name=f"{long}{each:06}",
                        address=f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:{each:x}",
                        port=65535,
                        weight=65535,
                        state=pb.BACKEND_STATE_ACTIVE,
                        zone=f"{long}{each:06}",
                    )
                    for each in range(16)
                ],
            )
            for number in range(Limits().services)
        ]
    )

    size = configuration_pb2.ApplyRequest(state=state).ByteSize()

    assert 2 * size < numbers.MAX_REQUEST_BYTES
