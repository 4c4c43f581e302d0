"""What of many flows is news to a peer, and columns of them compared. Pure."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from control.addresses import IpAddress
from dataplane.records import Address

# A flow that goes on is told anew after this part of the time in which it may be silent,
# and after so many nanoseconds at least.
_REFRESH_PART: Final = 4
_REFRESH_MOST: Final = 60_000_000_000


class News:
    """Remembers which flows a peer was told of: 20 bytes for each."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._digests = np.empty(0, np.uint64)  # in order
        self._seen = np.empty(0, np.uint64)  # as it was told
        self._ways = np.empty(0, np.uint32)

    def choose(self, flows: Any, ways: Any, seen_ns: Any, patience_ns: Any) -> Any:
        """Return which of ``flows``, all there are now, are to be told: they count as told.

        ``ways`` say with 32 bits each where a flow goes, ``patience_ns`` how long it may be
        silent.
        """
        digests = digests_of(flows)
        order = np.argsort(digests)
        digests, ways, seen_ns = digests[order], ways[order], seen_ns[order]
        refresh_ns = np.minimum(patience_ns // np.uint64(_REFRESH_PART), _REFRESH_MOST)
        refresh_ns = np.broadcast_to(refresh_ns, len(order))[order]
        told_seen, same = self._told(digests, ways)
        news = ~same | (seen_ns > told_seen + refresh_ns)
        self._digests, self._ways = digests, ways
        self._seen = np.where(news, seen_ns, told_seen)
        chosen = np.empty(len(order), np.bool_)
        chosen[order] = news
        return chosen

    def _told(self, digests: Any, ways: Any) -> tuple[Any, Any]:
        """Return when each flow was seen by what was told, and whether it was told so."""
        if not len(self._digests):
            return np.zeros(len(digests), np.uint64), np.zeros(len(digests), np.bool_)
        at = np.minimum(np.searchsorted(self._digests, digests), len(self._digests) - 1)
        same = (self._digests[at] == digests) & (self._ways[at] == ways)
        return np.where(same, self._seen[at], 0), same


def digests_of(column: Any) -> Any:
    """Return 64 bits for each element, all but surely its own; they are of 8n bytes."""
    parts = column.dtype.itemsize // 8
    words = np.ascontiguousarray(column).view(np.uint64).reshape(-1, parts)
    mixed = np.zeros(len(words), np.uint64)
    for part in range(parts):
        mixed = (mixed ^ words[:, part]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


def are_among(column: Any, addresses: Iterable[IpAddress]) -> Any:
    """Return which elements of a column of addresses are one of these."""
    packed = b"".join(Address(each).pack() for each in addresses)
    return np.isin(digests_of(column), digests_of(np.frombuffer(packed, "V16")))


def idle_of(seen_ns: Any, now_ns: int) -> Any:
    """Return for how many nanoseconds each flow was silent; another CPU may be ahead."""
    return now_ns - np.minimum(seen_ns, np.uint64(now_ns))
