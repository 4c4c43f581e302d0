"""Places for rings in the arena of slots. Pure.

A ring that changes is written beside the old one, and all may change at once: hence the
rings of a state take half of the arena at most. When a round has ended they are all in one
half, wherever that has room, and the other is free: it takes them all whenever the gaps
between those that stay are too small. So no history of changes can cut the arena to pieces.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence

from dataplane.image import Ring


def place(rings: Sequence[Ring], known: Mapping[int, Ring], slots: int) -> list[int | None]:
    """Return an offset for each ring, where it is already or beside all that are ``known``.

    None: there is no room for it in this round. That comes from a round that did not get to
    its end, and never while all that is known is in one half. An empty ring is at 0.
    """
    for part in _halves(rings, known, slots):
        offsets = _place_within(part, rings, known)
        if None not in offsets:
            return offsets
    return _place_within(range(slots), rings, known)


def first_gap(size: int, part: range, taken: Iterable[tuple[int, int]]) -> int | None:
    """Return where the first ``size`` free slots of ``part`` are; None: nowhere.

    ``taken`` are the first slot of each ring and the one after its last, in their order.
    """
    offset = part.start
    for start, end in taken:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset if offset + size <= part.stop else None


def _halves(
    rings: Iterable[Ring], known: Mapping[int, Ring], slots: int
) -> tuple[range, range]:
    """Return the halves of the arena, the one first where more stays as it is."""
    half, stay = slots // 2, set(rings)
    lower, upper = range(half), range(slots - half, slots)
    staying = {offset: len(ring) for offset, ring in known.items() if ring in stay}
    in_upper = sum(size for offset, size in staying.items() if offset in upper)
    return (upper, lower) if 2 * in_upper > sum(staying.values()) else (lower, upper)


def _is_within(part: range, offset: int, ring: Ring) -> bool:
    return part.start <= offset and offset + len(ring) <= part.stop


def _place_within(
    part: range, rings: Sequence[Ring], known: Mapping[int, Ring]
) -> list[int | None]:
    here = {ring: at for at, ring in known.items() if _is_within(part, at, ring)}
    taken = sorted((at, at + len(ring)) for at, ring in known.items())
    offsets: list[int | None] = []
    for ring in rings:
        offset = here.get(ring) if ring else 0
        if offset is None and (offset := first_gap(len(ring), part, taken)) is not None:
            insort(taken, (offset, offset + len(ring)))
            here[ring] = offset  # services with equal rings share one
        offsets.append(offset)
    return offsets
