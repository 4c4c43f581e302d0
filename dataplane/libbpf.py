"""The calls of libbpf that we use, with Python's values and exceptions.

cffi in ABI mode: no compiler is needed where guideway is installed. Every function raises
:class:`KernelError` where the kernel refuses. File descriptors are plain integers and
belong to the caller.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cffi import FFI

from dataplane.errors import KernelError, LoadError

BPF_XDP: Final = 37  # enum bpf_attach_type
PROGRAM_TC: Final = 3  # enum bpf_prog_type: BPF_PROG_TYPE_SCHED_CLS
PROGRAM_XDP: Final = 6
MAP_HASH: Final = 1  # enum bpf_map_type
MAP_ARRAY: Final = 2
MAP_PERCPU_ARRAY: Final = 6
MAP_LRU_HASH: Final = 9
MAP_DEVMAP: Final = 14
_RDONLY_PROG: Final = 1 << 7  # BPF_F_RDONLY_PROG
MAP_ARRAY_OF_MAPS: Final = 12
_INSTRUCTION_BYTES: Final = 8  # struct bpf_insn
_XDP_HAS_FRAGS: Final = 1 << 5  # BPF_F_XDP_HAS_FRAGS, since Linux 5.18
XDP_FLAGS_GENERIC: Final = 1 << 1  # linux/if_link.h: XDP_FLAGS_SKB_MODE
XDP_FLAGS_NATIVE: Final = 1 << 2  # XDP_FLAGS_DRV_MODE

_NAME: Final = 15  # bytes of a name, BPF_OBJ_NAME_LEN less its end
_LICENSE: Final = b"GPL"  # some helpers are for such programs only
_ATTEMPTS: Final = 5  # while the kernel is asked to try again by EAGAIN
_LOG: Final = (1 << 24) - 1  # bytes, the most that every kernel takes
_LOOPBACK: Final = 1  # its index, in every namespace

_ffi: Final = FFI()
# Option structures may be cut after the last field that we set: libbpf goes by `size`.
_ffi.cdef("""
int bpf_obj_pin(int fd, const char *path);
int bpf_obj_get(const char *path);
int bpf_prog_get_fd_by_id(uint32_t id);
int bpf_obj_get_info_by_fd(int fd, void *info, uint32_t *size);
int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values,
                         uint32_t *count, const void *opts);
int bpf_map_update_batch(int fd, const void *keys, const void *values, uint32_t *count,
                         const void *opts);
int libbpf_num_possible_cpus(void);

struct link_create_opts { size_t size; uint32_t flags; };
int bpf_link_create(int program, int target, int type, const struct link_create_opts *opts);
int bpf_link_update(int link, int program, const void *opts);

struct test_run_opts {
    size_t size;
    const void *data_in;
    void *data_out;
    uint32_t data_size_in, data_size_out;
    const void *ctx_in;
    void *ctx_out;
    uint32_t ctx_size_in, ctx_size_out;
    uint32_t retval;
    int repeat;
    uint32_t duration;
};

struct map_create_opts {
    size_t size;
    uint32_t btf, btf_key_type, btf_value_type, btf_vmlinux_value_type, inner_map;
    uint32_t flags;
};
int bpf_map_create(int type, const char *name, uint32_t key_size, uint32_t value_size,
                   uint32_t max_entries, const struct map_create_opts *opts);

struct prog_load_opts {
    size_t size;
    int attempts;
    int expected_attach_type;
    uint32_t btf, flags, ifindex, kernel_version, attach_btf, attach_program,
             attach_object;
    const int *fds;
    const void *functions;
    uint32_t function_count, function_size;
    const void *lines;
    uint32_t line_count, line_size;
    uint32_t log_level, log_size;
    char *log;
};
int bpf_prog_load(int type, const char *name, const char *license, const void *instructions,
                  size_t count, const struct prog_load_opts *opts);
int bpf_prog_test_run_opts(int program, struct test_run_opts *opts);

