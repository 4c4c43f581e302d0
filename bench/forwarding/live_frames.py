"""Sending frames that an XDP program makes: BPF_PROG_TEST_RUN with live frames.

What the program gives XDP_TX leaves by the interface that it pretends to come in by. That
is the quickest generator there is without a network card.
"""

from typing import Any, Final

from cffi import FFI

from dataplane.errors import KernelError

_LIVE_FRAMES: Final = 1 << 1  # linux/bpf.h

_ffi: Final = FFI()
_ffi.cdef("""
struct xdp_md {
    uint32_t data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
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
    uint32_t duration, flags, cpu, batch_size;
};
int bpf_prog_test_run_opts(int program, struct test_run_opts *opts);
""")
_lib: Final[Any] = _ffi.dlopen("libbpf.so.1")


def send(program: int, ifindex: int, frame: bytes, packets: int) -> None:
    """Let ``program`` write ``packets`` frames, of the size of ``frame``, and send them.

    A call costs some 25 ms beside the packets. The interface is one of the caller's network
    namespace, and has an XDP program itself.
    """
    context = _ffi.new(
        "struct xdp_md *", {"data_end": len(frame), "ingress_ifindex": ifindex}
    )
    data = _ffi.from_buffer(frame)
    opts = _ffi.new(
        "struct test_run_opts *",
        {
            "size": _ffi.sizeof("struct test_run_opts"),
            "data_in": data,
            "data_size_in": len(frame),
            "ctx_in": context,
            "ctx_size_in": _ffi.sizeof("struct xdp_md"),
            "repeat": packets,
            "flags": _LIVE_FRAMES,
        },
    )
    code = _lib.bpf_prog_test_run_opts(program, opts)
    if code < 0:
        raise KernelError("bpf_prog_test_run of live frames", -code)
