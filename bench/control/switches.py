"""When packets begin to go another way: the directory of a data plane, looked at by memory.

Whatever becomes of a service becomes effective by one word of the directory, so this sees
what packets see, and asks guidewayd nothing.
"""

import mmap
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.control.topology import vip_of
from dataplane import abi, libbpf
from dataplane.abi import constants
from dataplane.directory import KEY_BYTES
from dataplane.records import Endpoint, Service

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EVERY: Final = 0.001  # seconds
_VALUE_START: Final = abi.ffi.offsetof("struct gw_entry", "service")
_PLACES: Final = {name: abi.sizeof(f"gw_{name}") for name in ("entry", "slot")}


@dataclass(frozen=True, slots=True)
class Switch:
    """A service that packets go by, from that moment on."""

    time: float  # monotonic seconds
    endpoint: Endpoint
    backends: int  # that new flows go to


class Directory:
    """The pinned maps of a data plane, read only."""

    def __init__(self, pins: Path) -> None:
        """Open what is pinned at ``pins``."""
        self._words: NDArray[np.uint64] = np.frombuffer(
            _memory(pins / "directory", 8), np.uint64
        )
        self._entries = _memory(pins / "endpoints", _PLACES["entry"])
        self._slots: NDArray[np.uint32] = np.frombuffer(
            _memory(pins / "slots", _PLACES["slot"]), np.uint32
        )

    @contextmanager
    def watched(self) -> Iterator[list[Switch]]:
        """Note what changes while the block runs, in the list that it gets."""
        done, seen = Event(), list[Switch]()
        thread = Thread(target=self._watch, args=(self._words.copy(), seen, done))
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()

    def _watch(self, before: "NDArray[np.uint64]", seen: list[Switch], done: Event) -> None:
        while not done.wait(_EVERY):
            now = self._words.copy()
            moment = time.monotonic()
            changed = np.flatnonzero(now != before).tolist()
            before = now
            found = (self._switch(int(now[place]), moment) for place in changed)
            seen.extend(switch for switch in found if switch)

    def _switch(self, word: int, moment: float) -> Switch | None:
        size, number = _PLACES["entry"], word & 0xFFFFFFFF
        entry = bytes(self._entries[number * size : (number + 1) * size])
        key, value = entry[:KEY_BYTES], entry[_VALUE_START:]
        if key[-1] != constants.GW_ROLE_SERVICE:
            return None
        service = Service.unpack(value)
        start, end = service.ring_offset, service.ring_offset + service.ring_size
        owners = np.unique(self._slots[2 * start : 2 * end : 2])
        return Switch(moment, Endpoint.unpack(key), len(owners))


def is_of(switch: Switch, service: int) -> bool:
    """Tell whether that service switched, by its number."""
    return switch.endpoint.address == vip_of(service)


def _memory(path: Path, element_bytes: int) -> memoryview:
    fd = libbpf.get(path)
    try:
        length = libbpf.map_shape(fd).max_entries * element_bytes
        pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        shared: Any = mmap.mmap(fd, pages, mmap.MAP_SHARED, mmap.PROT_READ)
        return memoryview(shared)[:length]
    finally:
        os.close(fd)
