"""The calls of libbpf that we use, with Python's values and exceptions.

Every function raises :class:`KernelError` where the kernel refuses. File descriptors are
plain integers and belong to the caller.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataplane.errors import LoadError
from dataplane.libbpf_native import (
    checked,
    ffi,
    filled,
    info_of,
    lib,
    sized,
    text_of,
)

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
    return checked("libbpf_num_possible_cpus", lib.libbpf_num_possible_cpus())


def pin(fd: int, path: Path) -> None:
    """Pin a program, map or link; the bpffs keeps it alive after we are gone."""
    checked(f"pinning {path}", lib.bpf_obj_pin(fd, bytes(path)))


def get(path: Path) -> int:
    """Open what is pinned at ``path``."""
    return checked(f"opening {path}", lib.bpf_obj_get(bytes(path)))


def link_create(program: int, ifindex: int, *, native: bool) -> int:
    """Attach an XDP program to an interface; the link's end is the attachment's end."""
    flags = XDP_FLAGS_NATIVE if native else XDP_FLAGS_GENERIC
    opts = sized("struct link_create_opts", flags=flags)
    return checked("bpf_link_create", lib.bpf_link_create(program, ifindex, BPF_XDP, opts))


def link_update(link: int, program: int) -> None:
    """Swap the program of a link; no packet sees neither."""
    checked("bpf_link_update", lib.bpf_link_update(link, program, ffi.NULL))


def link_ifindex(link: int) -> int:
    """Return the interface of an XDP link; 0 if the interface is gone."""
    return int(info_of(link, "struct link_info").ifindex)


def link_program(link: int) -> int:
    """Return the number of the program that a link runs."""
    return int(info_of(link, "struct link_info").program_id)


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
    count = info_of(program, "struct program_info").map_count
    ids = ffi.new("uint32_t[]", count)
    asked: Any = ffi.new("struct program_info *")
    asked.map_count, asked.map_ids = count, int(ffi.cast("uintptr_t", ids))
    info = filled(program, asked)
    return ProgramInfo(
        info.type,
        info.id,
        text_of(info.name),
        info.load_time / 1e9,
        frozenset(ids),
        info.translated_length // _INSTRUCTION_BYTES,
        info.jited_length,
    )


def pinned_program_id(path: Path) -> int:
    """Return the number by which ``bpftool prog list`` names the program at ``path``."""
    program = get(path)
    try:
        return int(info_of(program, "struct program_info").id)
    finally:
        os.close(program)


def program_exists(number: int) -> bool:
    """Tell whether the kernel has a program of that number."""
    code = lib.bpf_prog_get_fd_by_id(number)
    if code == -errno.ENOENT:
        return False
    os.close(checked("bpf_prog_get_fd_by_id", code))
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
    code = lib.bpf_prog_load(*call, sized("struct prog_load_opts", **fields))
    if code >= 0:
        return int(code)
    # It takes its time to write down what it finds: only when there is something to say.
    log = ffi.new("char[]", _LOG)
    fields |= {"log_level": 1, "log_size": _LOG, "log": log}
    again = lib.bpf_prog_load(*call, sized("struct prog_load_opts", **fields))
    if again >= 0:
        return int(again)
    lines = text_of(log).strip().splitlines()
    said = [line for line in lines if not line.startswith("processed ")]  # statistics
    problem = f"{os.strerror(-code)}: {said[-1]}" if said else os.strerror(-code)
    raise LoadError(f"the kernel refuses the program: {problem}")


def map_create(name: str, shape: MapShape, inner: int = 0) -> int:
    """Make a map; ``name``: of 15 characters at most; ``inner``: what one of maps has."""
    # The kernel gives it to a devmap by itself, and refuses it from others.
    given = _RDONLY_PROG if shape.kind == MAP_DEVMAP else 0
    opts = sized("struct map_create_opts", flags=shape.flags & ~given, inner_map=inner)
    sizes = (shape.key_size, shape.value_size, shape.max_entries)
    code = lib.bpf_map_create(shape.kind, name.encode()[:_NAME], *sizes, opts)
    return checked("bpf_map_create", code)


def map_shape(fd: int) -> MapShape:
    """Return the sizes of a map."""
    info = info_of(fd, "struct map_info")
    return MapShape(info.type, info.key_size, info.value_size, info.max_entries, info.flags)


def map_id(fd: int) -> int:
    """Return the number by which ``bpftool map list`` names a map."""
    return int(info_of(fd, "struct map_info").id)


def map_name(fd: int) -> str:
    """Return the name of a map, at most 15 characters."""
    return text_of(info_of(fd, "struct map_info").name)


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Set one element."""
    checked("bpf_map_update_elem", lib.bpf_map_update_elem(fd, key, value, 0))


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value of one element, all CPUs' of a per-CPU map; None if it is absent.

    ``value_size`` is in bytes, of all values together.
    """
    value = ffi.new("unsigned char[]", value_size)
    code = lib.bpf_map_lookup_elem(fd, key, value)
    if code == -errno.ENOENT:
        return None
    checked("bpf_map_lookup_elem", code)
    return bytes(ffi.buffer(value))


def map_update_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Set ``count`` elements of a hash, keys and values one after the other."""
    done = ffi.new("uint32_t *", count)
    code = lib.bpf_map_update_batch(fd, keys, values, done, ffi.NULL)
    checked("bpf_map_update_batch", code)


