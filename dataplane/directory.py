"""The directory: what each VIP, service and NAT backend is; a hash table in two arrays.

``bpf/directory.h`` is its reader. We write an entry where no packet looks, then the word
that points to it; the kernel's memory is ours too, so neither takes a system call. An entry
that was pointed to is left alone until no packet can be reading it any more. All that there
is to know stands in the arrays: who opens them goes on, wherever the last one was stopped.
"""

from collections.abc import Callable, Iterator
from typing import Final

from dataplane import abi
from dataplane.abi import constants
from dataplane.errors import FullError
from dataplane.mirror import Mirror

KEY_BYTES: Final = abi.sizeof("gw_endpoint")
VALUE_BYTES: Final = abi.sizeof("gw_entry") - abi.ffi.offsetof("struct gw_entry", "service")
_VALUE_START: Final = abi.ffi.offsetof("struct gw_entry", "service")
_REACH: Final[int] = constants.GW_DIRECTORY_REACH
_FACTORS: Final[tuple[int, ...]] = (
    constants.GW_HASH_FIRST,
    constants.GW_HASH_SECOND,
    constants.GW_HASH_THIRD,
    constants.GW_HASH_FOURTH,
    constants.GW_HASH_FIFTH,
)
_CHUNK: Final = 4096  # words that are looked at together: most are 0
_NEVER: Final = 0  # a word where nobody ever was: a search ends here
_GONE: Final = 1 << 32  # a word of somebody who went: a search goes on; entry 0 is nobody's


def hash_of(key: bytes) -> int:
    """Return the hash of ``struct gw_endpoint``; that of ``hash_endpoint`` in C."""
    words = memoryview(key).cast("I")
    total = sum(factor * word for factor, word in zip(_FACTORS, words, strict=True))
    return total % (1 << 64) >> 32


class Directory:
    """The directory of one data plane, in memory shared with the kernel."""

    def __init__(
        self,
        words: memoryview,
        entries: memoryview,
        wait_for_packets: Callable[[], None],
        fence: Callable[[], None],
    ) -> None:
        """Take the memory of both arrays; nothing is written before the first change."""
        self._words = Mirror(words.cast("B").cast("Q"))
        self._entries = Mirror(entries.cast("B"))
        self._wait = wait_for_packets
        self._fence = fence
        self._free: list[int] = []  # numbers of entries that can be written
        self._left: list[int] = []  # of entries that a packet may still be reading
        self.strays = 0  # words that nobody of us wrote and that were removed, so far
        self.read()

    def read(self) -> dict[bytes, bytes]:
        """Return the value of each key, as packets find them.

        Words that they do not find their way to, or that lead nowhere, are removed.
        """
        self._words.accept()
        self._entries.accept()
        found: dict[bytes, bytes] = {}
        used = {0}
        for place in self._taken():
            number = self._words[place] & 0xFFFFFFFF
            key = self._key(number) if number < self._entry_count else b""
            if not any(key) or self._find(key, hash_of(key)) != place:
                self._words[place] = _GONE
                self.strays += 1
                continue
            found[key] = self._value(number)
            used.add(number)
        self._free = []
        self._left = [n for n in range(self._entry_count) if n not in used]
        return found

    @property
    def is_intact(self) -> bool:
        """Whether everything is as :meth:`read` has found it and we have changed it."""
        return self._words.is_intact and self._entries.is_intact

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and value of what the words lead to now; from any thread."""
        for place in self._taken():
            number = self._words[place] & 0xFFFFFFFF
            if number < self._entry_count:
                yield self._key(number), self._value(number)

    def put(self, key: bytes, value: bytes) -> None:
        """Let packets find ``value`` under ``key``, instead of what they found before.

        Raises FullError, and then nothing has changed.
        """
        tag = hash_of(key)
        place = self._find(key, tag)
        old = None if place is None else self._words[place]
        if place is None:
            place = self._find_room(tag)
        number = self._take()
        start = number * abi.sizeof("gw_entry")
        self._entries[start : start + KEY_BYTES] = key
        start += _VALUE_START
        self._entries[start : start + VALUE_BYTES] = value.ljust(VALUE_BYTES, b"\0")
        self._fence()  # the rings, too, that the entry may name are there before it
        self._words[place] = tag << 32 | number
        if old is not None:
            self._left.append(old & 0xFFFFFFFF)

    def remove(self, key: bytes) -> None:
        """Let packets find nothing under ``key``; if they do not already, that is fine."""
        place = self._find(key, hash_of(key))
        if place is None:
            return
        self._left.append(self._words[place] & 0xFFFFFFFF)
        self._words[place] = _GONE
        # Whoever comes to the last ones before an end would have gone on to that end.
        while self._words[place] == _GONE and self._words[self._next(place)] == _NEVER:
            self._words[place] = _NEVER
            place = (place - 1) % len(self._words)

    @property
    def _entry_count(self) -> int:
        return len(self._entries) // abi.sizeof("gw_entry")

    def _taken(self) -> Iterator[int]:
        """Yield the places of all words that lead to an entry, or seem to."""
        for start in range(0, len(self._words), _CHUNK):
            chunk = self._words[start : start + _CHUNK].tolist()
            if any(chunk):
                for place, word in enumerate(chunk, start):
                    if word not in (_NEVER, _GONE):
                        yield place

    def _next(self, place: int) -> int:
        return (place + 1) % len(self._words)

    def _search(self, tag: int) -> Iterator[int]:
        """Yield the places that packets look at for that hash."""
        return ((tag + step) % len(self._words) for step in range(_REACH))

    def _find(self, key: bytes, tag: int) -> int | None:
        """Return where packets find ``key``, whose hash is ``tag``."""
        for place in self._search(tag):
            word = self._words[place]
            if word == _NEVER:
                return None
            number = word & 0xFFFFFFFF
            if (
                word >> 32 == tag
                and number < self._entry_count
                and self._key(number) == key
            ):
                return place
        return None

    def _find_room(self, tag: int) -> int:
        for place in self._search(tag):
            if self._words[place] in (_NEVER, _GONE):
                return place
        raise FullError("directory", "too many endpoints have nearly the same hash")

    def _take(self) -> int:
        if not self._free:
            self._wait()
            self._free, self._left = self._left, []
        if not self._free:
            raise FullError("directory", f"all {self._entry_count} entries are in use")
        return self._free.pop()

    def _key(self, number: int) -> bytes:
        start = number * abi.sizeof("gw_entry")
        return bytes(self._entries[start : start + KEY_BYTES])

    def _value(self, number: int) -> bytes:
        start = number * abi.sizeof("gw_entry") + _VALUE_START
        return bytes(self._entries[start : start + VALUE_BYTES])
