"""Sending frames that an XDP program makes: BPF_PROG_TEST_RUN with live frames.

What the program gives XDP_TX leaves by the interface that it pretends to come in by. That
is the quickest generator there is without a network card.
"""

from typing import Final

from dataplane.libbpf_native import checked, ffi, lib, sized

_LIVE_FRAMES: Final = 1 << 1  # linux/bpf.h


def send(program: int, ifindex: int, frame: bytes, packets: int) -> None:
    """Let ``program`` write ``packets`` frames, of the size of ``frame``, and send them.

    A call costs some 25 ms beside the packets. The interface is one of the caller's network
    namespace, and has an XDP program itself. Raises KernelError.
    """
    context = ffi.new(
        "struct xdp_md *", {"data_end": len(frame), "ingress_ifindex": ifindex}
    )
    opts = sized(
        "struct test_run_opts",
        data_in=ffi.from_buffer(frame),
        data_size_in=len(frame),
        ctx_in=context,
        ctx_size_in=ffi.sizeof("struct xdp_md"),
        repeat=packets,
        flags=_LIVE_FRAMES,
    )
    checked("bpf_prog_test_run of live frames", lib.bpf_prog_test_run_opts(program, opts))
