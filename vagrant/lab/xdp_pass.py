"""The smallest XDP program there is: every packet goes on to the stack.

veth hands frames that a peer sent by XDP_TX only to an interface that has an XDP program
itself, and drops them silently otherwise. A real network card needs nothing of the kind.
"""

import os
import struct
from typing import Any, Final

from cffi import FFI

from vagrant.lab.errors import HostError
from vagrant.lab.hosts import Host, link_index

_XDP: Final = 6  # enum bpf_prog_type: BPF_PROG_TYPE_XDP
_INSTRUCTION: Final = struct.Struct(
    "=BBhi"
)  # struct bpf_insn: code, registers, offset, value
_PROGRAM: Final = (
    _INSTRUCTION.pack(0xB7, 0, 0, 2)  # r0 = XDP_PASS
    + _INSTRUCTION.pack(0x95, 0, 0, 0)  # exit
)
_ffi: Final = FFI()
_ffi.cdef("""
    struct options { size_t size; int attempts; uint32_t attach_type, btf_fd, flags; };
    int bpf_prog_load(int type, const char *name, const char *license, const void *program,
                      size_t instructions, const struct options *options);
""")
_HAS_FRAGS: Final = 1 << 5  # BPF_F_XDP_HAS_FRAGS: jumbo frames may come, too


def attach(host: Host, interface: str) -> None:
    """Attach the program to ``interface`` of ``host``; it goes with the interface."""
    program = load()
    try:
        with host.netlink() as ip:
            ip.link("set", index=link_index(ip, interface), xdp_fd=program)
    finally:
        os.close(program)  # the interface holds it now


def try_loading() -> None:
    """Raise HostError if the kernel does not let us load XDP programs."""
    os.close(load())


def load() -> int:
    """Load the program and return its file descriptor; raise HostError."""
    try:
        libbpf: Any = _ffi.dlopen("libbpf.so.1")
    except OSError as error:
        raise HostError(
            "the lab needs libbpf 1 (Debian: apt-get install libbpf1)"
        ) from error
    count = len(_PROGRAM) // _INSTRUCTION.size
    size = _ffi.sizeof("struct options")
    options = _ffi.new("struct options *", {"size": size, "flags": _HAS_FRAGS})
    loaded: int = libbpf.bpf_prog_load(_XDP, b"lab_pass", b"GPL", _PROGRAM, count, options)
    if loaded < 0:
        raise HostError(
            f"the kernel refuses to load an XDP program: {os.strerror(-loaded)}"
        )
    return loaded
