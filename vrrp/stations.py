"""Tells the data plane which virtual routers' MACs are this host's now. Blocking.

Without that it leaves their frames to the host, which would reset connections. It is told
from here, not by guidewayd, since it has to know in the moment in which the role changes,
however busy guidewayd is. guidewayd need not even run: the map is pinned, as is all that
packets depend on, and a program that is loaded anew goes on with the same map.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path
from typing import Any, Final

_MAP: Final = "stations"
_KEY: Final = struct.Struct("@I6sH")  # struct gw_station of dataplane/bpf/abi.h
_VALUE: Final = struct.Struct("@I")
_PRESENT: Final = _VALUE.pack(1)


def admit(pins: Path, index: int, mac: bytes) -> None:
    """Have every data plane pinned below ``pins`` take frames to ``mac`` as its own.

    ``index`` is that of the interface. Raises OSError.
    """
    for path in _maps(pins):
        with suppress(FileNotFoundError), _opened(path) as (library, fd):
            _check(library.bpf_map_update_elem(fd, _key(index, mac), _PRESENT, 0), path)


def dismiss(pins: Path, index: int, mac: bytes) -> None:
    """Undo :func:`admit`; what is not there is fine. Raises OSError."""
    for path in _maps(pins):
        with suppress(FileNotFoundError), _opened(path) as (library, fd):
            _check(library.bpf_map_delete_elem(fd, _key(index, mac)), path, ENOENT)


def _maps(pins: Path) -> Iterator[Path]:
    """Yield the map of every program, that of one that is about to serve included.

    guidewayd may unpin one before it is opened: whom nobody serves by need not know.
    """
    yield from sorted(pins.glob(f"*/*/{_MAP}"))


def _key(index: int, mac: bytes) -> bytes:
    return _KEY.pack(index, mac, 0)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int]]:
    """Open a map, if it is still there and has the layout that we know."""
    library = ctypes.CDLL("libbpf.so.1")
    library.bpf_map_update_elem.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_uint64,
    )
    fd = _check(library.bpf_obj_get(os.fsencode(path)), path)
    try:
        _check_shape(fd, path)
        yield library, fd
    finally:
        os.close(fd)


def _check_shape(fd: int, path: Path) -> None:
    text = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    facts = dict(line.split(":", 1) for line in text.splitlines())
    shape = (int(facts.get("key_size", 0)), int(facts.get("value_size", 0)))
    if shape != (_KEY.size, _VALUE.size):
        raise OSError(f"{path} is a map of another layout: guidewayd is of another release")


def _check(result: int, path: Path, harmless: int = 0) -> int:
    """Return what libbpf returned; OSError if that is an error."""
    if result < 0 and -result != harmless:
        raise OSError(-result, f"{path}: {os.strerror(-result)}")
    return result
