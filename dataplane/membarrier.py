"""In which order packets see what we write into memory that we share with the kernel.

An XDP program runs inside an RCU read-side section, on another CPU than we. What makes an
entry valid says where it is, too, so that the reader needs no barrier of its own.
"""

import ctypes
import os
import platform
import sys
from typing import Final

from dataplane import libbpf

_NUMBERS: Final = {"x86_64": 324, "aarch64": 283}  # of the system call
_GLOBAL_EXPEDITED: Final = 2  # MEMBARRIER_CMD_GLOBAL_EXPEDITED
_KEY: Final = bytes(4)
_ARRAY: Final = libbpf.MapShape(libbpf.MAP_ARRAY, 4, 4, 1, 0)
_OF_MAPS: Final = libbpf.MapShape(libbpf.MAP_ARRAY_OF_MAPS, 4, 4, 1, 0)

_libc: Final = ctypes.CDLL(None, use_errno=True)


def fence() -> None:
    """Let no packet see what we write from here on without what we wrote before.

    Python has no such barrier. Of ``membarrier(2)`` this command is one for whoever calls
    it, in about a microsecond. Where it is refused (a filter of system calls, another
    machine), we go through the scheduler, which has one on its way.
    """
    number = _NUMBERS.get(platform.machine())
    if number is None or _libc.syscall(number, _GLOBAL_EXPEDITED, 0, 0) != 0:
        os.sched_yield()


def wait_for_packets() -> None:
    """Wait until all packets that are in the program now have left it; some milliseconds.

    What is waited for is an RCU grace period: a change of a map in a map returns after one,
    for this very purpose and on every kernel; ``membarrier(2)`` refuses to wait for one
    under ``nohz_full``. Raises KernelError if the kernel makes no maps.
    """
    inner = libbpf.map_create("", _ARRAY)
    try:
        outer = libbpf.map_create("", _OF_MAPS, inner)
        try:
            libbpf.map_update(outer, _KEY, inner.to_bytes(4, sys.byteorder))
        finally:
            os.close(outer)
    finally:
        os.close(inner)