struct xdp_md {
    uint32_t data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

/* The beginnings of the kernel's info structures; it fills in as much as there is room. */
struct link_info { uint32_t type, id, program_id, pad, ifindex; };
struct program_info {
    uint32_t type, id;
    uint8_t tag[8];
    uint32_t jited_length, translated_length;
    uint64_t jited, translated;
    uint64_t load_time; /* ns, CLOCK_BOOTTIME */
    uint32_t uid, map_count;
    uint64_t map_ids;
    char name[16];
};
struct map_info {
    uint32_t type, id, key_size, value_size, max_entries, flags;
    char name[16];
};
""")


def _open_library() -> Any:
    try:
        return _ffi.dlopen("libbpf.so.1")
    except OSError as error:
        raise LoadError(
            "libbpf.so.1 is missing: install Debian's package libbpf1"
        ) from error


_lib: Final[Any] = _open_library()


@dataclass(frozen=True, slots=True)
class MapShape:
    """What a map was made as; maps of one shape can stand for one another."""

    kind: int  # enum bpf_map_type
    key_size: int  # bytes
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """A program as the kernel knows it."""

    kind: int  # enum bpf_prog_type
    id: int
    name: str  # at most 15 characters
    load_time: float  # seconds, CLOCK_BOOTTIME
    map_ids: frozenset[int]  # of the maps that it uses
    instructions: int  # after the verifier has replaced what it can
    machine_code: int  # bytes


@dataclass(frozen=True, slots=True)
class ProgRun:
    """What a program did with one packet."""

    verdict: int  # enum xdp_action
    packet: bytes
    duration_ns: int  # per repetition


def possible_cpus() -> int:
    """Return how many values a per-CPU map holds for each key."""
    return _checked("libbpf_num_possible_cpus", _lib.libbpf_num_possible_cpus())


def pin(fd: int, path: Path) -> None:
    """Pin a program, map or link; the bpffs keeps it alive after we are gone."""
    _checked(f"pinning {path}", _lib.bpf_obj_pin(fd, bytes(path)))


def get(path: Path) -> int:
    """Open what is pinned at ``path``."""
    return _checked(f"opening {path}", _lib.bpf_obj_get(bytes(path)))


def link_create(program: int, ifindex: int, *, native: bool) -> int:
    """Attach an XDP program to an interface; the link's end is the attachment's end."""
    flags = XDP_FLAGS_NATIVE if native else XDP_FLAGS_GENERIC
    opts = _sized("struct link_create_opts", flags=flags)
    return _checked(
        "bpf_link_create", _lib.bpf_link_create(program, ifindex, BPF_XDP, opts)
    )


def link_update(link: int, program: int) -> None:
    """Swap the program of a link; no packet sees neither."""
    _checked("bpf_link_update", _lib.bpf_link_update(link, program, _ffi.NULL))


def link_ifindex(link: int) -> int:
    """Return the interface of an XDP link; 0 if the interface is gone."""
    return int(_info(link, "struct link_info").ifindex)


def link_program(link: int) -> int:
    """Return the number of the program that a link runs."""
    return int(_info(link, "struct link_info").program_id)


def object_kind(fd: int) -> str:
    """Return what is behind a descriptor: ``map``, ``prog`` or ``link``."""
    facts = fdinfo(fd)
    return next((kind for kind in ("map", "prog", "link") if f"{kind}_type" in facts), "")


def fdinfo(fd: int) -> dict[str, str]:
    """Return what /proc says of a descriptor, by name."""
    text = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii")
    rows = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in rows}


def program_info(program: int) -> ProgramInfo:
    """Return what the kernel tells of a program."""
    count = _info(program, "struct program_info").map_count
    ids = _ffi.new("uint32_t[]", count)
    asked: Any = _ffi.new("struct program_info *")
    asked.map_count, asked.map_ids = count, int(_ffi.cast("uintptr_t", ids))
    info = _fill(program, asked)
    return ProgramInfo(
        info.type,
        info.id,
        _text(info.name),
        info.load_time / 1e9,
        frozenset(ids),
        info.translated_length // _INSTRUCTION_BYTES,
        info.jited_length,
    )


def pinned_program_id(path: Path) -> int:
    """Return the number by which ``bpftool prog list`` names the program at ``path``."""
    program = get(path)
    try:
        return int(_info(program, "struct program_info").id)
    finally:
        os.close(program)


def program_exists(number: int) -> bool:
    """Tell whether the kernel has a program of that number."""
    code = _lib.bpf_prog_get_fd_by_id(number)
    if code == -errno.ENOENT:
        return False
    os.close(_checked("bpf_prog_get_fd_by_id", code))
    return True


def program_load(name: str, instructions: bytes, *, kind: int = PROGRAM_XDP) -> int:
    """Load a program, an XDP one as a link can attach it; of ``name`` 15 characters count.

