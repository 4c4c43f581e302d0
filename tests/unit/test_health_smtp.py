"""Probes by SMTP."""

from collections.abc import Sequence

import pytest

from control.checks import SmtpCheck
from control.health.result import PASSED, Result
from tests.support.servers import Line, Serve, probed

CHECK = SmtpCheck(timeout=5)
WELL = ("220-mx.example ESMTP\r\n220 two lines", "250 hello", "221 bye")


def dialogue(*answers: str) -> tuple[Serve, list[str]]:
    """Return a server that gives these answers in turn, and what it hears."""
    heard: list[str] = []

    async def serve(line: Line) -> None:
        for number, answer in enumerate(answers):
            if number:
                heard.append((await line.reader.readline()).decode().strip())
            await line.send(f"{answer}\r\n".encode())
        await line.silence()

    return serve, heard


def test_a_mail_server_is_greeted_and_left() -> None:
    serve, heard = dialogue(*WELL)

    assert probed(SmtpCheck(helo="lb.example", timeout=5), serve).result == PASSED
    assert heard == ["HELO lb.example", "QUIT"]


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (("554 no service here",), "it says 554 no service here"),
        (("421 too\x1b busy",), "it says 421 too? busy"),
        (("220 mx", "550 who are you"), "it says 550 who are you"),
        (("220 mx", "250 hello", "500 what"), "it says 500 what"),
    ],
)
def test_another_code_than_the_right_one_fails(answers: Sequence[str], problem) -> None:
    serve, _ = dialogue(*answers)

    assert probed(CHECK, serve).result == Result(problem)


@pytest.mark.parametrize("answers", [(), WELL[:1], WELL[:2]])
def test_silence_fails_in_time_wherever_it_begins(answers: Sequence[str]) -> None:
    serve, _ = dialogue(*answers)

    late = Result("no answer from port N within 0.3 s")
    assert probed(SmtpCheck(timeout=0.3), serve).result == late


@pytest.mark.parametrize(
    "data", [b"220-mx.example\r\n", b"2", b"\0", b"220 mx\r\n250 hello\r\n221 bye\r\n"]
)
def test_who_drips_fails_in_time_or_has_said_enough(data) -> None:
    result = probed(SmtpCheck(timeout=0.3), lambda line: line.drip(data)).result

    assert result.problem


@pytest.mark.parametrize(
    "data", [b"220-mx\r\n", b"2", bytes(range(256)), b"\r\n", b"xyz\r\n"]
)
def test_who_pours_is_not_read_to_the_end(data) -> None:
    served = probed(SmtpCheck(timeout=1), lambda line: line.pour(data * 1000))

    assert served.result.problem
    assert served.result.problem.isprintable()
    assert served.sent < 64 << 20


def test_nobody_and_somebody_who_hangs_up_fail() -> None:
    async def hang_up(_: Line) -> None:
        pass

    assert probed(CHECK, hang_up).result.problem
