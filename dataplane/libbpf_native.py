"""libbpf by cffi: what we declare of it, the library, and what every call of it needs.

In ABI mode: no compiler is needed where guideway is installed.
"""

from typing import Any, Final

from cffi import FFI

from dataplane.errors import KernelError, LoadError

ffi: Final = FFI()
# Option structures may be cut after the last field that we set: libbpf goes by `size`.
ffi.cdef("""
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
    uint32_t duration, flags;
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
        return ffi.dlopen("libbpf.so.1")
    except OSError as error:
        raise LoadError(
            "libbpf.so.1 is missing: install Debian's package libbpf1"
        ) from error


lib: Final[Any] = _open_library()


def text_of(name: Any) -> str:
    """Return what stands in an array of C's characters, up to its end."""
    return bytes(ffi.buffer(name)).partition(b"\0")[0].decode(errors="replace")


def info_of(fd: int, struct: str) -> Any:
    """Return what the kernel tells of what is behind a descriptor. Raises KernelError."""
    return filled(fd, ffi.new(f"{struct} *"))


def filled(fd: int, info: Any) -> Any:
    """Return ``info``, filled in likewise: some fields say what else is wanted."""
    size = ffi.new("uint32_t *", ffi.sizeof(info[0]))
    checked("bpf_obj_get_info_by_fd", lib.bpf_obj_get_info_by_fd(fd, info, size))
    return info


def sized(struct: str, **fields: Any) -> Any:
    """Return a structure of options, which says how long it is."""
    return ffi.new(f"{struct} *", {"size": ffi.sizeof(struct), **fields})


def checked(call: str, code: int) -> int:
    """Return what a call returned; KernelError if that says that it failed."""
    if code < 0:
        raise KernelError(call, -code)
    return code