    Raises LoadError, with the last of what the verifier said.
    """
    call = (
        kind,
        name.encode()[:_NAME],
        _LICENSE,
        instructions,
        len(instructions) // _INSTRUCTION_BYTES,
    )
    # Links swap programs, and devmaps serve them, of one attach type and flag only.
    fields: dict[str, Any] = {
        "attempts": _ATTEMPTS,
    }
    if kind == PROGRAM_XDP:
        fields["expected_attach_type"] = BPF_XDP
        fields["flags"] = _XDP_HAS_FRAGS  # it is content with frames in several buffers
    code = _lib.bpf_prog_load(*call, _sized("struct prog_load_opts", **fields))
    if code >= 0:
        return int(code)
    # It takes its time to write down what it finds: only when there is something to say.
    log = _ffi.new("char[]", _LOG)
    fields |= {"log_level": 1, "log_size": _LOG, "log": log}
    again = _lib.bpf_prog_load(*call, _sized("struct prog_load_opts", **fields))
    if again >= 0:
        return int(again)
    lines = _text(log).strip().splitlines()
    said = [line for line in lines if not line.startswith("processed ")]  # statistics
    problem = f"{os.strerror(-code)}: {said[-1]}" if said else os.strerror(-code)
    raise LoadError(f"the kernel refuses the program: {problem}")


def map_create(name: str, shape: MapShape, inner: int = 0) -> int:
    """Make a map; ``name``: of 15 characters at most; ``inner``: what one of maps has."""
    # The kernel gives it to a devmap by itself, and refuses it from others.
    given = _RDONLY_PROG if shape.kind == MAP_DEVMAP else 0
    opts = _sized("struct map_create_opts", flags=shape.flags & ~given, inner_map=inner)
    sizes = (shape.key_size, shape.value_size, shape.max_entries)
    code = _lib.bpf_map_create(shape.kind, name.encode()[:_NAME], *sizes, opts)
    return _checked("bpf_map_create", code)


def map_shape(fd: int) -> MapShape:
    """Return the sizes of a map."""
    info = _info(fd, "struct map_info")
    return MapShape(info.type, info.key_size, info.value_size, info.max_entries, info.flags)


def map_id(fd: int) -> int:
    """Return the number by which ``bpftool map list`` names a map."""
    return int(_info(fd, "struct map_info").id)


def map_name(fd: int) -> str:
    """Return the name of a map, at most 15 characters."""
    return _text(_info(fd, "struct map_info").name)


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Set one element."""
    _checked("bpf_map_update_elem", _lib.bpf_map_update_elem(fd, key, value, 0))


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value of one element, all CPUs' of a per-CPU map; None if it is absent.

