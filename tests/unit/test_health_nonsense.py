"""Whatever a server says, a probe comes to a result: nothing of it is a bug of ours."""

import time
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control.checks import (
    AnyCheck,
    DnsCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
from control.health.result import Result
from tests.support.servers import Line, answered, probed

STREAMS = [
    TcpCheck(),
    TlsCheck(verify=False),
    HttpCheck(regex="a"),
    HttpsCheck(verify=False),
    GrpcCheck(),
    SmtpCheck(),
]
DATAGRAMS = [UdpCheck(reply="a"), DnsCheck()]
# What begins well goes further.
BEGINNINGS = [
    b"",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nSet-Cookie: ",
    b"220 mx\r\n250",
    b"220-",
    b"\x16\x03\x03\x00\x7a\x02\x00\x00",
    b"\0\0\0\4\0\0\0\0\0\0",
]
nonsense = st.tuples(st.sampled_from(BEGINNINGS), st.binary(max_size=200)).map(b"".join)
many = settings(max_examples=150, deadline=None, suppress_health_check=[*HealthCheck])


@many
@given(st.sampled_from(STREAMS), nonsense)
def test_nonsense_in_a_stream_has_a_result(check, data) -> None:
    async def serve(line: Line) -> None:
        await line.send(data)

    assert isinstance(probed(check, serve).result, Result)


@many
@given(st.sampled_from(DATAGRAMS), st.binary(max_size=200), st.booleans())
def test_nonsense_in_a_datagram_has_a_result(check, data, named) -> None:
    def answer(asked: bytes) -> list[bytes]:
        return [asked[:2] + data if named else data] * 20

    assert isinstance(answered(check, answer), Result)


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"220-", b"a"])
@pytest.mark.parametrize("check", STREAMS, ids=lambda check: check.kind)
def test_a_gigabyte_costs_little_time_and_memory(check: AnyCheck, begin: bytes) -> None:
    async def serve(line: Line) -> None:
        await line.send(begin)
        await line.pour((begin or b"\0\xff\n") * 4096)

    hurried = replace(check, timeout=0.3)
    probed(hurried, serve)  # what is imported and made once is not what is measured
    tracemalloc.start()
    started = time.monotonic()
    result = probed(hurried, serve).result
    taken = time.monotonic() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(result, Result)
    assert taken < 3, taken
    assert peak < 16 << 20, peak  # of the server in this process, too
