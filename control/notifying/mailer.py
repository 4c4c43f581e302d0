"""Mails to those who want to know, few of them, by a server that may be out of order."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Final

import aiosmtplib
import structlog
from aiosmtplib.errors import SMTPException

from control.health.result import one_line
from control.notifying.changes import Change
from control.notifying.digest import Digest, Text, worth
from control.notifying.pacing import MAX_TRIES, Pace
from control.notifying.settings import Encryption, Mail

_log: Final = structlog.get_logger()
_TIMEOUT: Final = 20.0  # seconds that a mail may take as a whole
_MAX_PASSWORD: Final = 4096  # bytes
_FAR: Final = 3600.0  # seconds; a timer that is woken before

Send = Callable[[Mail, Text, str], Awaitable[None]]


class Mailer:
    """Sums changes up, and mails what came of them now and then."""

    def __init__(self, node: str, send: Send | None = None) -> None:
        """``node`` is the name of this host; ``send`` raises OSError or ValueError."""
        self._node = node
        self._send = send or send_mail
        self._mail: Mail | None = None
        self._pace = Pace(0, 0)
        self._digest = Digest()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._problem = ""
        self._lost = 0  # changes that could not be mailed at all

    def adopt(self, mail: Mail | None) -> None:
        """Write by this server from now on; None: not at all."""
        if mail == self._mail:
            return
        self._mail, self._problem, self._lost = mail, "", 0
        self._pace = Pace(mail.gather, mail.interval) if mail else Pace(0, 0)
        if mail is None:
            self._digest = Digest()
        elif self._digest:
            self._pace.wait(time.monotonic())
        self._wake.set()

    def tell(self, change: Change) -> None:
        """Have a change in the next mail, if it is worth one."""
        if self._mail and worth(change, self._mail.severity):
            self._digest.add(change)
            self._pace.wait(time.monotonic())
            self._wake.set()

    @property
    def problems(self) -> list[str]:
        """What is to be said of mails, a sentence each."""
        said = []
        if self._problem and self._mail:
            count = self._digest.changes
            waiting = "1 change waits" if count == 1 else f"{count} changes wait"
            said.append(f"no mail by {self._mail.server}: {self._problem}; {waiting}")
        if self._lost:
            said.append(
                f"{self._lost} changes were not mailed: {MAX_TRIES} tries failed each"
            )
        return said

    def serve(self, tasks: asyncio.TaskGroup) -> None:
        """Send mails when they are due, in ``tasks``, from now on."""
        self._task = tasks.create_task(self._run(), name="mails")

    async def finish(self, within: float) -> list[Change]:
        """Mail what waits, if that is done within so many seconds, and no more.

        Returns the first changes of what was not mailed.
        """
        self._over = True
        self._wake.set()
        if self._task:
            await asyncio.wait([self._task], timeout=within)
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._mail and self._digest:
            await self._send_now(within)
            if self._digest:
                _log.warning("changes not mailed", changes=self._digest.changes)
        return [course.first for course in self._digest.courses.values()]

    async def _run(self) -> None:
        # Until told, and not just until cancelled: what we wait for may swallow that, as
        # asyncio.wait_for of Python 3.11 does where its end comes at the same time.
        while not self._over:
            pause = self._pace.due() - time.monotonic()
            if pause <= 0:
                await self._send_now(_TIMEOUT)
                continue
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, _FAR)):
                    await self._wake.wait()

    async def _send_now(self, within: float) -> None:
        mail, sending = self._mail, self._digest
        if mail is None:
            return
        self._digest = Digest()
        zone = datetime.now().astimezone().tzinfo
        assert zone  # noqa: S101 - astimezone gives one
        problem = ""
        try:
            async with asyncio.timeout(within):
                await self._send(mail, sending.text(self._node, zone), self._node)
        except TimeoutError:
            problem = f"it took longer than {within:g} s"
        except (OSError, SMTPException, ValueError) as error:
            problem = one_line(str(error)) or type(error).__name__
        except asyncio.CancelledError:
            self._digest = sending.followed_by(self._digest)
            raise
        self._note(mail, sending, problem)

    def _note(self, mail: Mail, sent: Digest, problem: str) -> None:
        now, came = time.monotonic(), bool(self._digest)
        if not problem:
            if self._problem:
                _log.info("mails are sent again", server=mail.server)
            self._problem = ""
            self._pace.sent(now, more=came)
            _log.info("mail sent", server=mail.server, changes=sent.changes)
            return
        if problem != self._problem:
            _log.warning("mail not sent", server=mail.server, problem=problem)
        self._problem = problem
        if self._pace.failed(now):
            self._digest = sent.followed_by(self._digest)
            return
        self._lost += sent.changes
        _log.error("changes not mailed", changes=sent.changes, tries=MAX_TRIES)
        self._pace.give_up(now, more=came)


async def send_mail(mail: Mail, text: Text, node: str) -> None:
    """Send one mail. Raises OSError, SMTPException, or ValueError."""
    password = await asyncio.to_thread(_password, mail)
    context = None
    if mail.encryption is not Encryption.NONE:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=mail.ca)
    refused, _ = await aiosmtplib.send(
        _message(mail, text, node),
        hostname=mail.server,
        port=mail.port,
        local_hostname=node,  # else the resolver is asked, while everybody waits
        sender=mail.sender,
        recipients=list(mail.recipients),
        username=mail.user or None,
        password=password or None,
        use_tls=mail.encryption is Encryption.TLS,
        start_tls=mail.encryption is Encryption.STARTTLS,
        tls_context=context,
        timeout=_TIMEOUT,
    )
    if refused:  # but not all of them
        who, why = next(iter(refused.items()))
        _log.warning("mail refused", recipient=who, problem=one_line(str(why)))


def _password(mail: Mail) -> str:
    if mail.password is None:
        return ""
    with mail.password.open("rb") as file:
        return file.read(_MAX_PASSWORD).decode().rstrip("\r\n")


def _message(mail: Mail, text: Text, node: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = text.subject
    message["From"] = Address(f"guideway on {node}", addr_spec=mail.sender)
    message["To"] = ", ".join(mail.recipients)
    message["Date"] = format_datetime(datetime.now().astimezone())
    message["Message-ID"] = make_msgid(domain="guideway.invalid")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers it by machine
    message.set_content(text.body)
    return message
