"""Network namespaces: making, entering, finding who lives in one, and removing."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from cffi import FFI

from vagrant.lab.errors import CommandError
from vagrant.lab.wait import PATIENCE, eventually

DIRECTORY: Final = Path("/run/netns")  # where ip(8) keeps the names
_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h

# os.setns() came with Python 3.12.
_ffi: Final = FFI()
_ffi.cdef("int setns(int fd, int kind);")
_libc: Final[Any] = _ffi.dlopen(None)


def create(namespace: str) -> None:
    """Make ``namespace``; raise CommandError if there is one of that name."""
    _ip("netns", "add", namespace)


def remove(namespace: str) -> None:
    """End every process in ``namespace`` and remove it; harmless if it is not there."""
    kill_inside(namespace)
    if (DIRECTORY / namespace).exists():
        _ip("netns", "delete", namespace)


def named(prefix: str) -> list[str]:
    """Return the names of the namespaces that start with ``prefix``."""
    with suppress(FileNotFoundError):
        return sorted(
            path.name for path in DIRECTORY.iterdir() if path.name.startswith(prefix)
        )
    return []


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Put the calling thread, and no other, into ``namespace`` for the length of the block.

    Sockets opened and /proc/sys/net files read in the block are those of the namespace; a
    socket stays there afterwards. The block must not await.
    """
    with (
        Path("/proc/thread-self/ns/net").open("rb") as home,
        (DIRECTORY / namespace).open("rb") as there,
    ):
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def processes(namespace: str) -> list[int]:
    """Return the process ids of those who live in ``namespace``, ourselves excepted."""
    place = _place(DIRECTORY / namespace)
    if place is None:
        return []
    everyone = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [pid for pid in everyone if pid != os.getpid() and _lives_in(pid, place)]


def kill_inside(namespace: str) -> None:
    """Kill every process in ``namespace`` and wait until they are gone."""

    def empty() -> bool:
        there = processes(namespace)
        for pid in there:
            _kill_if_inside(pid, namespace)
        return not there

    eventually(empty, within=5, what=f"the processes in {namespace} end", every=0.01)


def _kill_if_inside(pid: int, namespace: str) -> None:
    """Kill ``pid`` if it still is who we take it for: numbers are used again."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            place = _place(DIRECTORY / namespace)
            if place is not None and _lives_in(pid, place):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _lives_in(pid: int, place: tuple[int, int]) -> bool:
    return _place(Path(f"/proc/{pid}/ns/net")) == place


def _place(path: Path) -> tuple[int, int] | None:
    """Return what identifies the namespace behind ``path``; None if it cannot be told.

    A process may have ended meanwhile, or be one that we may not look at: not ours, then.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return found.st_dev, found.st_ino


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = _ffi.errno
        raise OSError(code, f"setns: {os.strerror(code)} ({errno.errorcode.get(code)})")


def _ip(*arguments: str) -> None:
    command = ("ip", *arguments)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=10 * PATIENCE, check=False
    )
    if done.returncode != 0:
        raise CommandError("this machine", command, done.returncode, done.stderr)
