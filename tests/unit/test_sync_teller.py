"""A peer is told what is news to it and nothing else, and reads it in its own ids."""

from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest

from control.sync.listener import Names, in_ids, leader, speakers
from control.sync.shared import Gone, SharedFlows, SharedRing
from control.sync.teller import Teller
from dataplane.abi import RECORDS_ONLY
from dataplane.flows import FLOW, RECORD, REPLY_FLOW, REPLY_SECONDS, SPEAKER
from dataplane.image import Image, Ring
from dataplane.records import (
    AFFINITY_ALWAYS,
    AFFINITY_TRANSITION,
    MODE_DR,
    MODE_NAT,
    Address,
    Backend,
    Endpoint,
    Index,
    Return,
    Segment,
    Service,
)

VIP = IPv4Address("192.0.2.1")
WEB = Endpoint(VIP, 80, 6)
SECOND = 1_000_000_000
NOW = 1000 * SECOND


def backend(last: int, service_id: int) -> Backend:
    address = IPv4Address(f"10.0.0.{last}")
    return Backend(service_id, address, 80, Segment(3), b"\2" * 6, b"\2" * 6)


def image(
    now: list[int],
    before: list[int] | None = None,
    *,
    service_id: int = 4,
    backends: dict[int, int] | None = None,
    **changes,
) -> Image:
    """Return a service with a ring; ``backends`` by id with the ends of their addresses."""
    facts = {"mode": MODE_DR, "affinity": AFFINITY_TRANSITION, "idle_seconds": 900}
    service = Service(service_id, 100, len(now), 42, **facts | changes)
    named = {7: 1, 8: 2} if backends is None else backends
    return Image(
        services={WEB: service},
        rings={100: Ring.of(now, before)},
        backends={Index(n): backend(last, service_id) for n, last in named.items()},
    )


