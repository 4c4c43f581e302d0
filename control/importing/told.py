"""keepalived's notify programs and mails, as ``notify`` and ``email`` of guidewayd."""

import shlex
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from control.importing.body import Body
from control.importing.notes import Notes
from control.importing.statements import Statement
from control.notify_schema import EmailConfig, ProgramConfig
from control.notifying.settings import MAX_PROGRAMS

_OF_SERVICE: Final = {"quorum_up": "service-up", "quorum_down": "service-down"}
_OF_BACKEND: Final = {"notify_up": "backend-up", "notify_down": "backend-down"}
_NO_SERVER: Final = (
    "no mail is sent: global_defs has no smtp_server, notification_email and "
    "notification_email_from that make one; left out"
)
_ALL: Final = "mails tell of every service and instance, or of none; left out"
_UNUSED: Final = "mails have a time-out, and the host's name, by themselves; left out"
_AS_NOBODY: Final = "runs as nobody: name another `user` if it needs more"
SMTP: Final = {"smtp_connect_timeout": _UNUSED, "smtp_helo_name": _UNUSED}


@dataclass(frozen=True, slots=True)
class Script:
    """A program that a statement names, and when it runs."""

    statement: Statement
    event: str
    plain: dict[str, Any]  # of the file, but for whom it concerns


@dataclass(slots=True)
class Told:
    """Who is told of something, as far as it is known."""

    notes: Notes
    user: str | None = None  # that programs run as, unless they say so
    email: dict[str, Any] | None = None
    _programs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def plain(self) -> dict[str, Any]:
        """What the file has of it."""
        both = {"notify": self._programs, "email": self.email}
        return {key: value for key, value in both.items() if value}

    def mails(self, body: Body) -> None:
        """Take what global_defs says of mails."""
        to = [
            word
            for block in body.every("notification_email")
            for one in block.body or ()
            for word in (one.keyword, *one.arguments)
        ]
        sender, server = body.word("notification_email_from"), body.last("smtp_server")
        wanted = [body.flag("smtp_alert_checker"), body.flag("smtp_alert")]
        body.flag("smtp_alert_vrrp")
        body.flag("no_email_faults")
        said = next((one for one in wanted if one is not None), True)
        if not (to or server or sender) or not said:
            return
        if not (to and sender and server and server.arguments):
            self.notes.add(body.block.place, "smtp_server", _NO_SERVER)
            return
        host, port = (*server.arguments, "25")[:2]
        plain: dict[str, Any] = {"server": host, "tls": "none", "from": sender, "to": to}
        if port != "25":
            plain["port"] = int(port) if port.isdecimal() else port
        try:
            msgspec.convert(plain, EmailConfig)
        except msgspec.ValidationError as error:
            self.notes.add(server.place, server.keyword, f"{error}; left out")
            return
        self.email = plain

    def alert(self, body: Body) -> None:
        """Take what a block says of mails about it."""
        statement = next(
            (s for s in body.block.body or () if s.keyword == "smtp_alert"), None
        )
        alert = body.flag("smtp_alert")
        if statement and alert is bool(self.email):
            return
        if statement:
            body.note(statement, _ALL if self.email else _NO_SERVER)

    def of_service(self, body: Body) -> list[Script]:
        """Take the programs of a virtual_server."""
        return self._scripts(body, _OF_SERVICE)

    def of_backend(self, body: Body) -> list[Script]:
        """Take the programs of a real_server."""
        return self._scripts(body, _OF_BACKEND)

    def add(self, scripts: list[Script], service: str, backend: str = "") -> None:
        """Have programs told of a service or a backend of it."""
        for script in scripts:
            if len(self._programs) >= MAX_PROGRAMS:
                why = f"there are more than {MAX_PROGRAMS} programs; left out"
                self.notes.add(script.statement.place, script.statement.keyword, why)
                continue
            whom = {"services": [service]} | ({"backends": [backend]} if backend else {})
            events = {"events": [script.event]}
            # keepalived gives them no arguments.
            self._programs.append({**script.plain, **events, **whom, "arguments": False})

    def _scripts(self, body: Body, events: dict[str, str]) -> list[Script]:
        found = []
        for keyword, event in events.items():
            statement = body.last(keyword)
            plain = statement and command_of(statement, self.user, self.notes)
            if statement and plain:
                if "user" not in plain:
                    body.note(statement, _AS_NOBODY)
                found.append(Script(statement, event, plain))
        return found


def command_of(
    statement: Statement, user: str | None, notes: Notes
) -> dict[str, Any] | None:
    """Return ``command`` and ``user`` of a script; None, and a note, if it cannot be."""
    script, named = (*statement.arguments, "", "")[:2]
    try:
        words = shlex.split(script)
    except ValueError as error:
        notes.add(statement.place, statement.keyword, f"{error}; left out")
        return None
    plain: dict[str, Any] = {"command": words}
    if who := named or user:
        plain["user"] = who
    try:
        msgspec.convert(plain, ProgramConfig)
    except msgspec.ValidationError as error:
        notes.add(statement.place, statement.keyword, f"{error}; left out")
        return None
    return plain
