"""What the program wrote, moved into its successor's maps while packets flow.

Where a map of the successor has the shape of the one before, it *is* that one, and nothing
has to be moved. Else, because the limits are others, flows and counters are copied before
the successor gets packets; what the old program wrote after that is added once it gets no
more.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Final

from dataplane import libbpf
from dataplane.abi import KEPT_MAPS, ffi, sizeof
from dataplane.maps import Maps
from dataplane.records import Index

_Entry = tuple[int, ...]  # the counters of one entry, of all CPUs
# What is known of flows: the bytes of key and value, which begins with when it was seen.
_FLOWS: Final = {
    "records": (sizeof("gw_flow"), sizeof("gw_record")),
    "replies": (sizeof("gw_reply_flow"), sizeof("gw_speaker")),
}


class Succession:
    """From one data plane's maps to those of another, which gets no packets yet."""

    def __init__(self, old: Maps, new: Maps) -> None:
        """Copy what is there now."""
        self._old, self._new = old, new
        moved = [name for name in KEPT_MAPS if old.id(name) != new.id(name)]
        self._flows = [name for name in _FLOWS if name in moved]
        self._counted: dict[str, Mapping[int, _Entry]] = {
            name: {} for name in moved if name.endswith("_counters")
        }
        self._copied_ns = 0  # CLOCK_MONOTONIC, as the program's
        self._move()

    def finish(self) -> None:
        """Add what was written since; the old program gets no more packets."""
        self._move()

    def _move(self) -> None:
        now_ns = time.monotonic_ns()
        for name, before in self._counted.items():
            self._counted[name] = self._move_counters(name, before)
        for name in self._flows:
            self._move_flows(name, self._copied_ns)
        self._copied_ns = now_ns

    def _move_counters(
        self, name: str, before: Mapping[int, _Entry]
    ) -> Mapping[int, _Entry]:
        """Add to the successor's counters what was counted since ``before``."""
        fd, room = self._new.fd(name), self._new.shape(name).max_entries
        size = self._new.shape(name).value_size * libbpf.possible_cpus()
        now = dict(_entries(self._old.values(name), size))
        for number, entry in now.items():
            nothing = (0,) * len(entry)
            gained = _sum(entry, before.get(number, nothing), sign=-1)
            if number < room and any(gained):
                key = Index(number).pack()
                # At first nothing is counted there, whatever a start that was killed left.
                value = libbpf.map_lookup(fd, key, size) if self._copied_ns else None
                have = nothing if value is None else _words(value)
                libbpf.map_update(fd, key, _packed(_sum(have, gained)))
        return now

    def _move_flows(self, name: str, since_ns: int) -> None:
        """Copy what is known of all flows; in the end, of those seen since then."""
        new, (key_size, value_size) = self._new.fd(name), _FLOWS[name]
        for keys, values in libbpf.map_batches(self._old.fd(name)):
            count = len(keys) // key_size
            if not since_ns and count:
                libbpf.map_update_batch(new, keys, values, count)
                continue
            for number in range(count):
                value = _part(values, value_size, number)
                if _seen_ns(value) >= since_ns:
                    _put_later(new, _part(keys, key_size, number), value)


def _entries(data: bytes, size: int) -> Iterator[tuple[int, _Entry]]:
    """Yield number and words of each entry that is not zero."""
    nothing = bytes(size)
    for number in range(len(data) // size):
        entry = data[number * size : (number + 1) * size]
        if entry != nothing:
            yield number, _words(entry)


def _words(entry: bytes) -> _Entry:
    return tuple(memoryview(entry).cast("Q"))


def _packed(words: _Entry) -> bytes:
    return bytes(ffi.buffer(ffi.new("uint64_t[]", words)))


def _sum(one: _Entry, other: _Entry, *, sign: int = 1) -> _Entry:
    return tuple(a + sign * b for a, b in zip(one, other, strict=True))


def _part(data: bytes, size: int, number: int) -> bytes:
    return data[number * size : (number + 1) * size]


def _put_later(fd: int, key: bytes, value: bytes) -> None:
    """Write what is known of a flow, unless the successor has seen that one itself."""
    there = libbpf.map_lookup(fd, key, len(value))
    if there is None or _seen_ns(there) < _seen_ns(value):
        libbpf.map_update(fd, key, value)


def _seen_ns(value: bytes) -> int:
    """Return the time that what is known of a flow begins with."""
    return int.from_bytes(value[:8], sys.byteorder)
