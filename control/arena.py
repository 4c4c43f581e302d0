"""Places for rings in the arena of slots. Pure."""

from collections.abc import Mapping, Sequence

from control.errors import HostError
from dataplane.image import Image, Ring


def place(rings: Sequence[Ring], known: Image, slots: int) -> list[int]:
    """Return an offset for each ring: where it is already, or beside all old ones."""
    # A start with a smaller limit may find rings beyond it.
    here = {
        ring: offset for offset, ring in known.rings.items() if offset + len(ring) <= slots
    }
    taken = {offset: len(ring) for offset, ring in known.rings.items()}
    offsets = []
    for ring in rings:
        offset = here.get(ring, 0) if ring else 0
        if ring and ring not in here:
            offset = place_ring(len(ring), taken, slots)
            taken[offset] = len(ring)
            here[ring] = offset  # services with equal rings share one
        offsets.append(offset)
    return offsets


def place_ring(size: int, taken: Mapping[int, int], slots: int) -> int:
    """Return the first offset where ``size`` of ``slots`` slots are free.

    ``taken`` is sizes by offset. Raises HostError if there is no such place.
    """
    offset = 0
    for start in sorted(taken):
        if start - offset >= size:
            break
        offset = start + taken[start]
    if offset + size > slots:
        raise HostError(f"no room for a ring of {size} slots: raise `limits.slots`")
    return offset
