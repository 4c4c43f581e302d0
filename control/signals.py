"""The signals that guidewayd obeys."""

import asyncio
import signal
from contextlib import suppress
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def hear_signals() -> asyncio.Queue[int]:
    """Return a queue of the signals that we obey, from now until the process ends.

    The event loop's own handlers would go with the loop, and a second, impatient SIGTERM
    would kill us while we tidy up.
    """
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[int] = asyncio.Queue()

    def hear(number: int, _: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: we are about to end anyway
            loop.call_soon_threadsafe(heard.put_nowait, number)

    for number in _SIGNALS:
        signal.signal(number, hear)
    return heard


def ignore_signals() -> None:
    """Obey them no more."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
