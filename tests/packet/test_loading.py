"""Loading a program past BCC."""

import pytest

from dataplane import libbpf
from dataplane.errors import KernelError

EXIT = bytes([0x95, 0, 0, 0, 0, 0, 0, 0])  # before R0, the verdict, is set


def test_what_the_verifier_says_of_a_program_that_it_refuses_is_passed_on() -> None:
    said: list[str] = []

    with pytest.raises(KernelError, match=r"bpf_prog_load failed: .+ \(EACCES\)"):
        libbpf.load_xdp("no_verdict", EXIT, said.append)

    assert len(said) == 1
    assert "R0 !read_ok" in said[0]
