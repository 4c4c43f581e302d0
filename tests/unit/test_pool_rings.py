"""What the policy of a pool makes of a service's ring, round after round."""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control.capacity import check_capacity
from control.compile import Compiled, compile_image
from control.desired import DesiredState
from control.errors import HostError
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import MAX_WEIGHT, Backend, BackendState, Mode, Protocol, Service
from control.pool_policy import PoolPolicy, SorryServer, WhenAllDown
from control.rounds import Settings
from control.status import Health
from control.tables import Tables
from control.transition import is_in_transition, owners
from dataplane.image import Image
from dataplane.records import Index
from dataplane.source import Limits

SETTINGS = Settings(Limits(services=8, backends=16, slots=65536), 42, ())
ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
HOP = NextHop("eth0", 3, ETH0.mac, b"\2\0\0\0\1\1")
SORRY = SorryServer(IPv4Address("10.0.0.250"), 80)
UP, DOWN, UNKNOWN = Health.UP, Health.DOWN, Health.UNKNOWN
START = Moment(1_000_000_000_000)


def web(*weights: int, mode=Mode.DR, state=BackendState.ACTIVE, **policy) -> Service:
    """Return a service of backends b0, b1 … of these weights."""
    backends = tuple(
        Backend(f"b{number}", IPv4Address("10.0.0.1") + number, 80, weight, state)
        for number, weight in enumerate(weights)
    )
    vip = IPv4Address("192.0.2.1")
    pool = PoolPolicy(**policy)
    return Service("web", vip, Protocol.TCP, 80, mode, backends, ring_size=101, pool=pool)


class Node:
    """Makes rounds as guidewayd does; ``unreached`` are names that there is no way to."""

    def __init__(self) -> None:
        self.image = Image()
        self.tables = Tables()
        self.lost = frozenset[str]()

    def restart(self) -> None:
        """Forget what the kernel does not know."""
        self.tables, self.lost = Tables(), frozenset()

    def round(
        self,
        service: Service,
        *health: Health,
        unreached=(),
        overdue=(),
        suspected=(),
        moment=START,
    ) -> Compiled:
        facts = Facts(
            Network(
                (ETH0,),
                next_hops={
                    m.address: HOP for m in service.members if m.name not in unreached
                },
            ),
            {
                ("web", b.name): found
                for b, found in zip(service.backends, health, strict=True)
            },
            lost=self.lost,
            overdue=frozenset(("web", name) for name in overdue),
            suspected=frozenset(("web", name) for name in suspected),
        )
        state = DesiredState((service,))
        made = compile_image(state, facts, SETTINGS, self.image, self.tables, moment)
        self.image = made.image
        self.lost = frozenset(name for name, pool in made.pools.items() if not pool.quorum)
        return made

    def serve(self, service: Service, *health: Health, **more) -> set[str]:
        """Return who has slots after a round."""
        (one,) = self.round(service, *health, **more).services
        return {name for name, slots in one.slots.items() if slots}


def test_the_sorry_server_takes_all_slots_and_gives_them_back() -> None:
    service, node = web(1, 1, sorry_server=SORRY), Node()

    assert node.serve(service, UP, UP) == {"b0", "b1"}
    assert node.serve(service, DOWN, UP) == {"b1"}
    assert node.serve(service, DOWN, DOWN) == {"sorry"}
    assert node.serve(service, UP, DOWN) == {"b0"}


def test_it_has_its_entry_before_it_is_needed() -> None:
    service, node = web(1, 1, mode=Mode.NAT, sorry_server=SORRY), Node()

    (one,) = node.round(service, UP, UP).services

    number = one.backend_ids["sorry"]
    assert node.image.backends[Index(number)].address == SORRY.address
    assert not node.image.backends[Index(number)].is_down
    assert any(each.address == SORRY.address for each in node.image.returns)


def test_a_ring_is_as_without_it_while_it_is_not_needed() -> None:
    with_it, without = Node(), Node()

    with_it.round(replace(web(1, 2, sorry_server=SORRY), ring_size=None), UP, UP)
    without.round(replace(web(1, 2), ring_size=None), UP, UP)

    assert with_it.image.rings == without.image.rings


