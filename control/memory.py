"""Giving memory back that was needed for a moment."""

from typing import Any, Final

from cffi import FFI

_ffi: Final = FFI()
_ffi.cdef("int malloc_trim(size_t pad);")
_libc: Final[Any] = _ffi.dlopen(None)


def give_back() -> None:
    """Return to the kernel what is free in the C library's heaps; takes milliseconds.

    Rings and tables come and go by tens of megabytes in several threads, each of which has
    a heap of its own, that keeps them.
    """
    _libc.malloc_trim(0)
