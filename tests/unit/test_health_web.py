"""Probes by HTTP, against servers that are well and servers that are anything but."""

import gzip
import hashlib

import pytest

from control.checks import HttpCheck
from control.health.result import PASSED, Result
from control.health.web import MAX_BODY
from tests.support.servers import Line, Serve, probed

CHECK = HttpCheck(timeout=5)
IMPATIENT = HttpCheck(timeout=0.3)
LATE = Result("no answer from port N within 0.3 s")


def answer(body: bytes = b"well\n", status: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def says(data: bytes) -> Serve:
    """Serve whoever asks by sending him ``data``."""

    async def serve(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        await line.send(data)

    return serve


def asked(check: HttpCheck) -> list[str]:
    """Return the lines of the request that a check makes."""
    requests: list[bytes] = []

    async def serve(line: Line) -> None:
        requests.append(await line.reader.readuntil(b"\r\n\r\n"))
        await line.send(answer())

    assert probed(check, serve).result == PASSED
    return requests[0].decode().split("\r\n")


def test_the_request_says_what_the_check_says() -> None:
    check = HttpCheck(
        path="/a//b/../c?d=%41&e=f",
        method="OPTIONS",
        host="www.example:8080",
        headers=(("X-A", "b c"), ("User-Agent", "ours")),
    )

    first, *headers = asked(check)

    assert first == "OPTIONS /a//b/../c?d=%41&e=f HTTP/1.1"
    assert "Host: www.example:8080" in headers
    assert "X-A: b c" in headers
    assert [header for header in headers if "User-Agent" in header] == ["User-Agent: ours"]


def test_without_a_host_the_address_is_asked_for() -> None:
    first, *headers = asked(CHECK)

    assert first == "GET / HTTP/1.1"
    assert [header[:16] for header in headers if "Host" in header] == ["Host: 127.0.0.1:"]


@pytest.mark.parametrize(
    ("status", "expected", "result"),
    [
        ("200 OK", "200-299", PASSED),
        ("204 No Content", "200-299", PASSED),
        ("301 Moved", "200-299", Result("status 301 Moved")),
        ("301 Moved", "200,301-302", PASSED),
        ("404 Not Found", "404", PASSED),
        ("503 Service Unavailable", "200-299", Result("status 503 Service Unavailable")),
        ("200 OK", "404", Result("status 200 OK")),
    ],
)
def test_the_status_has_to_be_one_that_is_expected(status, expected, result) -> None:
    body = b"" if status.startswith("204") else b"x"

    check = HttpCheck(status=expected)

    assert probed(check, says(answer(body, status))).result == result


WELL = answer(b"state: w\xc3\xa9ll\n")


@pytest.mark.parametrize(
    ("regex", "found"),
    [("w.ll", True), ("^state: wéll$", False), ("(?m)^state: wéll$", True), ("ill", False)],
)
def test_the_body_has_to_hold_what_the_expression_looks_for(regex, found) -> None:
    result = probed(HttpCheck(regex=regex), says(WELL)).result

    wanted = "" if found else "its answer does not hold what `regex` looks for"
    assert result == Result(wanted)


def test_an_expression_that_is_bad_for_others_takes_no_time_here() -> None:
    check = HttpCheck(regex="(a+)+$", timeout=5)

    result = probed(check, says(answer(b"a" * 100_000 + b"b"))).result

    assert result == Result("its answer does not hold what `regex` looks for")


@pytest.mark.parametrize("kind", [hashlib.md5, hashlib.sha256])
def test_the_body_has_to_have_the_digest(kind) -> None:
    right, wrong = (kind(body).hexdigest() for body in (b"well\n", b"ill\n"))

    assert probed(HttpCheck(digest=right), says(answer())).result == PASSED
    found = probed(HttpCheck(digest=wrong), says(answer())).result
    assert found == Result(f"its answer has the digest {right}")


def test_a_server_that_accepts_and_says_nothing_fails_in_time() -> None:
    assert probed(IMPATIENT, Line.silence).result == LATE


@pytest.mark.parametrize("check", [IMPATIENT, HttpCheck(timeout=0.3, regex="x")])
def test_a_server_that_drips_fails_in_time(check) -> None:
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 100

    assert probed(check, lambda line: line.drip(endless)).result == LATE


def test_a_body_that_drips_fails_in_time_if_somebody_wants_to_read_it() -> None:
    async def serve(line: Line) -> None:
        await line.send(answer(status="200 OK")[:-5].replace(b": 5", b": 99999"))
        await line.drip(b"ab")

    assert probed(HttpCheck(timeout=0.3, regex="c"), serve).result == LATE
    assert probed(CHECK, serve).result == PASSED  # the status is all that counts


@pytest.mark.parametrize(
    ("check", "result"),
    [
        (CHECK, PASSED),
        (
            HttpCheck(timeout=5, regex="y"),
            Result("its answer does not hold what `regex` looks for"),
        ),
        (HttpCheck(timeout=5, regex="^x"), PASSED),
        (
            HttpCheck(timeout=5, digest="0" * 32),
            Result("its answer is larger than 1048576 bytes: too large for a digest"),
        ),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_of_a_gigabyte_a_mebibyte_is_read(check, result, chunked) -> None:
    async def serve(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        if chunked:
            await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await line.pour(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        else:
            await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
            await line.pour(b"x" * 65536)

    served = probed(check, serve)

    assert served.result == result
    assert served.sent < 16 * MAX_BODY  # most of it in the kernel's buffers


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", id="one line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, id="many lines"),
        pytest.param(b"", id="no line end"),
    ],
)
def test_headers_without_end_are_not_read_to_the_end(data) -> None:
    async def serve(line: Line) -> None:
        await line.send(data)
        await line.pour((b"X: y\r\n" if b"y" in data else b"z") * 10_000)

    served = probed(HttpCheck(timeout=2), serve)

    assert served.result.problem
    assert served.sent < 64 * MAX_BODY


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bytes(range(256)) * 64, id="binary"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", id="no status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", id="length"),
        pytest.param(b"HTTP/9.9 200 OK\r\n\r\n", id="version"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_not_http_fails_with_a_reason_in_one_line(data) -> None:
    (served) = probed(CHECK, says(data))

    assert served.result.problem.startswith(("no answer in HTTP: ", "port N: "))
    assert served.result.problem.isprintable()
    assert len(served.result.problem) <= 200


def test_a_reason_that_is_binary_is_shown_without_what_would_hurt_a_terminal() -> None:
    data = answer(b"", "503 \x1b[2J\x07 " + "long " * 100)

    problem = probed(CHECK, says(data)).result.problem

    assert problem
    assert problem.isprintable()
    assert len(problem) <= 200


def test_a_redirect_loop_is_one_answer() -> None:
    served = probed(CHECK, says(answer(b"", "302 Found", "Location: /")))

    assert served.result == Result("status 302 Found")
    assert len(served.lines) == 1


def test_a_body_that_would_unpack_to_a_gigabyte_is_not_unpacked() -> None:
    packed = gzip.compress(bytes(1 << 20))
    data = answer(packed, "200 OK", "Content-Encoding: gzip")

    digest = hashlib.sha256(packed).hexdigest()

    assert probed(HttpCheck(digest=digest), says(data)).result == PASSED


def test_an_answer_that_is_cut_short_fails_where_the_body_counts() -> None:
    cut = answer(b"x" * 100)[:-50]

    result = probed(HttpCheck(timeout=5, regex="y"), says(cut)).result

    assert result.problem.startswith("no answer in HTTP: ")
