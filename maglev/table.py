"""The table of Eisenbud et al., "Maglev", NSDI'16, section 3.4, with weights.

A backend's preference list over the slots comes from its identity and nothing else, so the
order of configuration, restarts and the node do not matter.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

NOBODY: Final = -1  # fills the table if no backend has a weight

# Primes, so that every skip visits every slot; 65537 and 655373 are the paper's.
_SIZES: Final = (4093, 8191, 16381, 65537, 655373)
_SLOTS_PER_BACKEND: Final = 100  # keeps shares within 1 % of their weight; paper, 3.4


def default_size(backends: int) -> int:
    """Return the slots that a table of so many backends should have."""
    wanted = backends * _SLOTS_PER_BACKEND
    return next((size for size in _SIZES if size >= wanted), _SIZES[-1])


def build(backends: Sequence[tuple[bytes, int]], size: int) -> list[int]:
    """Return for each of ``size`` slots the index in ``backends`` of its owner.

    ``backends`` are (identity, weight) pairs, weights from 0, in any ratio: the numbers of
    slots follow the weights, rounded by less than a slot for each backend. ``size`` is a
    prime. Without any weight all slots are ``NOBODY``'s.

    Backends take turns in the order of their identities. In each round a backend gains its
    weight in credit and claims the next free slot of its preference list when it can pay
    with the greatest weight of all, so that heavy and light ones are interleaved and claim
    early and late slots alike.
    """
    table = [NOBODY] * size
    price = max((weight for _, weight in backends), default=0)
    if price == 0:
        return table
    turns = sorted(range(len(backends)), key=lambda index: backends[index][0])
    turns = [index for index in turns if backends[index][1] > 0]
    wishes = {index: _preferences(backends[index][0], size) for index in turns}
    credit = dict.fromkeys(turns, 0)
    free = size
    while True:
        for index in turns:
            credit[index] += backends[index][1]
            if credit[index] < price:
                continue
            credit[index] -= price
            slot = next(slot for slot in wishes[index] if table[slot] == NOBODY)
            table[slot] = index
            free -= 1
            if not free:
                return table


def hashes(identity: bytes) -> tuple[int, int]:
    """Return two independent 64-bit hashes of an identity."""
    digest = blake2b(identity, digest_size=16, person=b"guideway maglev").digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _preferences(identity: bytes, size: int) -> Iterable[int]:
    """Return an iterator over the slots in the order in which ``identity`` wants them."""
    first, second = hashes(identity)
    offset, skip = first % size, second % (size - 1) + 1
    return iter((offset + turn * skip) % size for turn in range(size))
