"""Whom to tell of what, as frozen values; :mod:`control.notify_schema` reads a file."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Final


class Occasion(StrEnum):
    """What a program may be told of."""

    BACKEND_UP = "backend-up"
    BACKEND_DOWN = "backend-down"
    SERVICE_UP = "service-up"
    SERVICE_DOWN = "service-down"
    VRRP = "vrrp"
    DATA_PLANE = "data-plane"


class Severity(IntEnum):
    """How much something matters. Its end matters as much."""

    WARNING = 1  # a backend, an instance of VRRP
    CRITICAL = 2  # a service that nobody serves, the data plane


class Encryption(StrEnum):
    """How mails go to their server."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


EVERY_OCCASION: Final = frozenset(Occasion)
MAX_PROGRAMS: Final = 256


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is told."""

    command: tuple[str, ...]
    user: str = "nobody"
    timeout: float = 30.0  # seconds
    events: frozenset[Occasion] = EVERY_OCCASION
    services: frozenset[str] = frozenset()  # none: all
    backends: frozenset[str] = frozenset()  # of these services; none: all
    arguments: bool = True  # whether it gets what happened as arguments, too


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail server, who writes to whom by it, and how often."""

    server: str
    port: int
    encryption: Encryption
    sender: str
    recipients: tuple[str, ...]
    ca: Path | None = None  # None: the system's
    user: str = ""
    password: Path | None = None  # the file that it is in
    severity: Severity = Severity.WARNING  # the least that is worth a mail
    gather: float = 10.0  # seconds from a change to the mail, in which more may happen
    interval: float = 300.0  # seconds between mails, at least


@dataclass(frozen=True, slots=True)
class Notifications:
    """Everybody who is told."""

    programs: tuple[Program, ...] = ()
    mail: Mail | None = None
