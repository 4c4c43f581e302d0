"""The backends: elements that packets read while they change."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane import abi
from dataplane.abi import ffi
from dataplane.backends import Backends
from dataplane.records import Backend, Segment, Tag

COUNT = 8
SIZE = abi.sizeof("gw_backend")
WEB = Backend(0, ip_address("10.0.0.1"), 80, Segment(2), b"\2" * 6, b"\3" * 6)
MOVED = replace(WEB, segment=Segment(3, (Tag(5),)), mac=b"\4" * 6, source_mac=b"\5" * 6)
OTHER = replace(MOVED, address=ip_address("2001:db8::7"), service_id=4)

ways = st.sampled_from([WEB, MOVED, OTHER, replace(WEB, is_down=True), None])
changes = st.lists(st.tuples(st.integers(0, COUNT - 1), ways), max_size=40)


class Memory:
    """The array as the kernel has it, and what packets saw at each barrier."""

    def __init__(self) -> None:
        self.bytes = bytearray(SIZE * COUNT)
        self.waits = 0
        self.seen: list[Backend | None] = []  # element 1, at each fence

    def open(self) -> Backends:
        return Backends(memoryview(self.bytes), self._wait, self._fence)

    def element(self, number: int = 1) -> bytes:
        return bytes(self.bytes[number * SIZE : (number + 1) * SIZE])

    def _wait(self) -> None:
        self.waits += 1

    def _fence(self) -> None:
        self.seen.append(Backend.unpack(self.element()))


@given(changes)
def test_packets_see_what_was_put_last_and_not_what_was_removed(steps) -> None:
    memory = Memory()
    backends, wanted = memory.open(), {}

    for number, backend in steps:
        if backend is None:
            backends.remove(number)
            wanted.pop(number, None)
        else:
            backends.put(number, backend)
            wanted[number] = backend

        assert backends.read() == memory.open().read() == wanted
        assert list(backends.used()) == sorted(wanted)
    assert backends.strays == 0


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        pytest.param(None, WEB, [None], id="a new one is nobody's until all is there"),
        pytest.param(WEB, MOVED, [WEB], id="another way is written beside the one in use"),
        pytest.param(WEB, OTHER, [None], id="another's number is nobody's in between"),
        pytest.param(WEB, replace(WEB, is_down=True), [], id="a flag changes at once"),
        pytest.param(WEB, WEB, [], id="what is the same is not written"),
    ],
)
def test_before_a_change_counts_packets_see_what_was_before(
    old: Backend | None, new: Backend, seen: list[Backend | None]
) -> None:
    memory = Memory()
    backends = memory.open()
    if old:
        backends.put(1, old)
    memory.seen.clear()

    backends.put(1, new)

    assert memory.seen == seen
    assert Backend.unpack(memory.element()) == new


def test_the_way_that_packets_may_still_be_reading_is_left_alone() -> None:
    memory = Memory()
    backends = memory.open()
    backends.put(1, WEB)
    first = hops(memory)[0]

    backends.put(1, MOVED)

    assert hops(memory)[0] == first
    waits = memory.waits
    backends.put(1, replace(WEB, mac=b"\6" * 6))
    assert memory.waits == waits + 1


def test_one_wait_does_for_all_that_changed_before_it() -> None:
    memory = Memory()
    backends = memory.open()

    for number in range(COUNT):
        backends.put(number, replace(WEB, port=number))
    assert memory.waits == 1  # whoever was here before may have written just now

    for number in range(COUNT):
        backends.put(number, replace(MOVED, port=number))
    assert memory.waits == 1
    for number in range(COUNT):
        backends.put(number, replace(WEB, port=number))
    assert memory.waits == 2


def test_a_number_that_was_given_back_is_written_when_nobody_reads_it_any_more() -> None:
    memory = Memory()
    backends = memory.open()
    backends.put(1, WEB)
    waits, before = memory.waits, hops(memory)

    backends.remove(1)
    assert (memory.waits, hops(memory)) == (waits, before)
    backends.put(1, OTHER)

    assert memory.waits == waits + 1


def test_no_record_leads_to_a_number_that_was_given_back() -> None:
    memory = Memory()
    backends = memory.open()
    backends.put(1, WEB)

    backends.remove(1)

    entry = ffi.from_buffer("struct gw_backend *", memory.element())
    assert (entry.is_used, entry.owner) == (0, 0)


def hops(memory: Memory) -> list[bytes]:
    """Return the bytes of both ways of element 1."""
    entry = ffi.from_buffer("struct gw_backend *", memory.element())
    return [bytes(ffi.buffer(ffi.addressof(entry.hops[place]))) for place in (0, 1)]
