"""Keeps other programs and the swap from making advertisements late."""

import ctypes
import gc
import os
import subprocess
from contextlib import suppress
from typing import Final

from structlog import get_logger
from structlog.typing import FilteringBoundLogger

_log: Final[FilteringBoundLogger] = get_logger()

_CAP_IPC_LOCK: Final = 14  # linux/capability.h
_MCL_CURRENT: Final = 1  # linux/mman.h
_MCL_FUTURE: Final = 2
# Only what is touched is locked: else each thread would cost the 8 MB of its stack.
_MCL_ONFAULT: Final = 4


def be_on_time(priority: int, capabilities: int) -> None:
    """Be scheduled before ordinary programs, and stay in memory, as far as that is allowed.

    ``priority`` is that of SCHED_RR, 1…99; 0 leaves scheduling alone. Threads that are
    started later inherit it. What is not allowed is logged: it makes advertisements late on
    a busy host, and no sooner.
    """
    if priority:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
        except OSError as error:
            _log.warning("no real-time scheduling", problem=error.strerror)
    # Without the capability a limit would make later allocations fail, and end us.
    problem = "CAP_IPC_LOCK is missing"
    if capabilities >> _CAP_IPC_LOCK & 1:
        libc = ctypes.CDLL(None, use_errno=True)
        flags = _MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT
        problem = os.strerror(ctypes.get_errno()) if libc.mlockall(flags) else ""
    if problem:
        _log.warning("memory not locked", problem=problem)
    # After a vfork the thread waits, with the interpreter's lock, until its child has begun
    # another program. That child is an ordinary process: on a busy host it takes its time,
    # up to seconds. (It is no constant, whatever typeshed says: the library's reference has
    # it as the way to turn vfork off.)
    setattr(subprocess, "_USE_VFORK", False)  # noqa: B010
    # What has been imported stays: to look through it for garbage takes tens of
    # milliseconds, now and then, in which we would not advertise.
    gc.collect()
    gc.freeze()


def start_ordinary_programs() -> None:
    """Let what this thread starts be scheduled as ordinary programs are.

    The thread itself is not: now and then it has the interpreter's lock, and while it
    waited for a processor then, so would every advertisement.
    """
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(OSError):
        os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, param)
