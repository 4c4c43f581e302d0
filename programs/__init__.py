"""Running an operator's program: not for ever, and with no other rights than it should.

Both daemons do, in threads of their own: nothing here is for an event loop.
"""

import os
import pwd
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

MAX_OUTPUT: Final = 4096  # bytes of what it prints that are kept; the rest is read and lost
_SLICE: Final = 0.1  # seconds after which a waiting thread looks whether it has to stop
_CHUNK: Final = 65536  # bytes


@dataclass(frozen=True, slots=True)
class Manner:
    """How a program runs, where it matters."""

    environment: Mapping[str, str] | None = None  # None: ours
    grace: float = 0.0  # seconds from SIGTERM to SIGKILL; 0: no SIGTERM
    said: Callable[[bytes], None] | None = None  # gets the beginning of what it prints


_PLAIN: Final = Manner()


def run(
    command: tuple[str, ...],
    timeout: float,
    user: str | None,
    stopping: Event,
    manner: Manner = _PLAIN,
) -> str:
    """Run ``command`` for at most ``timeout`` s; return what went wrong, if anything.

    Blocking. Whoever takes longer is killed with all its children, and so is what is under
    way when ``stopping`` is set.
    """
    with ExitStack() as cleanup:
        output = _Output(cleanup) if manner.said else None
        try:
            process = subprocess.Popen(  # noqa: S603  (the operator's own command)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output.theirs if output else subprocess.DEVNULL,
                stderr=output.theirs if output else subprocess.DEVNULL,
                env=manner.environment,
                cwd=None if manner.environment is None else "/",
                start_new_session=True,  # a process group of its own, to be killed whole
                **_identity(user),
            )
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            return f"{command[0]} does not start: {error}"
        if output:
            output.started()
        with process:
            code = _wait(process, timeout, stopping, output)
            if code is None:
                _end(process, manner.grace)
        if output and manner.said:
            manner.said(output.text)
    return _problem(command[0], code, timeout, stopped=stopping.is_set())


def _problem(name: str, code: int | None, timeout: float, *, stopped: bool) -> str:
    """Return what is wrong with an end, "" if nothing is; ``code`` None: we made it."""
    if code is None and stopped:
        return f"{name} was stopped half-way, since its daemon ends"
    if code is None:
        return f"{name} took longer than {timeout:g} s"
    if code < 0:
        return f"{name} was ended by {_signal_name(-code)}"
    return f"{name} ended with {code}" if code else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those for real time
        return f"signal {number}"


class _Output:
    """A pipe that somebody writes to, and what came of it first."""

    def __init__(self, cleanup: ExitStack) -> None:
        self.ours, self.theirs = os.pipe()
        self._cleanup = cleanup
        cleanup.callback(os.close, self.ours)
        self._written = cleanup.enter_context(ExitStack())
        self._written.callback(os.close, self.theirs)
        os.set_blocking(self.ours, False)
        self.text = b""
        self.over = False

    def started(self) -> None:
        """Leave the end that is written to, to who writes."""
        self._written.close()

    def drain(self) -> None:
        """Take what is there, so that nobody has to wait, and keep the beginning."""
        with suppress(BlockingIOError):
            chunk = os.read(self.ours, _CHUNK)
            self.over = not chunk
            self.text += chunk[: MAX_OUTPUT - len(self.text)]


def _wait(
    process: subprocess.Popen[bytes],
    timeout: float,
    stopping: Event,
    output: _Output | None,
) -> int | None:
    """Return the exit code; None if it takes too long."""
    end = time.monotonic() + timeout
    ended = os.pidfd_open(process.pid)
    try:
        while (left := end - time.monotonic()) > 0 and not stopping.is_set():
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            if output and not output.over:
                poll.register(output.ours, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(min(_SLICE, left) * 1000)}
            if output and not output.over:
                output.drain()
            if ended in ready:
                return process.wait()
    finally:
        os.close(ended)
    return None


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Leave nothing of a process and its children that does not leave their group."""
    if grace:
        os.killpg(process.pid, signal.SIGTERM)
        _await_end(process.pid, grace)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _await_end(pid: int, grace: float) -> None:
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.poll(grace * 1000)
    finally:
        os.close(ended)


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    who = pwd.getpwnam(user)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
