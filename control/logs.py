"""Logging: lines for a person on a terminal, JSON for a machine otherwise; on stderr."""

import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO, cast

import structlog

# gRPC's core has lines of its own for stderr: of each handshake that fails, for one. It
# looks at this when it is imported, and so this module has to come before it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def set_up() -> None:
    """Configure structlog for the process."""
    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if not person else _as_is,
            structlog.dev.ConsoleRenderer()
            if person
            else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
    )


@dataclass(frozen=True, slots=True, weakref_slot=True)  # structlog refers to it so
class _Unfailing:
    """Drops what cannot be written: a full disk or a closed pipe is no reason to end."""

    stream: TextIO

    def write(self, text: str) -> None:
        """Write ``text`` at once, if that is possible."""
        with suppress(OSError):
            self.stream.write(text)
            self.stream.flush()

    def flush(self) -> None:
        """Do nothing: every line is flushed."""


def _as_is(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event  # the console renderer formats exceptions itself
