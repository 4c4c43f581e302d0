"""What has to be told to one peer since it was told last. Pure; takes its time.

Level, not edge: it compares what is true now with what was told, so that whatever happened
in between, the peer ends up with what is true. Who connects again begins with a new teller,
and is told everything.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from control.addresses import IpAddress
from control.sync.news import News, are_among, digests_of, idle_of
from control.sync.shared import (
    MOST_IDLE_MS,
    SHARED_FLOW,
    SHARED_REPLY,
    Gone,
    Place,
    SharedFlows,
    SharedReplies,
    SharedRing,
)
from control.transition import is_in_transition
from dataplane.abi import RECORDS_ONLY
from dataplane.flows import REPLY_SECONDS, Flows, Records, ReplyFlows, Speakers
from dataplane.image import Image, Ring
from dataplane.records import AFFINITY_ALWAYS, MODE_NAT, Endpoint, Index

_Shown = tuple[Ring, bool, int, tuple[Place, ...]]  # what a SharedRing was made from


class Teller:
    """Remembers what one peer was told."""

    def __init__(self, *, always: bool, replies: bool = False) -> None:
        """Tell of flows in transition; with ``always``, of all that are recorded always.

        With ``replies``, also of those to NAT backends that are written down.
        """
        self._always = always
        self._replies = replies
        self._rings: dict[Endpoint, _Shown] = {}
        self._image: Image | None = None  # all of whose rings were told ...
        self._own: AbstractSet[IpAddress] = frozenset()  # ... by a host of these
        self._changing: tuple[Image, AbstractSet[Endpoint]] | None = None
        self._tracking: tuple[Image, AbstractSet[IpAddress]] | None = None
        self._news, self._news_of_replies = News(), News()

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
        seen = records["seen_ns"]
        places, of_backend, owners = _backends(image)
        ids = np.minimum(records["backend_id"], len(of_backend) - 1)
        idle, patience = idle_of(seen, now_ns), _patience_ns(image)[flows["service_id"]]
        good = (owners[ids] == records["owner"]) & (of_backend[ids] != 0)
        good &= idle <= patience
        flows, seen, idle, ids = flows[good], seen[good], idle[good], ids[good]
        news = self._news.choose(flows, owners[ids], seen, patience[good])
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

    def speaking(
        self, image: Image, followed: AbstractSet[Endpoint]
    ) -> AbstractSet[IpAddress]:
        """Return the VIPs of whose replies the peer has to know; ``followed`` as above."""
        if not self._replies:
            return frozenset()
        return self._tracked(image) - {endpoint.address for endpoint in followed}

    def _tracked(self, image: Image) -> AbstractSet[IpAddress]:
        """Return the VIPs of all NAT services; none if nobody's flows are written down."""
        if self._tracking is None or self._tracking[0] is not image:
            found = {
                endpoint.address
                for endpoint, service in image.services.items()
                if service.mode == MODE_NAT
            }
            tracked = any(answer.is_tracked for answer in image.returns.values())
            self._tracking = image, found if tracked else frozenset()
        return self._tracking[1]

    def replies(
        self,
        vips: AbstractSet[IpAddress],
        now_ns: int,
        flows: ReplyFlows,
        speakers: Speakers,
    ) -> Iterator[SharedReplies]:
        """Yield what is news of whose replies are whose, given all that is written down."""
        seen = speakers["seen_ns"]
        idle, patience = idle_of(seen, now_ns), np.uint64(REPLY_SECONDS * 1_000_000_000)
        good = are_among(speakers["vip"], vips) & (idle <= patience)
        flows, speakers, idle = flows[good], speakers[good], idle[good]
        whom = speakers.copy()
        whom["seen_ns"] = 0
        ways = digests_of(whom).astype(np.uint32)
        news = self._news_of_replies.choose(flows, ways, speakers["seen_ns"], patience)
        if not news.any():
            return
        told = np.zeros(int(news.sum()), SHARED_REPLY)
        for column in ("client", "backend", "client_port", "backend_port", "protocol"):
            told[column] = flows[column][news]
        for column in ("vip", "port"):
            told[column] = speakers[column][news]
        told["idle_ms"] = np.minimum(idle[news] // 1_000_000, MOST_IDLE_MS)
        yield SharedReplies(told)


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


def _patience_ns(image: Image) -> Any:
    """Return by service id for how many nanoseconds a flow may be silent."""
    size = max((service.id for service in image.services.values()), default=0) + 1
    patience = np.zeros(size, np.uint64)
    for service in image.services.values():
        patience[service.id] = service.idle_seconds * 1_000_000_000
    return patience
