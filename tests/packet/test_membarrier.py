"""In which order packets see what is written into shared memory."""

import errno
from resource import RUSAGE_THREAD, getrusage

import pytest

from dataplane import libbpf, membarrier
from dataplane.errors import KernelError


def test_to_wait_for_packets_is_to_sleep_through_a_grace_period() -> None:
    before = getrusage(RUSAGE_THREAD).ru_nvcsw

    membarrier.wait_for_packets()

    assert getrusage(RUSAGE_THREAD).ru_nvcsw > before


def test_a_kernel_that_does_not_let_us_wait_is_not_taken_for_one_that_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise KernelError("bpf_map_create", errno.EPERM)

    monkeypatch.setattr(libbpf, "map_create", refuse)

    with pytest.raises(KernelError):
        membarrier.wait_for_packets()


class Library:
    """What ``membarrier`` calls, with the kernel's answer."""

    def __init__(self, answer: int) -> None:
        self.answer = answer
        self.asked: list[tuple[int, ...]] = []

    def syscall(self, *arguments: int) -> int:
        self.asked.append(arguments)
        return self.answer


@pytest.mark.parametrize(
    ("machine", "answer", "asked", "yields"),
    [
        ("x86_64", 0, [(324, 2, 0, 0)], 0),
        ("aarch64", 0, [(283, 2, 0, 0)], 0),
        ("x86_64", -1, [(324, 2, 0, 0)], 1),
        ("riscv64", 0, [], 1),
    ],
)
def test_where_the_kernel_has_no_barrier_for_us_the_scheduler_has(
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    answer: int,
    asked: list[tuple[int, ...]],
    yields: int,
) -> None:
    library, yielded = Library(answer), []
    monkeypatch.setattr(membarrier, "_libc", library)
    monkeypatch.setattr(membarrier.platform, "machine", lambda: machine)
    monkeypatch.setattr(membarrier.os, "sched_yield", lambda: yielded.append(1))

    membarrier.fence()

    assert (library.asked, len(yielded)) == (asked, yields)


def test_this_machine_has_a_barrier_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    yielded: list[int] = []
    monkeypatch.setattr(membarrier.os, "sched_yield", lambda: yielded.append(1))

    membarrier.fence()

    assert yielded == []
