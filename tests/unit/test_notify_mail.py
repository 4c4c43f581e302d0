"""Mails to a real SMTP server, and to those that fail."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from control.notifying.changes import Change, Kind, Subject
from control.notifying.mailer import Mailer
from control.notifying.settings import Encryption, Mail, Severity
from tests.support.mail_server import Mailbox, mail_server

B1 = Subject(Kind.BACKEND, "web", "b1")
DOWN = Change(B1, "up", "down", "connection refused", 1_790_000_000.0)
UP = replace(DOWN, before="down", after="up", reason="")
MAIL = Mail(
    server="127.0.0.1",
    port=0,
    encryption=Encryption.NONE,
    sender="guideway@lb1.example",
    recipients=("ops@example.org", "noc@example.org"),
    gather=0.1,
    interval=0.1,
)


def run(work: Callable[[], Awaitable[None]]) -> None:
    with capture_logs():
        asyncio.run(asyncio.wait_for(work(), 20))


@asynccontextmanager
async def mailing(mail: Mail):
    """Run a mailer while the body runs."""
    mailer = Mailer("lb1")
    mailer.adopt(mail)
    async with asyncio.TaskGroup() as tasks:
        mailer.serve(tasks)
        yield mailer
        mailer.adopt(None)
        await mailer.finish(within=5)


async def arrived(box: Mailbox, count: int = 1) -> None:
    while len(box.mails) < count:
        box.came.clear()
        await box.came.wait()


async def problem(mailer: Mailer) -> str:
    await until(lambda: bool(mailer.problems))
    return mailer.problems[0]


async def until(so: Callable[[], bool]) -> None:
    """Wait until it is so; who waits has a deadline for everything."""
    while not so():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


def context(ca: trustme.CA, name: str) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(made)
    return made


def test_what_happens_in_a_while_is_one_mail_to_everybody() -> None:
    async def work() -> None:
        async with mail_server() as box, mailing(replace(MAIL, port=box.port)) as mailer:
            for change in (DOWN, UP, DOWN):
                mailer.tell(change)
            await arrived(box)
            assert mailer.problems == []
        (mail,) = box.mails
        assert mail["Subject"] == "[guideway lb1] web/b1 is down"
        assert mail["From"] == "guideway on lb1 <guideway@lb1.example>"
        assert mail["To"] == "ops@example.org, noc@example.org"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["Date"]
        assert mail["Message-ID"]
        assert box.recipients == [["ops@example.org", "noc@example.org"]]
        body = mail.get_content().replace("\r\n", "\n")
        assert body.startswith("lb1: 3 changes, ")
        assert body.splitlines()[2].startswith("web/b1: down ")
        assert body.splitlines()[2].endswith(", 3 changes")

    run(work)


def test_less_than_the_least_severity_is_not_mailed() -> None:
    async def work() -> None:
        severe = replace(MAIL, severity=Severity.CRITICAL)
        async with mail_server() as box, mailing(replace(severe, port=box.port)) as mailer:
            mailer.tell(DOWN)
            mailer.tell(replace(DOWN, subject=Subject(Kind.SERVICE, "web")))
            await arrived(box)
        assert [mail["Subject"] for mail in box.mails] == ["[guideway lb1] web is down"]

    run(work)


@pytest.mark.parametrize("kind", [Encryption.STARTTLS, Encryption.TLS])
def test_the_server_shows_a_certificate_and_gets_a_password(
    ca: trustme.CA, tmp_path: Path, kind: Encryption
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "password").write_text("s3cret\n")
    encrypted = replace(
        MAIL,
        encryption=kind,
        ca=tmp_path / "ca.pem",
        user="alice",
        password=tmp_path / "password",
    )

    async def work() -> None:
        how = {kind.value: context(ca, "127.0.0.1"), "login": True}
        async with (
            mail_server(**how) as box,
            mailing(replace(encrypted, port=box.port)) as mailer,
        ):
            mailer.tell(DOWN)
            await arrived(box)
        assert len(box.mails) == 1
        assert box.logins == [(b"alice", b"s3cret")]

    run(work)


def test_a_certificate_of_somebody_else_gets_no_mail(
    ca: trustme.CA, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    encrypted = replace(MAIL, encryption=Encryption.STARTTLS, ca=tmp_path / "ca.pem")

    async def work() -> None:
        for shown in (context(ca, "other.example"), context(trustme.CA(), "127.0.0.1")):
            async with (
                mail_server(starttls=shown) as box,
                mailing(replace(encrypted, port=box.port)) as mailer,
            ):
                mailer.tell(DOWN)
                assert "certificate verify failed" in await problem(mailer)
            assert box.mails == []

    run(work)


def test_without_encryption_a_server_that_offers_none_gets_no_mail() -> None:
    async def work() -> None:
        async with mail_server() as box:
            encrypted = replace(MAIL, encryption=Encryption.STARTTLS, port=box.port)
            async with mailing(encrypted) as mailer:
                mailer.tell(DOWN)
                assert "STARTTLS" in await problem(mailer)
        assert box.mails == []

    run(work)


def test_a_server_that_fails_is_a_problem_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("control.notifying.pacing._FIRST_PAUSE", 0.3)

    async def work() -> None:
        async with mail_server() as box, mailing(replace(MAIL, port=box.port)) as mailer:
            box.refusal = "451 not\x07 now"
            mailer.tell(DOWN)
            said = await problem(mailer)
            mailer.tell(UP)
            box.refusal = ""
            await arrived(box)
            await until(lambda: not mailer.problems)
        assert said.startswith("no mail by 127.0.0.1: ")
        assert said.endswith("; 1 change waits")
        assert "\x07" not in said
        assert "2 changes" in box.mails[0].get_content()
        assert len(box.mails) == 1

    run(work)


def test_a_server_that_never_works_is_given_up_and_what_was_lost_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("control.notifying.pacing._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("control.notifying.pacing._LONGEST_PAUSE", 0.001)

    async def work() -> None:
        async with mail_server() as box:
            pass  # its port is closed now
        async with mailing(replace(MAIL, port=box.port)) as mailer:
            mailer.tell(DOWN)
            mailer.tell(UP)
            lost = "2 changes were not mailed: 10 tries failed each"
            await until(lambda: lost in mailer.problems)

    run(work)


def test_what_waits_is_mailed_at_the_end_and_who_says_nothing_is_not_waited_for() -> None:
    async def work() -> None:
        async with mail_server() as box:
            mailer = Mailer("lb1")
            mailer.adopt(replace(MAIL, port=box.port, gather=3600))
            mailer.tell(DOWN)
            await mailer.finish(within=5)
        assert len(box.mails) == 1
        held: list[asyncio.StreamWriter] = []
        async with await asyncio.start_server(
            lambda _, writer: held.append(writer), "127.0.0.1", 0
        ) as silent:
            port = silent.sockets[0].getsockname()[1]
            mailer.adopt(replace(MAIL, port=port, gather=3600))
            mailer.tell(UP)
            await mailer.finish(within=0.2)
            for writer in held:
                writer.close()
                await writer.wait_closed()
        assert mailer.problems == [
            "no mail by 127.0.0.1: it took longer than 0.2 s; 1 change waits"
        ]

    run(work)


def test_a_password_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    async def work() -> None:
        async with mail_server() as box:
            mail = replace(MAIL, port=box.port, user="a", password=tmp_path / "none")
            async with mailing(mail) as mailer:
                mailer.tell(DOWN)
                assert "No such file" in await problem(mailer)

    run(work)
