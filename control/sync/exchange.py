"""Where what peers tell comes in, and where what they ask for comes from.

Everything that takes its time is for a thread, and says so.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from control.addresses import IpAddress
from control.status import FollowerStatus, PeerStatus
from control.sync.listener import Names, Shared, Wanted, leader, speakers
from control.sync.news import are_among
from control.sync.shared import Gone, SharedFlows, SharedReplies, SharedRing, Told
from control.sync.teller import Teller
from dataplane.errors import DetachedError
from dataplane.image import Image
from dataplane.instance import Instance
from dataplane.records import Endpoint

_MARGIN_NS: Final = 2_000_000_000  # by which a record has to be newer than ours
_CHUNK: Final = 16_384  # flows that are told or recorded at a time


@dataclass
class Peer:
    """What one peer has told, and how it stands with it. Of the event loop."""

    name: str  # address and port
    rings: dict[Endpoint, SharedRing] = field(default_factory=dict)
    synced: bool = False  # it has told everything on this connection
    since: float = field(default_factory=time.time)  # Unix time of the last change of that
    tried: bool = False  # once at least it came to something
    heard: float = 0.0  # monotonic time at which it had told everything last; 0: never
    waits: bool = False  # what it told could not be recorded, there being no maps yet
    unwritten: bool = False  # whose replies are whose could not, for the same reason
    told_rings: int = 0
    told_flows: int = 0
    problem: str = ""  # why there is no connection; "" if there is one

    def begins(self) -> None:
        """Forget what was told before: everything is told anew."""
        self.rings, self.problem, self.unwritten = {}, "", False

    def ends(self, problem: str) -> None:
        """Note why nothing is told any more."""
        self.rings, self.problem, self.tried, self.waits = {}, problem, True, False
        self._turn(synced=False)

    def has_told_all(self, *, waits: bool) -> None:
        """Note that by now it has told everything that was true."""
        self.heard, self.tried, self.waits = time.monotonic(), True, waits
        self._turn(synced=True)

    def _turn(self, *, synced: bool) -> None:
        if synced != self.synced:
            self.synced, self.since = synced, time.time()

    def status(self) -> PeerStatus:
        """Return how it stands."""
        return PeerStatus(
            self.name,
            self.synced,
            self.since,
            time.monotonic() - self.heard if self.heard else None,
            self.told_rings,
            self.told_flows,
            self.problem,
        )


@dataclass(eq=False)
class Follower:
    """A node that asks us, and what it was told. Of the event loop, but for the teller."""

    author: str  # as its certificate names it
    via: str
    teller: Teller
    rings: int = 0
    flows: int = 0
    seconds: float = 0.0  # that the last look took

    def status(self) -> FollowerStatus:
        """Return how it stands."""
        return FollowerStatus(self.author, self.via, self.rings, self.flows, self.seconds)


class Exchange:
    """Rings and recorded flows, from peers and for them."""

    def __init__(
        self,
        instance: Instance,
        image: Callable[[], Image | None],
        own: Callable[[], frozenset[IpAddress]],
        wake: Callable[[], None],
        peers: Sequence[str] = (),
    ) -> None:
        """Join what it goes by: ``image`` is in the maps, ``own`` are the host's addresses.

        ``wake`` is called when rings may be others.
        """
        self._instance = instance
        self._image = image
        self._own = own
        self._wake = wake
        self.peers = {name: Peer(name) for name in peers}
        self.followers: list[Follower] = []
        self._names = Names()
        self._named: Image | None = None  # whose names they are
        self._naming = Lock()
        self._synced = not peers

    @property
    def settled(self) -> bool:
        """Whether each peer has told everything, or turned out not to be there."""
        return all(peer.tried for peer in self.peers.values())

    @property
    def synced(self) -> bool:
        """Whether this node is as its peers are, or was: it stays so once it was.

        So is one that has an address of its services: it is where flows come by.
        """
        image = self._image()
        if not self._synced and image is not None:
            holds = any(endpoint.address in self._own() for endpoint in image.services)
            waits = any(peer.waits for peer in self.peers.values())
            self._synced = holds or (self.settled and not waits)
        return self._synced

    def shared(self) -> Shared:
        """Return the rings that peers have told, by service."""
        found: dict[Endpoint, list[SharedRing]] = {}
        for peer in self.peers.values():
            # A copy, for we may be in a thread while the event loop changes them.
            for endpoint, ring in peer.rings.copy().items():
                found.setdefault(endpoint, []).append(ring)
        return found

    def hear(self, peer: Peer, told: SharedRing | Gone) -> None:
        """Take a ring over, or let go of it; flows go to :meth:`record`."""
        match told:
            case SharedRing(endpoint):
                peer.rings[endpoint] = told
                peer.told_rings += 1
            case Gone(endpoint):
                peer.rings.pop(endpoint, None)
        self._wake()

    def record(self, told: SharedFlows) -> frozenset[Wanted]:
        """Record flows that a peer has, and return who is not in our maps. Blocking.

        Their flows cannot be recorded, for now.
        """
        names, now_ns = self._names_now(), time.monotonic_ns()
        flows, records = names.records(told, now_ns)
        ours = told.endpoint.address in self._own()
        held = any(
            ring.holds_vip
            for peer in self.peers.values()
            if (ring := peer.rings.get(told.endpoint))
        )
        margin_ns = None if held and not ours else _MARGIN_NS
        wanted = [(told.endpoint, place) for place in told.places]
        try:
            for start in range(0, len(flows), _CHUNK):
                part = slice(start, start + _CHUNK)
                self._instance.record(flows[part], records[part], margin_ns)
        except DetachedError:
            return frozenset(wanted)
        return names.unknown(wanted)

    def has_come(self, missed: AbstractSet[Wanted]) -> bool:
        """Tell whether flows of somebody who was ``missed`` could be recorded now."""
        return bool(missed - self._names_now().unknown(missed)) if missed else False

    @property
    def has_maps(self) -> bool:
        """Whether anything can be recorded at all: a start fills the maps first."""
        return self._image() is not None

    def record_replies(self, told: SharedReplies) -> bool:
        """Write down whose replies are whose; False if there are no maps. Blocking."""
        flows, found = speakers(told, time.monotonic_ns())
        held = {
            endpoint.address
            for endpoint, rings in self.shared().items()
            if any(ring.holds_vip for ring in rings)
        }
        leads = are_among(found["vip"], held - self._own())
        try:
            self._instance.record_replies(flows[leads], found[leads], None)
            self._instance.record_replies(flows[~leads], found[~leads], _MARGIN_NS)
        except DetachedError:
            return False
        return True

    def tell(self, follower: Follower) -> Iterator[Told]:
        """Yield what is news for ``follower``. Blocking at each step."""
        began = time.monotonic()
        image, own = self._image(), self._own()
        if image is None:
            return
        yield from follower.teller.rings(image, own)
        shared = self.shared()
        followed = {
            endpoint
            for endpoint in image.services
            if leader(shared, endpoint, own, known=True)
        }
        with suppress(DetachedError):
            yield from self._flows(follower.teller, image, followed)
            yield from self._replies(follower.teller, image, followed)
        follower.seconds = time.monotonic() - began

    def _flows(
        self, teller: Teller, image: Image, followed: AbstractSet[Endpoint]
    ) -> Iterator[SharedFlows]:
        """Yield what is news of recorded flows. Raises DetachedError."""
        if services := teller.at_risk(image, followed):
            found = self._instance.flows(services)
            for told in teller.flows(image, time.monotonic_ns(), *found):
                for part in _parts(told.flows):
                    yield SharedFlows(told.endpoint, told.places, part)

    def _replies(
        self, teller: Teller, image: Image, followed: AbstractSet[Endpoint]
    ) -> Iterator[SharedReplies]:
        """Yield what is news of whose replies are whose. Raises DetachedError."""
        if vips := teller.speaking(image, followed):
            found = self._instance.replies()
            for told in teller.replies(vips, time.monotonic_ns(), *found):
                for part in _parts(told.flows):
                    yield SharedReplies(part)

    def _names_now(self) -> Names:
        image = self._image()
        with self._naming:
            if image is not self._named:
                self._names = Names.of(image) if image else Names()
                self._named = image
            return self._names


def _parts(flows: Any) -> Iterator[Any]:
    """Yield flows as many as may be told at a time."""
    for start in range(0, len(flows), _CHUNK):
        yield flows[start : start + _CHUNK]
