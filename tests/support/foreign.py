"""Things of the kernel's that are not guideway's."""

import os
from pathlib import Path

from cffi import FFI

from dataplane import libbpf
from vagrant.lab import xdp_pass

_HASH = 1  # enum bpf_map_type
_ffi = FFI()
_ffi.cdef("""
    int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size,
                       uint32_t max_entries, const void *options);
""")


def pin_a_map(path: Path) -> None:
    """Pin a small hash at ``path``."""
    created = _ffi.dlopen("libbpf.so.1").bpf_map_create(
        _HASH, b"theirs", 4, 4, 8, _ffi.NULL
    )
    assert created >= 0
    _pin(created, path)


def pin_a_program(path: Path) -> None:
    """Pin an XDP program at ``path``."""
    _pin(xdp_pass.load(), path)


def _pin(fd: int, path: Path) -> None:
    libbpf.pin(fd, path)
    os.close(fd)
