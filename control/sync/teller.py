"""What has to be told to one peer since it was told last. Pure; takes its time.

Level, not edge: it compares what is true now with what was told, so that whatever happened
in between, the peer ends up with what is true. Who connects again begins with a new teller,
and is told everything.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

import numpy as np

from control.addresses import IpAddress
from control.sync.shared import (
    MOST_IDLE_MS,
    SHARED_FLOW,
    Gone,
    Place,
    SharedFlows,
    SharedRing,
)
from control.transition import is_in_transition
from dataplane.abi import RECORDS_ONLY
from dataplane.flows import Flows, Records
from dataplane.image import Image, Ring
from dataplane.records import AFFINITY_ALWAYS, Endpoint, Index

# A flow that goes on is told anew after this part of the time in which it may be silent,
# and after so many seconds at least.
_REFRESH_PART: Final = 4
_REFRESH_MOST: Final = 60

_Shown = tuple[Ring, bool, int, tuple[Place, ...]]  # what a SharedRing was made from


class Teller:
    """Remembers what one peer was told: 20 bytes for each flow, and the rings."""

    def __init__(self, *, always: bool) -> None:
        """Tell of flows in transition; with ``always``, of all that are recorded always."""
        self._always = always
        self._rings: dict[Endpoint, _Shown] = {}
        self._image: Image | None = None  # all of whose rings were told ...
        self._own: AbstractSet[IpAddress] = frozenset()  # ... by a host of these
        self._changing: tuple[Image, AbstractSet[Endpoint]] | None = None
        self._digests = np.empty(0, np.uint64)  # of flows told, in order
        self._seen = np.empty(0, np.uint64)  # as it was told
        self._owners = np.empty(0, np.uint32)

    def rings(
        self, image: Image, own: AbstractSet[IpAddress]
    ) -> Iterator[SharedRing | Gone]:
        """Yield what is news of rings; ``own`` are the addresses that this host has."""
        if image is self._image and own == self._own:  # to look at rings takes its time
            return
        for endpoint in self._rings.keys() - image.services.keys():
            del self._rings[endpoint]
            yield Gone(endpoint)
        for endpoint, service in image.services.items():
            ring = image.rings[service.ring_offset] if service.ring_size else Ring(b"")
            holds = endpoint.address in own
            ids, places = _names(ring, image)
            shown = (ring, holds, service.changed_ns, places)
            if self._rings.get(endpoint) == shown:
                continue
            self._rings[endpoint] = shown
            now, before = _numbered(ring, ids)
            yield SharedRing(endpoint, holds, service.changed_ns, places, now, before)
        self._image, self._own = image, own

    def at_risk(self, image: Image, followed: AbstractSet[Endpoint]) -> dict[int, Endpoint]:
        """Return the services, by id, whose recorded flows the peer has to know.

        ``followed`` are those of which we know by somebody else ourselves.
        """
        return {
            service.id: endpoint
            for endpoint, service in image.services.items()
            if endpoint not in followed
            and service.ring_size
            and (
                (self._always and service.affinity == AFFINITY_ALWAYS)
                or endpoint in self._in_transition(image)
            )
        }

    def _in_transition(self, image: Image) -> AbstractSet[Endpoint]:
        if self._changing is None or self._changing[0] is not image:
            found = {
                endpoint
                for endpoint, service in image.services.items()
                if service.ring_size and is_in_transition(image.rings[service.ring_offset])
            }
            self._changing = image, found
        return self._changing[1]

    def flows(
        self, image: Image, now_ns: int, flows: Flows, records: Records
    ) -> Iterator[SharedFlows]:
        """Yield what is news of recorded flows, given all those of services at risk."""
        digests = _digests(flows)
        order = np.argsort(digests)
        digests, flows, records = digests[order], flows[order], records[order]
        seen = records["seen_ns"]
        places, of_backend, owners = _backends(image)
        ids = np.minimum(records["backend_id"], len(of_backend) - 1)
        idle = np.where(seen < now_ns, now_ns - np.minimum(seen, now_ns), 0)
        patience = _patience(image)[flows["service_id"]]
        good = (owners[ids] == records["owner"]) & (of_backend[ids] != 0)
        good &= idle <= patience * np.uint64(1_000_000_000)
        refresh = np.minimum(
            patience * np.uint64(1_000_000_000 // _REFRESH_PART),
            np.uint64(_REFRESH_MOST * 1_000_000_000),
        )
        told_seen, same = self._told(digests, records["owner"])
        news = good & (~same | (seen > told_seen + refresh))
        self._digests = digests[good]
        self._seen = np.where(news, seen, told_seen)[good]
        self._owners = records["owner"][good]
        endpoints = {service.id: endpoint for endpoint, service in image.services.items()}
        chosen, numbers = flows[news], of_backend[ids[news]]
        for service_id in np.unique(chosen["service_id"]).tolist():
            here = chosen["service_id"] == service_id
            told = np.empty(int(here.sum()), SHARED_FLOW)
            for column in ("client", "client_port", "port"):
                told[column] = chosen[column][here]
            used, renumbered = np.unique(numbers[here], return_inverse=True)
            told["number"] = renumbered + 1
            told["idle_ms"] = np.minimum(idle[news][here] // 1_000_000, MOST_IDLE_MS)
            named = tuple(places[number - 1] for number in used.tolist())
            yield SharedFlows(endpoints[service_id], named, told)

    def _told(self, digests: Any, owners: Any) -> tuple[Any, Any]:
        """Return when each flow was seen by what was told, and whether it was told so."""
        if not len(self._digests):
            return np.zeros(len(digests), np.uint64), np.zeros(len(digests), np.bool_)
        at = np.minimum(np.searchsorted(self._digests, digests), len(self._digests) - 1)
        same = (self._digests[at] == digests) & (self._owners[at] == owners)
        return np.where(same, self._seen[at], 0), same


def _digests(flows: Flows) -> Any:
    """Return 64 bits for each flow, all but surely its own."""
    words = np.ascontiguousarray(flows).view(np.uint64).reshape(-1, 3)
    mixed = np.zeros(len(words), np.uint64)
    for column in range(3):
        mixed = (mixed ^ words[:, column]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed * np.uint64(0xBF58476D1CE4E5B9)


def _names(ring: Ring, image: Image) -> tuple[Any, tuple[Place, ...]]:
    """Return the ids in a ring, in order, and the places that they stand for."""
    words = np.frombuffer(ring.words, np.uint32)
    ids = [
        number
        for number in np.unique(words).tolist()
        if number != RECORDS_ONLY and Index(number) in image.backends
    ]
    known = (image.backends[Index(number)] for number in ids)
    return np.array(ids, np.uint32), tuple((one.address, one.port) for one in known)


def _numbered(ring: Ring, ids: Any) -> tuple[Any, Any]:
    """Return both columns of a ring, with numbers instead of ids."""
    words = np.frombuffer(ring.words, np.uint32)
    if not len(ids):
        return np.zeros_like(words[::2]), np.zeros_like(words[1::2])
    at = np.minimum(np.searchsorted(ids, words), len(ids) - 1)
    numbers = np.where(ids[at] == words, at + 1, 0).astype(np.uint32)
    numbers[words == RECORDS_ONLY] = RECORDS_ONLY
    return numbers[::2], numbers[1::2]


def _backends(image: Image) -> tuple[list[Place], Any, Any]:
    """Return all places, and by backend id the number of its place and its owner."""
    size = max((index.number for index in image.backends), default=0) + 2
    numbers, owners = np.zeros(size, np.uint32), np.zeros(size, np.uint32)
    places: list[Place] = []
    for index, backend in image.backends.items():
        places.append((backend.address, backend.port))
        numbers[index.number], owners[index.number] = len(places), backend.owner
    return places, numbers, owners


def _patience(image: Image) -> Any:
    """Return by service id for how many seconds a flow may be silent."""
    size = max((service.id for service in image.services.values()), default=0) + 1
    seconds = np.zeros(size, np.uint64)
    for service in image.services.values():
        seconds[service.id] = service.idle_seconds
    return seconds