def recorded(of: Image, *seen: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return recorded flows: client's port, backend's id, when it was seen."""
    flows, records = np.zeros(len(seen), FLOW), np.zeros(len(seen), RECORD)
    for row, (port, number, seen_ns) in enumerate(seen):
        client = IPv6Address("::ffff:198.51.100.7").packed
        flows[row] = (client, 4, port.to_bytes(2, "big"), (80).to_bytes(2, "big"))
        records[row] = (seen_ns, number, of.backends[Index(number)].owner)
    return flows, records


def told(teller: Teller, of: Image, now_ns: int, *seen) -> dict[int, tuple[str, int]]:
    """Return by client's port to whom each flow that is news goes, and its idle ms."""
    found = {}
    for part in teller.flows(of, now_ns, *recorded(of, *seen)):
        assert part.endpoint == WEB
        for flow in part.flows:
            port = int.from_bytes(flow["client_port"].tobytes(), "big")
            address, _ = part.places[flow["number"] - 1]
            found[port] = (str(address), int(flow["idle_ms"]))
    return found


def test_rings_are_told_once_and_again_when_they_change() -> None:
    teller = Teller(always=False)
    first = image([7, 8, 7])

    (ring,) = teller.rings(first, frozenset())
    assert isinstance(ring, SharedRing)
    assert ring.places == ((IPv4Address("10.0.0.1"), 80), (IPv4Address("10.0.0.2"), 80))
    assert ring.now.tolist() == [1, 2, 1]
    assert ring.before.tolist() == [0, 0, 0]
    assert not ring.holds_vip
    assert list(teller.rings(first, frozenset())) == []

    (ring,) = teller.rings(first, frozenset({VIP}))
    assert ring.holds_vip
    (ring,) = teller.rings(image([8, 8, 7], [7, 0, RECORDS_ONLY]), frozenset({VIP}))
    assert ring.before.tolist() == [1, 0, RECORDS_ONLY]
    assert list(teller.rings(Image(), frozenset())) == [Gone(WEB)]


def test_an_id_that_goes_to_another_backend_is_news() -> None:
    teller = Teller(always=False)
    list(teller.rings(image([7, 7]), frozenset()))

    (ring,) = teller.rings(image([7, 7], backends={7: 9}), frozenset())

    assert ring.places == ((IPv4Address("10.0.0.9"), 80),)


def test_only_flows_of_services_in_transition_are_at_risk() -> None:
    quiet, changing = image([7, 8]), image([7, 8], [8, 0])
    always = image([7, 8], affinity=AFFINITY_ALWAYS)

    assert Teller(always=True).at_risk(quiet, frozenset()) == {}
    assert Teller(always=False).at_risk(changing, frozenset()) == {4: WEB}
    assert Teller(always=False).at_risk(always, frozenset()) == {}
    assert Teller(always=True).at_risk(always, frozenset()) == {4: WEB}
    assert Teller(always=True).at_risk(changing, frozenset({WEB})) == {}


def test_a_flow_is_told_when_it_is_new_moves_or_goes_on_for_long() -> None:
    teller, of = Teller(always=False), image([7, 8], [8, 0])

    first = told(teller, of, NOW, (1, 7, NOW), (2, 8, NOW - 5 * SECOND))
    assert first == {1: ("10.0.0.1", 0), 2: ("10.0.0.2", 5000)}
    later = NOW + 10 * SECOND
    assert told(teller, of, later, (1, 7, later), (2, 8, later)) == {}
    assert told(teller, of, later, (1, 7, later), (2, 7, later)) == {2: ("10.0.0.1", 0)}
    much_later = NOW + 61 * SECOND
    went_on = told(teller, of, much_later, (1, 7, much_later), (2, 7, later))
    assert went_on == {1: ("10.0.0.1", 0)}


def test_a_flow_that_ended_and_came_back_is_new() -> None:
    teller, of = Teller(always=False), image([7, 8], [8, 0])
    told(teller, of, NOW, (1, 7, NOW), (2, 7, NOW))
    assert told(teller, of, NOW, (2, 7, NOW)) == {}

    assert told(teller, of, NOW, (1, 7, NOW), (2, 7, NOW)) == {1: ("10.0.0.1", 0)}


def test_records_that_the_program_would_not_follow_are_not_told() -> None:
    of = image([7, 8], [8, 0])
    flows, records = recorded(of, (1, 7, NOW), (2, 7, NOW - 901 * SECOND), (3, 8, NOW))
    records["owner"][0] ^= 1  # of somebody who had the id before
    records["backend_id"][2] = 999

    assert list(Teller(always=False).flows(of, NOW, flows, records)) == []


def test_a_peer_with_other_ids_records_the_same_flows() -> None:
    here = image([7, 8], [8, 0])
    there = image([31, 30], service_id=2, backends={31: 1, 30: 2})
    (shared,) = Teller(always=False).flows(
        here, NOW, *recorded(here, (1, 7, NOW - SECOND), (2, 8, NOW))
    )

    flows, records = Names.of(there).records(shared, 5 * SECOND)

    assert flows["service_id"].tolist() == [2, 2]
    by_port = dict(
        zip([p.tobytes()[1] for p in flows["client_port"]], records, strict=True)
    )
    owner = there.backends[Index(31)].owner
    assert by_port[1].tolist() == (4 * SECOND, 31, owner)
    assert by_port[2]["backend_id"] == 30
    assert by_port[2]["seen_ns"] == 5 * SECOND


def test_who_is_not_here_is_unknown_and_not_recorded() -> None:
    here, there = image([7, 8], [8, 0]), image([31], backends={31: 1}, service_id=2)
    (shared,) = Teller(always=False).flows(
        here, NOW, *recorded(here, (1, 7, NOW), (2, 8, NOW))
    )
    names = Names.of(there)

    flows, _ = names.records(shared, NOW)

    assert [port.tobytes()[1] for port in flows["client_port"]] == [1]
    second = (IPv4Address("10.0.0.2"), 80)
    wanted = [(WEB, place) for place in shared.places]
    assert names.unknown(wanted) == {(WEB, second)}
    nothing, _ = Names().records(shared, NOW)
    assert len(nothing) == 0


def test_a_ring_of_another_node_is_read_in_our_ids() -> None:
    (ring,) = Teller(always=False).rings(
        image([7, 8, 8, 0], [8, 0, RECORDS_ONLY, 7]), frozenset()
    )
    there = Names.of(image([31], backends={31: 1}, service_id=2)).ids.backends

    # 10.0.0.2 is not known there: whose slot it was, records tell.
    expected = Ring.of([31, 0, 0, 0], [RECORDS_ONLY, 0, RECORDS_ONLY, 31])
    assert in_ids(ring, 2, there) == expected


@pytest.mark.parametrize(
    ("own", "holds", "known", "follows"),
    [
        (False, True, True, True),  # the flows are there
        (True, True, True, False),  # both have the VIP: a split brain
        (True, False, False, False),
        (False, False, True, False),  # a routed VIP: each by what it has seen
        (False, False, False, True),  # and who has seen nothing by another one
    ],
)
def test_the_node_that_has_the_vip_leads(own, holds, known, follows) -> None:
    ring = SharedRing(WEB, holds, 0, (), np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    addresses = frozenset({VIP}) if own else frozenset()

    found = leader({WEB: [ring]}, WEB, addresses, known=known)

    assert (found is ring) == follows
    assert leader({}, WEB, addresses, known=known) is None


def test_of_several_peers_the_one_with_the_vip_leads() -> None:
    nothing = np.zeros(1, np.uint32)
    rings = [SharedRing(WEB, holds, 0, (), nothing, nothing) for holds in (False, True)]

    assert leader({WEB: rings}, WEB, frozenset(), known=False) is rings[1]


def test_each_of_many_flows_is_told_once() -> None:
    count = 200_000
    of = image([7, 8], [8, 0])
    flows, records = np.zeros(count, FLOW), np.zeros(count, RECORD)
    flows["service_id"] = 4
    clients = np.arange(count, dtype=np.uint64)
    flows["client"] = np.column_stack((clients, clients)).copy().view("V16").ravel()
    records["seen_ns"], records["backend_id"] = NOW, 7
    records["owner"] = of.backends[Index(7)].owner
    teller = Teller(always=False)

    parts = list(teller.flows(of, NOW, flows, records))

    assert sum(len(part.flows) for part in parts) == count
    assert all(isinstance(part, SharedFlows) for part in parts)
    assert list(teller.flows(of, NOW, flows, records)) == []


# Whose replies are whose

OTHER_VIP = IPv4Address("192.0.2.2")
BOTH_VIPS = frozenset({VIP, OTHER_VIP})


def packed(address: IPv4Address) -> bytes:
    return Address(address).pack()


def written(*seen: tuple[int, IPv4Address, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return flows to 10.0.0.1: client's port, VIP, when it was seen."""
    flows, found = np.zeros(len(seen), REPLY_FLOW), np.zeros(len(seen), SPEAKER)
    client, backend = IPv4Address("198.51.100.7"), IPv4Address("10.0.0.1")
    for row, (port, vip, seen_ns) in enumerate(seen):
        ports = port.to_bytes(2, "big"), (8080).to_bytes(2, "big")
        flows[row] = (packed(client), packed(backend), *ports, 6, b"")
        found[row] = (seen_ns, packed(vip), (80).to_bytes(2, "big"), b"")
    return flows, found


def news_of(teller: Teller, now_ns: int, *seen, vips=BOTH_VIPS) -> dict[int, int]:
    """Return by client's port for how many ms each flow that is news is idle."""
    return {
        int.from_bytes(flow["client_port"].tobytes(), "big"): int(flow["idle_ms"])
        for part in teller.replies(vips, now_ns, *written(*seen))
        for flow in part.flows
    }


def test_whose_a_reply_is_is_told_when_it_is_new_changes_or_goes_on_for_long() -> None:
    teller = Teller(always=False, replies=True)

    first = news_of(teller, NOW, (1, VIP, NOW), (2, VIP, NOW - 5 * SECOND))
    assert first == {1: 0, 2: 5000}
    later = NOW + 10 * SECOND
    assert news_of(teller, later, (1, VIP, later), (2, VIP, later)) == {}
    assert news_of(teller, later, (1, VIP, later), (2, OTHER_VIP, later)) == {2: 0}
    much_later = NOW + 61 * SECOND
    assert news_of(teller, much_later, (1, VIP, much_later), (2, OTHER_VIP, later)) == {
        1: 0
    }


def test_replies_that_are_forgotten_or_of_other_vips_are_not_told() -> None:
    teller = Teller(always=False, replies=True)
    silent = NOW - (REPLY_SECONDS + 1) * SECOND

    told = news_of(
        teller,
        NOW,
        (1, VIP, silent),
        (2, OTHER_VIP, NOW),
        (3, VIP, NOW),
        vips=frozenset({VIP}),
    )

    assert told == {3: 0}
    assert news_of(teller, NOW, (3, VIP, NOW), vips=frozenset()) == {}


@pytest.mark.parametrize(
    ("changes", "asked", "followed", "told"),
    [
        ({}, True, frozenset(), frozenset({VIP})),
        ({}, False, frozenset(), frozenset()),  # by a peer of a release that knows nothing
        ({}, True, frozenset({WEB}), frozenset()),  # that peer has the VIP
        ({"mode": MODE_DR}, True, frozenset(), frozenset()),
        ({"tracked": False}, True, frozenset(), frozenset()),  # nothing is written down
    ],
)
def test_replies_are_told_of_nat_services_whose_flows_come_by_here(
    changes, asked, followed, told
) -> None:
    facts = {"mode": MODE_NAT, "tracked": True, **changes}
    service = Service(4, 100, 2, 42, facts["mode"])
    answer = Return(VIP, 80, is_tracked=facts["tracked"])
    of = Image(services={WEB: service}, returns={Endpoint(VIP, 8080, 6): answer})

    teller = Teller(always=False, replies=asked)

    assert teller.speaking(of, followed) == told


def test_a_peer_writes_down_the_same_replies_by_its_own_clock() -> None:
    flows, found = written((1, VIP, NOW - SECOND), (2, OTHER_VIP, NOW))
    teller = Teller(always=False, replies=True)
    (shared,) = teller.replies(BOTH_VIPS, NOW, flows, found)

    got_flows, got = speakers(shared, 5 * SECOND)

    assert got_flows.tobytes() == flows.tobytes()
    assert got["seen_ns"].tolist() == [4 * SECOND, 5 * SECOND]
    assert got["vip"].tobytes() == found["vip"].tobytes()
    assert got["port"].tobytes() == found["port"].tobytes()
