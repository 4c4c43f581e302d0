"""The backends: an array whose elements change without a packet seeing half of one.

An update by the kernel copies an element piece by piece. So an element has room for two
ways to its backend (interface, VLAN, MACs): we write the one that no packet looks at, and
then the byte that says which one counts. Everything else is written while the element is
nobody's. ``bpf/lookup.h`` is the reader.
"""

from collections.abc import Callable, Iterator
from typing import Final

from dataplane import abi
from dataplane.mirror import Mirror
from dataplane.records import Backend

_SIZE: Final = abi.sizeof("gw_backend")
_HOP_SIZE: Final = abi.sizeof("gw_hop")


def _at(field: str) -> int:
    return abi.ffi.offsetof("struct gw_backend", field)


_OWNER: Final = slice(_at("owner"), _at("owner") + 4)
_IS_USED: Final = _at("is_used")
_CURRENT: Final = _at("current")
_HOPS: Final = _at("hops")
_FLAGS: Final = (_at("is_down"), _at("is_tracked"))  # a byte each, and each by itself


class Backends:
    """The backends of one data plane, in memory shared with the kernel."""

    def __init__(
        self,
        elements: memoryview,
        wait_for_packets: Callable[[], None],
        fence: Callable[[], None],
    ) -> None:
        """Take the memory of the array; nothing is written before the first change."""
        self._elements = Mirror(elements.cast("B"))
        self._wait = wait_for_packets
        self._fence = fence
        self.strays = 0  # elements that nobody of us wrote and that were removed, so far
        # Numbers of which a packet may still be reading what does not count any more. Who
        # was here before us may have changed any of them just now.
        self._left = set(range(len(self._elements) // _SIZE))

    def read(self) -> dict[int, Backend]:
        """Return the backends by number. What is none is removed."""
        self._elements.accept()
        found = {}
        for number in self.used():
            try:
                backend = Backend.unpack(self._element(number))
            except ValueError:
                backend = None
            if backend is None:
                self.strays += 1
                self.remove(number)
            else:
                found[number] = backend
        return found

    @property
    def is_intact(self) -> bool:
        """Whether everything is as :meth:`read` has found it and we have changed it."""
        return self._elements.is_intact

    def used(self) -> Iterator[int]:
        """Yield the numbers that are somebody's; from any thread."""
        flags: bytes = self._elements[_IS_USED::_SIZE].tobytes()
        return (number for number, is_used in enumerate(flags) if is_used)

    def put(self, number: int, backend: Backend) -> None:
        """Let ``number`` be this backend's; packets see what was there before, or this."""
        start, new = number * _SIZE, backend.pack()
        old = Backend.unpack(self._element(number))
        if old is None or old.place != backend.place:
            self._fill(number, new)
            return
        for flag in _FLAGS:
            self._elements[start + flag] = new[flag]
        if old.pack()[_HOPS:] != new[_HOPS:]:
            self._settle(number)
            other = 1 - (self._elements[start + _CURRENT] & 1)
            hop = start + _HOPS + other * _HOP_SIZE
            self._elements[hop : hop + _HOP_SIZE] = new[_HOPS : _HOPS + _HOP_SIZE]
            self._fence()
            self._elements[start + _CURRENT] = other
            self._left.add(number)

    def remove(self, number: int) -> None:
        """Let ``number`` be nobody's; if it is not anybody's already, that is fine.

        Without an owner, no record leads to it, in whatever order a processor reads it.
        """
        start = number * _SIZE
        self._elements[start + _IS_USED] = 0
        self._elements[start + _OWNER.start : start + _OWNER.stop] = bytes(4)
        self._left.add(number)

    def _fill(self, number: int, new: bytes) -> None:
        """Write the whole element, which packets do not look at meanwhile."""
        start = number * _SIZE
        if self._elements[start + _IS_USED]:
            self.remove(number)
        self._settle(number)
        self._elements[start : start + _SIZE] = new[:_IS_USED] + b"\0" + new[_IS_USED + 1 :]
        self._fence()
        self._elements[start + _IS_USED] = 1

    def _settle(self, number: int) -> None:
        """Wait until no packet reads what does not count any more of this number."""
        if number in self._left:
            self._wait()
            self._left.clear()

    def _element(self, number: int) -> bytes:
        return bytes(self._elements[number * _SIZE : (number + 1) * _SIZE])
