"""The gates: a bit for each address that packets may concern us by.

Most packets of a busy host are not for a VIP. One bit says so, before the directory is
searched for each role that an address may have; a bit too many costs searches only.
"""

from array import array
from collections.abc import Iterable
from typing import Final

from dataplane import abi
from dataplane.mirror import Mirror
from dataplane.records import Address, IpAddress

_WORD_BITS: Final = 64
_WORDS: Final = abi.sizeof("gw_gates") * 8 // _WORD_BITS
_MULTIPLIER: Final = 0x9E3779B1  # 2³² over the golden ratio


def gate_of(address: IpAddress) -> int:
    """Return the bit of an address; the same as ``gate_of`` in ``bpf/lookup.h``."""
    first, second, third, fourth = memoryview(Address(address).pack()).cast("I")
    return (first ^ second ^ third ^ fourth) * _MULTIPLIER % (1 << 32) >> 16


class Gates:
    """The gates of one data plane, in memory shared with the kernel."""

    def __init__(self, words: memoryview) -> None:
        """Take the memory of ``struct gw_gates``."""
        self._words = Mirror(words.cast("B").cast("Q"))

    @property
    def is_intact(self) -> bool:
        """Whether they are as we have left them."""
        return self._words.is_intact

    def open(self, address: IpAddress) -> None:
        """Let packets of ``address`` be looked up; before anything is written of it."""
        word, bit = divmod(gate_of(address), _WORD_BITS)
        self._words[word] |= 1 << bit

    def become(self, addresses: Iterable[IpAddress]) -> int:
        """Leave open what belongs to ``addresses``, and close all others.

        Return how many were closed that should have been open. A word changes at once, and
        bits that stay set are never cleared in between.
        """
        wanted = array("Q", bytes(8 * _WORDS))
        for gate in map(gate_of, addresses):
            wanted[gate // _WORD_BITS] |= 1 << gate % _WORD_BITS
        missing = 0
        for number, word in enumerate(wanted):
            if self._words[number] != word:
                missing += (word & ~self._words[number]).bit_count()
                self._words[number] = word
        self._words.accept()
        return missing