def test_flows_that_it_has_got_stay_with_it_when_the_backends_are_back() -> None:
    service, node = web(1, sorry_server=SORRY), Node()
    node.round(service, UP)
    (before,) = node.round(service, DOWN).services

    (after,) = node.round(service, UP).services

    assert set(owners(after.ring).tolist()) == {after.backend_ids["b0"]}
    assert is_in_transition(after.ring)
    waited_for = Counter(after.ring.view()[1::2] if after.ring else ())
    assert waited_for[before.backend_ids["sorry"]] == len(after.ring)


def test_backends_that_are_up_keep_their_flows_while_it_serves() -> None:
    service, node = web(1, 1, quorum=2, sorry_server=SORRY), Node()
    node.round(service, UP, UP)

    (one,) = node.round(service, UP, DOWN).services

    assert one.problems["b0"] == "the sorry server serves: there is no quorum"
    assert one.problems["b1"] == "its health check fails"
    assert one.down == {one.backend_ids["b1"]}
    assert set(one.ring.view()[1::2]) >= {one.backend_ids["b0"]}


def test_a_sorry_server_that_is_not_reached_is_waited_for_by_nobody() -> None:
    service, node = web(1, 1, quorum=2, sorry_server=SORRY), Node()

    assert node.serve(service, UP, DOWN, unreached={"sorry"}) == {"b0"}
    assert node.serve(service, UP, DOWN) == {"sorry"}


def test_a_backend_may_be_called_sorry_where_there_is_no_sorry_server() -> None:
    service = web(1, 1, quorum=2)
    named = replace(service.backends[0], name="sorry")
    service = replace(service, backends=(named, service.backends[1]))

    assert Node().serve(service, DOWN, UP) == {"b1"}
    assert Node().serve(service, UP, UP) == {"sorry", "b1"}


def test_it_needs_room_as_a_backend_does() -> None:
    backends, limits = 14, replace(SETTINGS.limits, slots=65536)
    check_capacity(DesiredState((web(*[1] * backends),)), limits)

    with pytest.raises(HostError, match="17 backends in the maps"):
        check_capacity(DesiredState((web(*[1] * backends, sorry_server=SORRY),)), limits)


def test_who_served_last_goes_on() -> None:
    service, node = web(1, 1, when_all_down=WhenAllDown.LAST_KNOWN), Node()

    assert node.serve(service, UP, UP) == {"b0", "b1"}
    assert node.serve(service, DOWN, UP) == {"b1"}
    assert node.serve(service, DOWN, DOWN) == {"b1"}
    node.restart()
    assert node.serve(service, DOWN, DOWN) == {"b1"}
    assert node.serve(service, UP, DOWN) == {"b0"}


def test_where_nobody_ever_served_nobody_goes_on() -> None:
    service = web(1, 1, when_all_down=WhenAllDown.LAST_KNOWN)

    assert Node().serve(service, DOWN, DOWN) == set()


def test_a_ring_in_which_all_are_down_is_the_ring_in_which_all_are_up() -> None:
    service, node = web(3, 2, 1, when_all_down=WhenAllDown.ALL), Node()
    node.round(service, UP, UP, UP)
    rings = node.image.rings

    (one,) = node.round(service, DOWN, DOWN, DOWN).services

    assert node.image.rings == rings
    assert not one.down


def test_flows_of_a_backend_that_fails_stay_with_it_if_that_is_wanted() -> None:
    keeping, moving = Node(), Node()
    for node, service in ((keeping, web(1, 1, keep_flows=True)), (moving, web(1, 1))):
        node.round(service, UP, UP)
        (one,) = node.round(service, DOWN, UP).services
        assert one.slots["b0"] == 0
        failed = one.backend_ids["b0"]
        stays = failed in one.ring.view()[1::2] and failed not in one.down
        assert stays is service.pool.keep_flows


