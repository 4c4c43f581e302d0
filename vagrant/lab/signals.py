"""Being told to end: once is enough, and never in the middle of cleaning up."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], Any] | int | None  # as signal.signal has it


def unwind_on_signals() -> None:
    """Let the first of Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt, once.

    What follows is cleaning up, which takes a second: more signals are ignored.
    """
    _handle(_unwind)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore those signals for the length of the block, where they would be raised."""
    if threading.current_thread() is not threading.main_thread():
        yield  # they are raised in the main thread only
        return
    before = _handle(signal.SIG_IGN)
    try:
        yield
    finally:
        _restore(before)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` as asyncio.run does; the first of those signals cancels it.

    Then it raises KeyboardInterrupt: an exception out of nowhere would leave the loop's
    tasks in disorder.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)

        def cancel(_: int, __: FrameType | None) -> None:
            _handle(signal.SIG_IGN)
            loop.call_soon_threadsafe(task.cancel)

        before = _handle(cancel)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None  # and go on ignoring signals
        finally:
            if not task.cancelled():
                _restore(before)


def _unwind(_: int, __: FrameType | None) -> NoReturn:
    _handle(signal.SIG_IGN)
    raise KeyboardInterrupt


def _handle(handler: Handler) -> dict[signal.Signals, Handler]:
    """Set the handler of all those signals and return what they had."""
    return {each: signal.signal(each, handler) for each in _ENDING}


def _restore(before: dict[signal.Signals, Handler]) -> None:
    for each, handler in before.items():
        signal.signal(each, handler)
