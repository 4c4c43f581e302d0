"""What the program wrote, moved into its successor's maps while packets flow.

Where a map of the successor has the shape of the one before, it *is* that one, and nothing
has to be moved. Else, because the limits are others, records and counters are copied before
the successor gets packets; what the old program wrote after that is added once it gets no
more.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from dataplane import libbpf
from dataplane.abi import KEPT_MAPS, ffi, sizeof
from dataplane.maps import Maps
from dataplane.records import Index

_Entry = tuple[int, ...]  # packets and bytes of one entry, of all CPUs


class Succession:
    """From one data plane's maps to those of another, which gets no packets yet."""

    def __init__(self, old: Maps, new: Maps) -> None:
        """Copy what is there now."""
        self._old, self._new = old, new
        moved = [name for name in KEPT_MAPS if old.id(name) != new.id(name)]
        self._records = "records" in moved
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
        if self._records:
            self._move_records(self._copied_ns)
        self._copied_ns = now_ns

    def _move_counters(
        self, name: str, before: Mapping[int, _Entry]
    ) -> Mapping[int, _Entry]:
        """Add to the successor's counters what was counted since ``before``."""
        fd, room = self._new.fd(name), self._new.shape(name).max_entries
        size = sizeof("gw_counter") * libbpf.possible_cpus()
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

    def _move_records(self, since_ns: int) -> None:
        """Copy the records of all flows; the second time, of those seen since the first."""
        for keys, values in libbpf.map_batches(self._old.fd("records")):
            records = ffi.from_buffer("struct gw_record[]", values)
            if not since_ns and len(records):
                new = self._new.fd("records")
                libbpf.map_update_batch(new, keys, values, len(records))
                continue
            for number, record in enumerate(records):
                if record.seen_ns >= since_ns:
                    self._put_record(_part(keys, "gw_flow", number), values, number)

    def _put_record(self, key: bytes, values: bytes, number: int) -> None:
        """Copy one record, unless the successor has seen that flow itself."""
        fd, size = self._new.fd("records"), sizeof("gw_record")
        value = _part(values, "gw_record", number)
        there = libbpf.map_lookup(fd, key, size)
        if there is None or _seen_ns(there) < _seen_ns(value):
            libbpf.map_update(fd, key, value)


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


def _part(data: bytes, struct: str, number: int) -> bytes:
    size = sizeof(struct)
    return data[number * size : (number + 1) * size]


def _seen_ns(record: bytes) -> int:
    value: Any = ffi.from_buffer("struct gw_record *", record)
    return int(value.seen_ns)
