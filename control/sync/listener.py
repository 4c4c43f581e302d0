"""What another node has told, in terms of this one: its ids, its clock. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from control.addresses import IpAddress
from control.ids import BackendPlace, Ids
from control.sync.shared import Place, SharedFlows, SharedReplies, SharedRing
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.flows import (
    FLOW,
    RECORD,
    REPLY_FLOW,
    SPEAKER,
    Flows,
    Records,
    ReplyFlows,
    Speakers,
)
from dataplane.image import Image, Ring
from dataplane.records import Endpoint

Wanted = tuple[Endpoint, Place]  # a backend of a service
Shared = Mapping[Endpoint, Sequence[SharedRing]]  # by service; one of each peer at most


def leader(
    shared: Shared, endpoint: Endpoint, own: frozenset[IpAddress], *, known: bool
) -> SharedRing | None:
    """Return the ring whose history counts for ours; None: our own does.

    That is the ring of the node that has the VIP, for the flows are there. Where nobody
    has it, as with routed VIPs, each node goes by what it has seen; only one that has never
    balanced the service (it is not ``known``) begins with what another one has.
    """
    rings = shared.get(endpoint, ())
    if not rings or endpoint.address in own:
        return None
    holders = [ring for ring in rings if ring.holds_vip]
    return next(iter(holders), None if known else rings[0])


def in_ids(ring: SharedRing, service_id: int, numbers: Mapping[BackendPlace, int]) -> Ring:
    """Return a ring of another node with ids of ours.

    Of who has no id here no flows can be kept: a slot that was theirs before consults
    records only.
    """
    ids = _ids(ring.places, service_id, numbers)
    only = ring.before == RECORDS_ONLY
    before = ids[np.where(only, 0, ring.before)]
    before[only | ((ring.before != 0) & (before == NO_BACKEND_ID))] = RECORDS_ONLY
    return Ring(np.column_stack((ids[ring.now], before)).astype(np.uint32).tobytes())


@dataclass(frozen=True, slots=True)
class Names:
    """Who has which number here, and what tells its owner from others."""

    ids: Ids = field(default_factory=lambda: Ids({}, {}))
    owners: Mapping[int, int] = field(default_factory=dict)  # by backend id

    @classmethod
    def of(cls, image: Image) -> Self:
        """Read it from the maps' contents."""
        owners = {index.number: one.owner for index, one in image.backends.items()}
        return cls(Ids.of(image), owners)

    def unknown(self, wanted: Iterable[Wanted]) -> frozenset[Wanted]:
        """Return those of whom no flow can be recorded here."""
        services, backends = self.ids.services, self.ids.backends
        return frozenset(
            (endpoint, place)
            for endpoint, place in wanted
            if (service_id := services.get(endpoint)) is None
            or BackendPlace(service_id, *place) not in backends
        )

    def records(self, shared: SharedFlows, now_ns: int) -> tuple[Flows, Records]:
        """Return the flows that can be recorded here, and how."""
        service_id = self.ids.services.get(shared.endpoint)
        if service_id is None:
            return np.empty(0, FLOW), np.empty(0, RECORD)
        told = shared.flows
        ids = _ids(shared.places, service_id, self.ids.backends)[told["number"]]
        here = ids != NO_BACKEND_ID
        told, ids = told[here], ids[here]
        flows = np.zeros(len(told), FLOW)
        for column in ("client", "client_port", "port"):
            flows[column] = told[column]
        flows["service_id"] = service_id
        records = np.zeros(len(told), RECORD)
        records["seen_ns"] = _seen(told, now_ns)
        records["backend_id"] = ids
        records["owner"] = [self.owners[number] for number in ids.tolist()]
        return flows, records


def speakers(shared: SharedReplies, now_ns: int) -> tuple[ReplyFlows, Speakers]:
    """Return what is to be written down; addresses need no id."""
    told = shared.flows
    flows, found = np.zeros(len(told), REPLY_FLOW), np.zeros(len(told), SPEAKER)
    for column in ("client", "backend", "client_port", "backend_port", "protocol"):
        flows[column] = told[column]
    for column in ("vip", "port"):
        found[column] = told[column]
    found["seen_ns"] = _seen(told, now_ns)
    return flows, found


def _seen(told: Any, now_ns: int) -> Any:
    """Return when flows were seen, by our clock."""
    idle_ns = told["idle_ms"].astype(np.uint64) * np.uint64(1_000_000)
    return now_ns - np.minimum(idle_ns, np.uint64(now_ns))


def _ids(
    places: Sequence[Place], service_id: int, numbers: Mapping[BackendPlace, int]
) -> Any:
    """Return the id of each number that stands for one of these places; 0: nobody."""
    found = (
        numbers.get(BackendPlace(service_id, *place), NO_BACKEND_ID) for place in places
    )
    return np.array([NO_BACKEND_ID, *found], np.uint32)
