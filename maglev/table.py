"""The table of Eisenbud et al., "Maglev", NSDI'16, section 3.4, with exact weights.

A backend's preference list over the slots comes from its identity and nothing else, so the
order of configuration, restarts and the node do not matter. The arithmetic is in C, in
table.c and permutation.c; twin.py is the same in plain Python.
"""

from array import array
from collections.abc import Iterable
from functools import lru_cache
from itertools import count, takewhile
from operator import index
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maglev.native import ffi, lib

NOBODY: Final[int] = lib.MAGLEV_NOBODY  # the owner of a slot that nobody can have
MAX_BACKENDS: Final = 0xFFFF
MAX_WEIGHT: Final = 0xFFFF
MAX_SIZE: Final = 1 << 24  # slots
MAX_SEED: Final = (1 << 64) - 1
_GREATEST_PRIME: Final = 16_777_213  # of those up to MAX_SIZE

# Primes, so that every skip visits every slot; 65537 and 655373 are the paper's.
_SIZES: Final = (4093, 8191, 16381, 65537, 655373)
_SLOTS_PER_BACKEND: Final = 100  # keeps equal shares within 1 % of each other; paper, 3.4

Table = NDArray[np.int32]  # the owner of each slot, an index of a backend; read-only


def default_size(backends: int) -> int:
    """Return the slots that a table of so many backends should have."""
    wanted = backends * _SLOTS_PER_BACKEND
    return next((size for size in _SIZES if size >= wanted), _SIZES[-1])


def build(backends: Iterable[tuple[bytes, int]], size: int, seed: int = 0) -> Table:
    """Return for each of ``size`` slots the index in ``backends`` of its owner.

    ``backends`` are (identity, weight) pairs: identities any bytes, no two alike, weights
    0…65535 in any ratio. ``size`` is a prime up to 2²⁴, not less than there are backends.
    ``seed`` (0…2⁶⁴-1) gives other tables of the same backends. The number of slots of a
    backend differs from its exact share by less than one.

    Raises ValueError if any of these is something else, or if all weights are 0.
    """
    pairs = list(backends)
    permutations = Permutations([identity for identity, _ in pairs], size, seed)
    return permutations.build([weight for _, weight in pairs])


class Permutations:
    """The preference lists of backends over the slots of a table.

    They stay when weights or health change: keep them, and a rebuild is cheaper. For
    several threads at once, since nothing here changes.
    """

    def __init__(self, identities: Iterable[bytes], size: int, seed: int = 0) -> None:
        """Compute them; the arguments are those of :func:`build`.

        Raises ValueError as it does.
        """
        self.identities: Final = tuple(map(_frozen, identities))
        self.size: Final = index(size)
        self.seed: Final = index(seed)
        backends = len(self.identities)
        _check(backends, self.size, self.seed)
        self.lists: Final = ffi.new("struct maglev_permutation[]", backends)
        self.turns: Final = ffi.new("uint32_t[]", backends)
        alike = ffi.new("uint32_t[2]")
        run(
            lib.maglev_permute(
                ffi.from_buffer(b"".join(self.identities)),
                ffi.from_buffer("uint32_t[]", array("I", map(len, self.identities))),
                backends,
                self.seed,
                self.size,
                self.lists,
                self.turns,
                alike,
            )
        )
        one, other = sorted(alike)
        if one != other:
            raise ValueError(
                f"backends {one} and {other} have the same identity, "
                f"{self.identities[one]!r}: each one needs its own"
            )

    def build(self, weights: Iterable[int]) -> Table:
        """Return the table for these weights, one for each identity, in their order.

        Raises ValueError as :func:`build` does.
        """
        table = np.empty(self.size, np.int32)
        run(
            lib.maglev_build(
                self.lists,
                self.turns,
                ffi.from_buffer("uint16_t[]", self.check_weights(weights)),
                len(self.identities),
                self.size,
                ffi.from_buffer("int32_t[]", table),
            )
        )
        table.flags.writeable = False
        return table

    def check_weights(self, weights: Iterable[int]) -> "array[int]":
        """Return the weights for C; raise ValueError if they are not as they should be."""
        backends, listed = len(self.identities), list(weights)
        if len(listed) != backends:
            raise ValueError(f"there are {len(listed)} weights for {backends} backends")
        try:
            checked = array("H", listed)  # of a list: an array of bytes would be taken raw
        except OverflowError:
            wrong = next(at for at in range(backends) if not 0 <= listed[at] <= MAX_WEIGHT)
            raise ValueError(
                f"weight {listed[wrong]} of backend {self.identities[wrong]!r} "
                f"is not in 0…{MAX_WEIGHT}"
            ) from None
        if not any(checked):
            raise ValueError(
                f"all weights are 0: at least one of the {backends} backends "
                f"needs one in 1…{MAX_WEIGHT}"
            )
        return checked


def check_indices(indices: Iterable[int], backends: int) -> frozenset[int]:
    """Return the indices of backends; raise if they are something else.

    ValueError if an index is out of range, TypeError if it is no integer. A truth value is
    none: it would be that of a mask.
    """
    checked = frozenset(map(_index, indices))
    for number in checked:
        if not 0 <= number < backends:
            raise ValueError(f"backend {number} is not in 0…{backends - 1}")
    return checked


def _index(number: int) -> int:
    if isinstance(number, bool | np.bool_):
        raise TypeError("backends are named by their indices, not by a mask")
    return index(number)


def _frozen(identity: bytes) -> bytes:
    """Return an identity that has the bytes that its length says."""
    return identity if type(identity) is bytes else bytes(memoryview(identity))


def run(result: int) -> None:
    """Raise MemoryError if C could not do it."""
    if result == lib.MAGLEV_NO_MEMORY:
        raise MemoryError


def _check(backends: int, size: int, seed: int) -> None:
    if not 1 <= backends <= MAX_BACKENDS:
        raise ValueError(f"a table needs 1…{MAX_BACKENDS} backends, not {backends}")
    if not 2 <= size <= MAX_SIZE:  # noqa: PLR2004 - the smallest prime
        raise ValueError(f"size {size} is not in 2…{MAX_SIZE}")
    if not _is_prime(size):
        raise ValueError(f"size {size} is not a prime; {_prime_from(size)} is one")
    if size < backends:
        raise ValueError(
            f"size {size} is smaller than {backends}, the number of backends: "
            f"{_prime_from(backends)} is large enough"
        )
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed {seed} is not in 0…{MAX_SEED}")


def _prime_from(number: int) -> int:
    """Return the prime from ``number`` on, or the greatest there may be."""
    number = min(number, _GREATEST_PRIME)
    return next(candidate for candidate in count(number) if _is_prime(candidate))


@lru_cache
def _is_prime(number: int) -> bool:
    """Tell whether ``number``, from 2, is prime; by trial division, enough for sizes."""
    divisors = takewhile(lambda divisor: divisor * divisor <= number, count(2))
    return all(number % divisor for divisor in divisors)
