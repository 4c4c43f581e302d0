"""How large a loaded program is."""

from dataclasses import dataclass
from typing import Any, Final

from cffi import FFI

_INSTRUCTION_BYTES: Final = 8  # struct bpf_insn

_ffi: Final = FFI()
# The beginning of struct bpf_prog_info; the kernel fills in as much as there is room.
_ffi.cdef("""
struct program_info {
    uint32_t type, id;
    uint8_t tag[8];
    uint32_t machine_code_bytes, instruction_bytes;
};
int bpf_obj_get_info_by_fd(int fd, void *info, uint32_t *size);
""")
_lib: Final[Any] = _ffi.dlopen("libbpf.so.1")


@dataclass(frozen=True, slots=True)
class ProgramSize:
    """A program in the kernel: after the verifier has replaced what it can."""

    instructions: int
    machine_code_bytes: int


def size_of(program: int) -> ProgramSize:
    """Return the size of the program with this descriptor."""
    info: Any = _ffi.new("struct program_info *")
    size = _ffi.new("uint32_t *", _ffi.sizeof("struct program_info"))
    code = _lib.bpf_obj_get_info_by_fd(program, info, size)
    if code < 0:
        raise OSError(-code, "bpf_obj_get_info_by_fd")
    return ProgramSize(
        info.instruction_bytes // _INSTRUCTION_BYTES, info.machine_code_bytes
    )
