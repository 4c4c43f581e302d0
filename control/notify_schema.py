"""``notify`` and ``email`` of the file: who is told of what."""

import re
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from control.notifying.settings import (
    EVERY_OCCASION,
    Encryption,
    Mail,
    Notifications,
    Occasion,
    Program,
    Severity,
)

_PORTS: Final = {Encryption.STARTTLS: 587, Encryption.TLS: 465, Encryption.NONE: 25}
_SEVERITIES: Final = {one.name.lower(): one for one in Severity}
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.:\[\]-]{1,255}"
)
_HOST: Final = r"^[A-Za-z0-9_.:-]{1,255}\Z"
_MAX_WORDS: Final = 64

Seconds = Annotated[float, Meta(ge=0.1, le=3600)]
AbsolutePath = Annotated[
    str, Meta(pattern=r"^/[^\0]*\Z", description="an absolute path, from / on")
]
Word = Annotated[str, Meta(pattern=r"^[^\0]*\Z", max_length=4096)]
UserName = Annotated[
    str,
    Meta(pattern=r"^[^\s:,\0]{1,256}\Z", description="the name of a user of this host"),
]


class ProgramConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of ``notify``."""

    command: Annotated[tuple[Word, ...], Meta(min_length=1, max_length=_MAX_WORDS)]
    user: UserName = "nobody"
    timeout: Seconds = 30.0
    events: Annotated[tuple[Occasion, ...], Meta(min_length=1)] | None = None
    services: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    arguments: bool = True

    def __post_init__(self) -> None:
        if not self.command[0].startswith("/"):
            raise ValueError(
                f"`command`: {self.command[0]!r} is not an absolute path; there is no "
                "shell, and no PATH, to find it by"
            )
        if self.backends and not self.services:
            raise ValueError("`backends` needs `services`: of which ones they are")


class EmailConfig(
    Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}
):
    """``email``."""

    server: Annotated[
        str,
        Meta(pattern=_HOST, description="the name or address of a host, without a port"),
    ]
    sender: str
    to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)]
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    tls: Encryption = Encryption.STARTTLS
    ca: AbsolutePath | None = None
    user: str | None = None
    password_file: AbsolutePath | None = None
    severity: str = "warning"
    gather: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    interval: Annotated[float, Meta(ge=1, le=86_400)] = 300.0

    def __post_init__(self) -> None:
        for key, address in [("from", self.sender), *(("to", one) for one in self.to)]:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"`{key}`: {address!r} is not a mail address, user@host")
        if self.severity not in _SEVERITIES:
            names = " or ".join(_SEVERITIES)
            raise ValueError(f"`severity`: {self.severity!r} is not {names}")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("`user` and `password_file` go together")
        if self.tls is not Encryption.NONE:
            return
        if self.user is not None:
            raise ValueError("`tls: none` would show the password to everybody on the way")
        if self.ca is not None:
            raise ValueError("`ca` is of no use with `tls: none`")


def to_notifications(
    programs: tuple[ProgramConfig, ...], email: EmailConfig | None
) -> Notifications:
    """Return who is told."""
    return Notifications(
        tuple(_program(one) for one in programs), _mail(email) if email else None
    )


def _program(one: ProgramConfig) -> Program:
    return Program(
        one.command,
        one.user,
        one.timeout,
        frozenset(one.events) if one.events else EVERY_OCCASION,
        frozenset(one.services),
        frozenset(one.backends),
        one.arguments,
    )


def _mail(email: EmailConfig) -> Mail:
    return Mail(
        server=email.server,
        port=email.port or _PORTS[email.tls],
        encryption=email.tls,
        sender=email.sender,
        recipients=email.to,
        ca=Path(email.ca) if email.ca else None,
        user=email.user or "",
        password=Path(email.password_file) if email.password_file else None,
        severity=_SEVERITIES[email.severity],
        gather=email.gather,
        interval=email.interval,
    )