def map_delete(fd: int, key: bytes) -> None:
    """Remove one element; one that is not there is fine."""
    code = lib.bpf_map_delete_elem(fd, key)
    if code != -errno.ENOENT:
        checked("bpf_map_delete_elem", code)


def map_items(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the elements of a hash or trie, one system call each and one for its key."""
    shape = map_shape(fd)
    value = ffi.new("unsigned char[]", shape.value_size)
    for key in list(_keys(fd, shape.key_size)):
        code = lib.bpf_map_lookup_elem(fd, key, value)
        if code == -errno.ENOENT:  # removed by somebody meanwhile
            continue
        checked("bpf_map_lookup_elem", code)
        yield key, bytes(ffi.buffer(value))


def map_batches(fd: int, count: int = 4096) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and the values of a hash, about ``count`` elements at a time."""
    shape = map_shape(fd)
    position = ffi.new("uint32_t *")
    keys = ffi.new("unsigned char[]", count * shape.key_size)
    values = ffi.new("unsigned char[]", count * shape.value_size)
    start: Any = ffi.NULL
    code = 0
    while code == 0:
        got = ffi.new("uint32_t *", count)
        code = lib.bpf_map_lookup_batch(fd, start, position, keys, values, got, ffi.NULL)
        if code != -errno.ENOENT:  # that is the end, which may come with elements
            checked("bpf_map_lookup_batch", code)
        yield (
            bytes(ffi.buffer(keys, got[0] * shape.key_size)),
            bytes(ffi.buffer(values, got[0] * shape.value_size)),
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
    values = ffi.new("unsigned char[]", size * shape.max_entries)
    keys = ffi.new("uint32_t[]", shape.max_entries)
    batch = ffi.new("uint32_t *")
    count = ffi.new("uint32_t *", shape.max_entries)
    code = lib.bpf_map_lookup_batch(fd, ffi.NULL, batch, keys, values, count, ffi.NULL)
    if code != -errno.ENOENT:  # how the kernel says "that was the last one"
        checked("bpf_map_lookup_batch", code)
    return bytes(ffi.buffer(values))


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
    out = ffi.new("unsigned char[]", len(packet) + room)
    data = ffi.from_buffer(metadata + packet)
    context: Any = ffi.new("struct xdp_md *")
    context.data, context.data_end = len(metadata), len(metadata) + len(packet)
    context.ingress_ifindex = ifindex
    opts = sized(
        "struct test_run_opts",
        data_in=data,
        data_size_in=len(metadata) + len(packet),
        ctx_in=context,
        ctx_size_in=ffi.sizeof("struct xdp_md"),
        data_out=out,
        data_size_out=len(packet) + room,
        repeat=repeat,
    )
    checked("bpf_prog_test_run", lib.bpf_prog_test_run_opts(program, opts))
    return ProgRun(opts.retval, bytes(ffi.buffer(out, opts.data_size_out)), opts.duration)


def _keys(fd: int, key_size: int) -> Iterator[bytes]:
    following = ffi.new("unsigned char[]", key_size)
    key: Any = ffi.NULL
    while (code := lib.bpf_map_get_next_key(fd, key, following)) != -errno.ENOENT:
        checked("bpf_map_get_next_key", code)
        key = bytes(ffi.buffer(following))
        yield key
