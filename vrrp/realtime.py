"""Keeps other programs and the swap from making advertisements late."""

import ctypes
import gc
import os
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
    # What has been imported stays: to look through it for garbage takes tens of
    # milliseconds, now and then, in which we would not advertise.
    gc.collect()
    gc.freeze()
