"""The contents of all maps that the controller writes, as one value."""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from dataplane.records import (
    Address,
    Backend,
    Endpoint,
    Index,
    Port,
    Prefix,
    Return,
    Segment,
    Service,
)


@dataclass(frozen=True, slots=True)
class Ring:
    """The slots of a service; compared, hashed and copied at the speed of memory."""

    words: bytes  # of each slot: backend's id, and whose it was before; 32 bits, host order

    @classmethod
    def of(cls, backends: Iterable[int], before: Iterable[int] | None = None) -> Self:
        """Return the ring of these ids, by slot; without ``before``, not in transition."""
        ids = array("I", backends)
        pairs = array("I", bytes(8 * len(ids)))
        pairs[::2] = ids
        if before is not None:
            pairs[1::2] = array("I", before)
        return cls(pairs.tobytes())

    def __len__(self) -> int:
        return len(self.words) // 8

    def __iter__(self) -> Iterator[int]:
        return iter(self.view()[::2])

    @property
    def before(self) -> memoryview:
        """Who had the slots: ids, NO_BACKEND_ID or RECORDS_ONLY."""
        return self.view()[1::2]

    def view(self) -> memoryview:
        """Return all words, two for each slot."""
        return memoryview(self.words).cast("I")


def _empty() -> Any:
    return field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """One mapping per map. ``rings`` stands for ``slots``: a ring by its offset.

    Rings do not overlap, and each one that a service names is there.
    """

    ports: Mapping[Index, Port] = _empty()
    vlans: Mapping[Segment, Port] = _empty()
    transmit_ports: Mapping[Index, Index] = _empty()  # to the interface's index
    direct: Mapping[Prefix, Index] = _empty()  # to 1: only being there counts
    backends: Mapping[Index, Backend] = _empty()
    returns: Mapping[Endpoint, Return] = _empty()
    rings: Mapping[int, Ring] = _empty()
    vips: Mapping[Address, Index] = _empty()  # to 1, as in `direct`
    services: Mapping[Endpoint, Service] = _empty()


# A packet reads services, then rings, then backends, then the way out: later in this list
# first.
FILL_ORDER: Final = (
    "ports",
    "vlans",
    "transmit_ports",
    "direct",
    "backends",
    "returns",
    "rings",
    "vips",
    "services",
)
