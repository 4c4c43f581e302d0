"""Which places are on a bpffs, the file system that keeps pins."""

import ctypes
import os
from pathlib import Path
from typing import Final

_MAGIC: Final = 0xCAFE4A11  # BPF_FS_MAGIC, linux/magic.h


class _Statfs(ctypes.Structure):
    """What statfs(2) tells: its first field, and room for all others."""

    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_long * 31))


_libc: Final = ctypes.CDLL(None)


def is_on_bpffs(path: Path) -> bool:
    """Tell whether ``path`` is on a bpffs, or would be if it were made."""
    found = _Statfs()
    for place in (path, *path.parents):
        # What is missing, or may not be looked at, is where its parent is.
        if _libc.statfs(os.fsencode(place), ctypes.byref(found)) == 0:
            return int(found.f_type) & 0xFFFF_FFFF == _MAGIC
    return False
