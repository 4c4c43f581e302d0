"""Logging: lines for a person on a terminal, JSON for a machine otherwise; on stderr."""

import logging
import sys

import structlog


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _as_is(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event  # the console renderer formats exceptions itself
