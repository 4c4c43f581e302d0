"""Waiting for the kernel's readers.

An XDP program runs inside an RCU read-side section. ``membarrier(MEMBARRIER_CMD_GLOBAL)``
returns after a grace period: whatever packet was in the program when we called has left it.
"""

import ctypes
import platform
from typing import Final

_NUMBERS: Final = {"x86_64": 324, "aarch64": 283}  # of the system call
_GLOBAL: Final = 1  # MEMBARRIER_CMD_GLOBAL

_libc: Final = ctypes.CDLL(None, use_errno=True)


def wait_for_packets() -> None:
    """Wait until all packets that are in the program now have left it; some milliseconds.

    Where the kernel does not offer it (``nohz_full``, another machine) this returns at
    once: a packet spends less than a microsecond in the program, and two system calls of
    ours are further apart.
    """
    if (number := _NUMBERS.get(platform.machine())) is not None:
        _libc.syscall(number, _GLOBAL, 0, 0)
