"""Running an operator's program: not for ever, and with no other rights than it should."""

import os
import pwd
import signal
import subprocess
import time
from contextlib import suppress
from threading import Event
from typing import Any, Final

_SLICE: Final = 0.1  # seconds after which a waiting thread looks whether it has to stop


def run(command: tuple[str, ...], timeout: float, user: str | None, stopping: Event) -> str:
    """Run ``command`` for at most ``timeout`` s; return what went wrong, if anything.

    Blocking. Whoever takes longer is killed with all its children, and so is what is under
    way when ``stopping`` is set.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  (the operator's own command)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a process group of its own, to be killed whole
            **_identity(user),
        )
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        return f"{command[0]} does not start: {error}"
    with process:
        code = _wait(process, timeout, stopping)
    if code is None:
        return f"{command[0]} took longer than {timeout:g} s"
    return f"{command[0]} ended with {code}" if code else ""


def _wait(process: subprocess.Popen[bytes], timeout: float, stopping: Event) -> int | None:
    """Return the exit code; None, and leave nothing of it, if it takes too long."""
    end = time.monotonic() + timeout
    while time.monotonic() < end and not stopping.is_set():
        with suppress(subprocess.TimeoutExpired):
            return process.wait(min(_SLICE, end - time.monotonic()))
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return None


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    who = pwd.getpwnam(user)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
