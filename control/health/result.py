"""What comes of a probe, whatever its kind."""

import errno
import os
from dataclasses import dataclass, field
from typing import Final

_MAX_REASON: Final = 200  # characters
# What says something of this host, and nothing of the backend.
_OUR_SHORTAGE: Final = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
}
# asyncio raises these without a word, such as where somebody hangs up amidst a handshake.
_UNSAID: Final[dict[type[OSError], str]] = {
    ConnectionResetError: os.strerror(errno.ECONNRESET),
    ConnectionAbortedError: os.strerror(errno.ECONNABORTED),
    BrokenPipeError: os.strerror(errno.EPIPE),
}


class NoResultError(Exception):
    """The probe could not be made; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """A probe that could be made."""

    problem: str = ""  # why it failed; "": it did not
    weight: int | None = None  # that it gives the backend, 0…65535; None: the configured
    is_silence: bool = field(default=False, compare=False)  # nothing came, in all the time


PASSED: Final = Result()


def of_os_error(error: OSError, port: int) -> Result:
    """Return what the refusal of a socket says of a backend; raise NoResultError."""
    reason = os.strerror(error.errno) if error.errno else error.strerror or str(error)
    reason = reason or _UNSAID.get(type(error)) or type(error).__name__
    if error.errno in _OUR_SHORTAGE:
        raise NoResultError(reason) from error
    return Result(one_line(f"port {port}: {reason}" if port else reason))


def no_answer(port: int, timeout: float) -> Result:
    """Return what it says of a backend that ``timeout`` seconds were not enough."""
    where = f" from port {port}" if port else ""
    return Result(f"no answer{where} within {timeout:g} s", is_silence=True)


def one_line(text: str) -> str:
    """Return what others said as a line that may be shown: short, printable."""
    words = " ".join(text.split())
    shown = "".join(c if c.isprintable() else "?" for c in words[: _MAX_REASON + 1])
    return shown if len(shown) <= _MAX_REASON else f"{shown[: _MAX_REASON - 1]}…"
