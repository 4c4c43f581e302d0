"""The same tables in plain Python, written as the papers say it: slow and easy to check.

The tests compare native code with this. Needs xxhash, which comes with the development
tools; nothing else imports it.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from xxhash import xxh3_128_intdigest

_NOBODY: Final = -1
_WORD: Final = (1 << 64) - 1


def build(backends: Sequence[tuple[bytes, int]], size: int, seed: int = 0) -> list[int]:
    """Return the table: "Maglev", NSDI'16, section 3.4, pseudo-code 1."""
    order = claims(backends, size, seed)
    preferences = [permutation(identity, size, seed) for identity, _ in backends]
    entry = [_NOBODY] * size
    for backend in order:
        slot = next(slot for slot in preferences[backend] if entry[slot] == _NOBODY)
        entry[slot] = backend
    return entry


def permutation(identity: bytes, size: int, seed: int) -> Iterator[int]:
    """Return an iterator over the slots in the order in which ``identity`` wants them."""
    hash_128 = xxh3_128_intdigest(identity, seed)
    offset = (hash_128 & _WORD) % size
    skip = (hash_128 >> 64) % (size - 1) + 1
    return iter((offset + j * skip) % size for j in range(size))


def claims(backends: Sequence[tuple[bytes, int]], size: int, seed: int) -> list[int]:
    """Return who claims a slot, claim by claim.

    The paper's backends take turns, one slot each; here a backend's claim k is due in
    round (k + 1/2) · (greatest weight) / (its weight).
    """
    heaviest = max(weight for _, weight in backends)
    turns = _turns(backends, seed)
    shares = _shares(backends, size, turns)
    due = sorted(
        ((2 * claim + 1) * heaviest // (2 * backends[backend][1]), turn)
        for turn, backend in enumerate(turns)
        for claim in range(shares[backend])
    )
    return [turns[turn] for _, turn in due]


def overlay(
    table: Sequence[int],
    backends: Sequence[tuple[bytes, int]],
    down: AbstractSet[int],
    seed: int = 0,
    zones: Sequence[Any] | None = None,
) -> list[int]:
    """Return ``table`` with each slot of a backend in ``down`` given to a survivor."""
    survivors = [
        index
        for index in _turns(backends, seed)
        if backends[index][1] and index not in down
    ]
    keys = [key(identity, seed) for identity, _ in backends]

    def stand_in(slot: int, owner: int) -> int:
        others = survivors
        if zones is not None:
            others = [i for i in survivors if zones[i] != zones[owner]] or survivors
        spread = _mix(slot + 1)
        return min(
            others,
            key=lambda i: _minus_log(_mix(keys[i] ^ spread)) / backends[i][1],
            default=_NOBODY,
        )

    return [
        stand_in(slot, owner) if owner in down else owner
        for slot, owner in enumerate(table)
    ]


def key(identity: bytes, seed: int) -> int:
    """Return the 64 bits that stand for a backend in rendezvous hashing and in turns."""
    return xxh3_128_intdigest(identity, seed) & _WORD


def _turns(backends: Sequence[tuple[bytes, int]], seed: int) -> list[int]:
    """Return the backends in the order in which they claim; not that of configuration."""

    def place(index: int) -> tuple[int, bytes]:
        identity = backends[index][0]
        return key(identity, seed), identity

    return sorted(range(len(backends)), key=place)


def _shares(
    backends: Sequence[tuple[bytes, int]], size: int, turns: Sequence[int]
) -> list[int]:
    """Return the slots of each backend: the method of largest remainders (Hamilton)."""
    total = sum(weight for _, weight in backends)
    shares = [weight * size // total for _, weight in backends]
    by_remainder = sorted(turns, key=lambda i: -(backends[i][1] * size % total))
    for index in by_remainder[: size - sum(shares)]:
        shares[index] += 1
    return shares


def _mix(word: int) -> int:
    """Return a bijective scramble of a 64-bit word: the finaliser of SplitMix64."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31


def _minus_log(hash_64: int) -> float:
    """Return -ln(1 - x) to 10 digits, x being the hash as a fraction.

    Not math.log: with nothing but operations that IEEE 754 rounds exactly, all machines
    agree to the last bit.
    """
    rest, halvings = 1 - ((hash_64 >> 12) + 0.5) / 2**52, 0.0
    while rest < 0.7:  # noqa: PLR2004 - about the square root of 1/2
        rest, halvings = rest + rest, halvings + 1
    s = (1 - rest) / (1 + rest)
    series = 0.0
    for odd in (13, 11, 9, 7, 5, 3, 1):
        series = 1 / odd + s * s * series
    return 2 * s * series + halvings * 0.6931471805599453
