"""A probe by a program of the operator's: its exit code tells.

It runs without a shell, with nothing to read and a bare environment, in a process group of
its own, of which nothing is left when the probe is over. (A descendant that leaves the
group by setsid is on its own.)
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from control.addresses import IpAddress
from control.checks import ExecCheck, fill
from control.health.result import PASSED, NoResultError, Result, one_line

MAX_OUTPUT: Final = 65536  # bytes: what a pipe has room for. Nobody empties it
_SHOWN: Final = 1024  # bytes of the output, for its first line
_GRACE: Final = 0.5  # seconds between SIGTERM and SIGKILL, and to be gone after that
_FIRST_WEIGHT: Final = 2  # the exit code that means weight 0


async def probe(address: IpAddress, port: int, check: ExecCheck) -> Result:
    """Run the program. Raises NoResultError."""
    command = [fill(word, address, port) for word in check.command]
    with _output() as (output, theirs):
        process = _start(command, theirs)
        try:
            in_time = await _ends(process, within=check.timeout)
            if not in_time:
                os.killpg(process.pid, signal.SIGTERM)
                await _ends(process, within=_GRACE)
        finally:
            # It is a zombie at least, so that the group's number is nobody else's.
            os.killpg(process.pid, signal.SIGKILL)
            await _ends(process, within=_GRACE)
            code = process.poll()
        said = _read(output)
    if in_time and code is not None:
        return _judge(code, said, check)
    if len(said) == MAX_OUTPUT:
        return Result(f"it prints {MAX_OUTPUT} bytes or more")
    return Result(f"it runs for more than {check.timeout:g} s", is_silence=True)


def _start(command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - it is the operator's
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:  # nobody has looked at the backend
        raise NoResultError(f"{command[0]}: {error.strerror}") from error


async def _ends(process: subprocess.Popen[bytes], *, within: float) -> bool:
    """Wait until ``process`` has ended; tell whether it has, within some seconds."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    with _pidfd(process.pid) as pidfd:
        loop.add_reader(pidfd, ended.set)
        try:
            async with asyncio.timeout(within):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(pidfd)
    return True


def _judge(code: int, said: bytes, check: ExecCheck) -> Result:
    if code == 0:
        return PASSED
    if check.dynamic and code >= _FIRST_WEIGHT:
        return Result(weight=code - _FIRST_WEIGHT)
    first = said[:_SHOWN].strip().partition(b"\n")[0].decode(errors="replace")
    how = f"exit code {code}" if code > 0 else f"ended by {_name(-code)}"
    return Result(one_line(f"{how}: {first}" if first else how))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of those for real time
        return f"signal {number}"


def _read(output: int) -> bytes:
    """Return what is in a pipe, without waiting for more."""
    with suppress(BlockingIOError):
        return os.read(output, MAX_OUTPUT)
    return b""


@contextmanager
def _output() -> Iterator[tuple[int, int]]:
    """Open a pipe: our end, which never blocks, and theirs."""
    ours, theirs = os.pipe()
    try:
        os.set_blocking(ours, False)
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


@contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    pidfd = os.pidfd_open(pid)
    try:
        yield pidfd
    finally:
        os.close(pidfd)