    ``value_size`` is in bytes, of all values together.
    """
    value = _ffi.new("unsigned char[]", value_size)
    code = _lib.bpf_map_lookup_elem(fd, key, value)
    if code == -errno.ENOENT:
        return None
    _checked("bpf_map_lookup_elem", code)
    return bytes(_ffi.buffer(value))


def map_update_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Set ``count`` elements of a hash, keys and values one after the other."""
    done = _ffi.new("uint32_t *", count)
    code = _lib.bpf_map_update_batch(fd, keys, values, done, _ffi.NULL)
    _checked("bpf_map_update_batch", code)


def map_delete(fd: int, key: bytes) -> None:
    """Remove one element; one that is not there is fine."""
    code = _lib.bpf_map_delete_elem(fd, key)
    if code != -errno.ENOENT:
        _checked("bpf_map_delete_elem", code)


def map_items(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the elements of a hash or trie, one system call each and one for its key."""
    shape = map_shape(fd)
    value = _ffi.new("unsigned char[]", shape.value_size)
    for key in list(_keys(fd, shape.key_size)):
        code = _lib.bpf_map_lookup_elem(fd, key, value)
        if code == -errno.ENOENT:  # removed by somebody meanwhile
            continue
        _checked("bpf_map_lookup_elem", code)
        yield key, bytes(_ffi.buffer(value))


def map_batches(fd: int, count: int = 4096) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and the values of a hash, about ``count`` elements at a time."""
    shape = map_shape(fd)
    position = _ffi.new("uint32_t *")
    keys = _ffi.new("unsigned char[]", count * shape.key_size)
    values = _ffi.new("unsigned char[]", count * shape.value_size)
    start: Any = _ffi.NULL
    code = 0
    while code == 0:
        got = _ffi.new("uint32_t *", count)
        code = _lib.bpf_map_lookup_batch(fd, start, position, keys, values, got, _ffi.NULL)
        if code != -errno.ENOENT:  # that is the end, which may come with elements
            _checked("bpf_map_lookup_batch", code)
        yield (
            bytes(_ffi.buffer(keys, got[0] * shape.key_size)),
            bytes(_ffi.buffer(values, got[0] * shape.value_size)),
        )
        start = position


def array_read(fd: int, *, per_cpu: bool = False) -> bytes:
    """Return all values of an array, one after the other, by few system calls.

    A per-CPU array gives each entry's values of all possible CPUs together; the kernel
    rounds a per-CPU value up to 8 bytes.
    """
    shape = map_shape(fd)
    size = shape.value_size
    if per_cpu:
        size = (size + 7) // 8 * 8 * possible_cpus()
    values = _ffi.new("unsigned char[]", size * shape.max_entries)
    keys = _ffi.new("uint32_t[]", shape.max_entries)
    batch = _ffi.new("uint32_t *")
    count = _ffi.new("uint32_t *", shape.max_entries)
    code = _lib.bpf_map_lookup_batch(fd, _ffi.NULL, batch, keys, values, count, _ffi.NULL)
    if code != -errno.ENOENT:  # how the kernel says "that was the last one"
        _checked("bpf_map_lookup_batch", code)
    return bytes(_ffi.buffer(values))


def prog_run(
    program: int,
    packet: bytes,
    *,
    repeat: int = 1,
    room: int = 4096,
    metadata: bytes = b"",
    ifindex: int = _LOOPBACK,
) -> ProgRun:
    """Run an XDP program on a packet (BPF_PROG_TEST_RUN) that came in by ``ifindex``.

    ``metadata`` stands before the packet and takes of the 256 bytes that are free there.
    """
    out = _ffi.new("unsigned char[]", len(packet) + room)
    data = _ffi.from_buffer(metadata + packet)
    context: Any = _ffi.new("struct xdp_md *")
    context.data, context.data_end = len(metadata), len(metadata) + len(packet)
    context.ingress_ifindex = ifindex
    opts = _sized(
        "struct test_run_opts",
        data_in=data,
        data_size_in=len(metadata) + len(packet),
        ctx_in=context,
        ctx_size_in=_ffi.sizeof("struct xdp_md"),
        data_out=out,
        data_size_out=len(packet) + room,
        repeat=repeat,
    )
    _checked("bpf_prog_test_run", _lib.bpf_prog_test_run_opts(program, opts))
    return ProgRun(opts.retval, bytes(_ffi.buffer(out, opts.data_size_out)), opts.duration)


def _keys(fd: int, key_size: int) -> Iterator[bytes]:
    following = _ffi.new("unsigned char[]", key_size)
    key: Any = _ffi.NULL
    while (code := _lib.bpf_map_get_next_key(fd, key, following)) != -errno.ENOENT:
        _checked("bpf_map_get_next_key", code)
        key = bytes(_ffi.buffer(following))
        yield key


def _text(name: Any) -> str:
    return bytes(_ffi.buffer(name)).partition(b"\0")[0].decode(errors="replace")


def _info(fd: int, struct: str) -> Any:
    return _fill(fd, _ffi.new(f"{struct} *"))


def _fill(fd: int, info: Any) -> Any:
    size = _ffi.new("uint32_t *", _ffi.sizeof(info[0]))
    _checked("bpf_obj_get_info_by_fd", _lib.bpf_obj_get_info_by_fd(fd, info, size))
    return info


def _sized(struct: str, **fields: Any) -> Any:
    return _ffi.new(f"{struct} *", {"size": _ffi.sizeof(struct), **fields})


def _checked(call: str, code: int) -> int:
    if code < 0:
        raise KernelError(call, -code)
    return code