@st.composite
def policies(draw: st.DrawFn) -> dict[str, object]:
    quorum = draw(st.integers(1, 6))
    return {
        "quorum": quorum,
        "hysteresis": draw(st.integers(0, quorum - 1)),
        "sorry_server": draw(st.none() | st.just(SORRY)),
        "when_all_down": draw(
            st.sampled_from([WhenAllDown.SORRY, WhenAllDown.ALL, WhenAllDown.LAST_KNOWN])
        ),
        "keep_flows": draw(st.booleans()),
        "max_ejected": draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])),
    }


rounds = st.lists(st.tuples(*[st.sampled_from([UP, UP, DOWN])] * 4), min_size=1, max_size=6)


@given(policies(), rounds, st.sets(st.sampled_from(["b0", "b3", "sorry"])))
@example({"keep_flows": True}, [(UP, DOWN, DOWN, DOWN)], {"b0"})
@example(
    {"quorum": 4, "sorry_server": SORRY, "when_all_down": WhenAllDown.ALL},
    [(DOWN,) * 4],
    {"b0", "b3"},
)
def test_a_restart_in_any_state_changes_nothing(policy, history, unreached) -> None:
    service, node = web(1, 2, 1, 2, **policy), Node()
    for health in history:
        node.round(service, *health)
    node.round(service, *history[-1], unreached=unreached)
    image = node.image

    node.restart()
    node.round(service, *history[-1], unreached=unreached)
    assert node.image == image

    # Also before the first checks have ended.
    node.restart()
    (one,) = node.round(service, *[UNKNOWN] * 4, unreached=unreached).services
    known = image.rings.get(image.services[next(iter(image.services))].ring_offset)
    assert owners(one.ring).tolist() == (owners(known).tolist() if known else [])


@given(policies(), rounds)
def test_new_flows_go_where_the_policy_says_whatever_came_before(policy, history) -> None:
    service, node, fresh = web(1, 2, 1, 2, **policy), Node(), Node()
    for health in history:
        (one,) = node.round(service, *health).services
    pool = one.pool

    (other,) = fresh.round(service, *history[-1]).services

    # Only between two thresholds, and by who served last, does it matter what was before.
    between = 0 < abs(pool.live_weight - policy["quorum"]) <= policy["hysteresis"]
    last = policy["when_all_down"] is WhenAllDown.LAST_KNOWN and not pool.live_weight
    edge = pool.live_weight == policy["quorum"] and policy["hysteresis"]
    if not (between or last or edge):
        assert (pool, one.slots) == (other.pool, other.slots)


def test_a_deadline_cuts_the_flows_that_a_draining_backend_still_has() -> None:
    service, node = web(1, 1), Node()
    node.round(service, UP, UP)
    draining = replace(
        service.backends[0], state=BackendState.DRAINING, drain_deadline=60.0
    )
    service = service.with_backend(draining)

    (before,) = node.round(service, UP, UP).services
    (after,) = node.round(service, UP, UP, overdue=["b0"]).services

    number = before.backend_ids["b0"]
    assert (before.problems["b0"], before.down) == ("draining", frozenset())
    assert number in before.ring.view()[1::2]
    assert after.problems["b0"].startswith("drained: its deadline has passed")
    assert after.down == {number}
    assert number not in after.ring.view()[1::2]
    assert before.slots == after.slots


@pytest.mark.parametrize("weight", [1, 3, MAX_WEIGHT])
def test_a_suspect_gets_a_quarter_of_its_share_and_the_quorum_stays(weight) -> None:
    node = Node()
    service = web(weight, weight, quorum=2 * weight)
    up = (Health.UP,) * 2
    (before,) = node.round(service, *up).services

    made = node.round(service, *up, suspected=["b1"])
    (suspecting,) = made.services
    (after,) = node.round(service, *up).services

    assert suspecting.slots == {"b0": 81, "b1": 20}
    assert (made.pools["web"].quorum, made.pools["web"].live_weight) == (True, 2 * weight)
    assert after.slots == before.slots
    assert suspecting.down == frozenset()  # what it has, stays with it


def test_who_is_watched_is_so_in_the_kernel() -> None:
    for watched in (False, True):
        node = Node()
        node.round(web(1, 1, watch_handshakes=watched), Health.UP, Health.UP)
        (entry,) = node.image.services.values()
        assert entry.is_watched is watched
