"""Rings remember who had their slots, for as long as flows may need it."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from control.compile import compile_image
from control.desired import DesiredState
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import Affinity, Backend, BackendState, Hash, Mode, Protocol, Service
from control.rounds import Settings
from control.status import Health
from control.sync.shared import SharedRing
from control.sync.teller import Teller
from control.tables import Tables
from control.transition import is_in_transition
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.image import Image, Ring
from dataplane.records import AFFINITY_ALWAYS, AFFINITY_NONE, HASH_SOURCE, Index
from dataplane.source import Limits

SETTINGS = Settings(Limits(services=8, backends=16, slots=65536), 42, ())
ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
HOP = NextHop("eth0", 3, ETH0.mac, b"\2\0\0\0\1\1")
SECOND = 1_000_000_000
START = Moment(1000 * SECOND)


def backend(number: int, **changes) -> Backend:
    return Backend(f"b{number}", IPv4Address(f"10.0.0.{10 + number}"), 80, **changes)


def web(*backends: Backend, **changes) -> Service:
    vip = IPv4Address("192.0.2.1")
    return Service("web", vip, Protocol.TCP, 80, Mode.DR, backends, **changes)


class Controller:
    """Compiles one state after the other, as the reconciler does."""

    def __init__(self) -> None:
        self.image = Image()
        self.tables = Tables()

    def compile(
        self,
        service: Service,
        moment: Moment = START,
        leader: SharedRing | None = None,
        **health: Health,
    ) -> Ring:
        """Return the service's new ring; backends are up if ``health`` does not say.

        ``leader`` is the ring of the node that has the VIP.
        """
        facts = Facts(
            network=Network(
                interfaces=(ETH0,),
                next_hops={backend.address: HOP for backend in service.backends},
            ),
            health={
                ("web", backend.name): health.get(backend.name, Health.UP)
                for backend in service.backends
            },
            shared={leader.endpoint: [leader]} if leader else {},
        )
        state = DesiredState((service,))
        compiled = compile_image(state, facts, SETTINGS, self.image, self.tables, moment)
        self.image = compiled.image
        return self.ring

    @property
    def ring(self) -> Ring:
        (service,) = self.image.services.values()
        return self.image.rings[service.ring_offset] if service.ring_size else Ring(b"")


A, B, C = (backend(number) for number in (1, 2, 3))


@pytest.fixture
def controller() -> Controller:
    made = Controller()
    made.compile(web(A, B))
    return made


def test_a_first_ring_is_not_in_transition(controller: Controller) -> None:
    assert not is_in_transition(controller.ring)


def draining(one: Backend) -> Backend:
    return replace(one, state=BackendState.DRAINING)


def test_all_flows_stay_when_all_backends_are_draining(controller: Controller) -> None:
    before = controller.ring

    after = controller.compile(web(draining(A), draining(B)))

    assert set(after) == {NO_BACKEND_ID}
    assert list(after.before) == list(before)


def test_flows_of_who_is_draining_stay_when_everybody_else_is_down(
    controller: Controller,
) -> None:
    before = controller.ring
    controller.compile(web(A, draining(B)))

    after = controller.compile(web(A, draining(B)), b1=Health.DOWN)

    assert set(after) == {NO_BACKEND_ID}
    assert [kept == 2 for kept in after.before] == [one == 2 for one in before]


def test_a_service_whose_backends_come_back_remembers_who_kept_its_flows(
    controller: Controller,
) -> None:
    before = controller.ring
    controller.compile(web(draining(A), draining(B)))

    after = controller.compile(web(draining(A), B))

    assert set(after) == {2}
    kept = [1 if one == 1 else RECORDS_ONLY for one in before]
    assert list(after.before) == kept


def test_a_service_of_which_nobody_can_keep_a_flow_has_no_ring(
    controller: Controller,
) -> None:
    assert controller.compile(web(A, B), b1=Health.DOWN, b2=Health.DOWN) == Ring(b"")


def changes(old: Ring, new: Ring) -> list[tuple[int, int, int]]:
    """Return (owner before, owner now, remembered) of each slot that changed."""
    slots = zip(old, new, new.before, strict=True)
    return sorted({(before, now, kept) for before, now, kept in slots if before != now})


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(web(A, B, C), id="adding one"),
        pytest.param(web(A, replace(B, weight=3)), id="re-weighting"),
        pytest.param(web(A, replace(B, state=BackendState.DRAINING)), id="draining one"),
        pytest.param(web(A, replace(B, weight=0)), id="weight 0"),
    ],
)
def test_slots_that_a_change_moves_remember_whose_they_were(
    controller: Controller, changed: Service
) -> None:
    old = controller.ring

    new = controller.compile(changed)

    moved = changes(old, new)
    assert moved
    assert all(before == kept for before, _, kept in moved)
    unmoved = [k for a, b, k in zip(old, new, new.before, strict=True) if a == b]
    assert set(unmoved) == {0}


def test_a_second_change_keeps_the_older_one_before(controller: Controller) -> None:
    first = controller.ring
    controller.compile(web(A, B, C))

    third = controller.compile(web(A, B, replace(C, weight=5)))

    remembered = {
        (owner, kept) for owner, kept in zip(first, third.before, strict=True) if kept
    }
    # Slots whose old owner has them again consult the records only.
    assert {(o, k) for o, k in remembered if k != RECORDS_ONLY} <= {(1, 1), (2, 2)}


def test_the_slots_of_a_dead_backend_move_at_once(controller: Controller) -> None:
    new = controller.compile(web(A, B), b2=Health.DOWN)

    assert not is_in_transition(new)
    assert controller.image.backends[Index(2)].is_down
    assert not controller.image.backends[Index(1)].is_down


def test_a_recovery_leaves_flows_with_those_who_stood_in(controller: Controller) -> None:
    sick = controller.compile(web(A, B), b2=Health.DOWN)

    well = controller.compile(web(A, B))

    assert changes(sick, well) == [(1, 2, 1)]


def test_a_dead_backend_is_not_waited_for(controller: Controller) -> None:
    controller.compile(web(A, B, C))

    ring = controller.compile(web(A, B, C), b1=Health.DOWN)

    assert 1 not in set(ring.before)
    assert RECORDS_ONLY in set(ring.before)


def test_a_draining_backend_that_dies_keeps_no_flows(controller: Controller) -> None:
    draining = web(A, replace(B, state=BackendState.DRAINING))
    ring = controller.compile(draining)
    assert 2 in set(ring.before)

    ring = controller.compile(draining, b2=Health.DOWN)

    assert 2 not in set(ring.before)
    assert controller.image.backends[Index(2)].is_down


def test_a_disabled_backend_keeps_no_flows(controller: Controller) -> None:
    ring = controller.compile(web(A, replace(B, state=BackendState.DISABLED)))

    assert 2 not in {*ring, *ring.before}
    assert controller.image.backends[Index(2)].is_down


def test_who_is_disabled_while_draining_gives_up_its_flows(controller: Controller) -> None:
    ring = controller.compile(web(A, draining(B)))
    assert 2 in set(ring.before)

    ring = controller.compile(web(A, replace(B, state=BackendState.DISABLED)))

    assert 2 not in {*ring, *ring.before}


def test_a_restart_does_not_forget_a_draining_backend(controller: Controller) -> None:
    draining = web(A, replace(B, state=BackendState.DRAINING))
    controller.compile(draining)

    ring = controller.compile(draining, b1=Health.UNKNOWN, b2=Health.UNKNOWN)

    assert 2 in set(ring.before)


def later(seconds: float, recorded: frozenset[int] | None = None) -> Moment:
    return Moment(START.now_ns + int(seconds * SECOND), recorded)


def test_the_transition_ends_when_the_window_is_over_and_no_record_is_left(
    controller: Controller,
) -> None:
    service = web(A, B, C)
    waiting = controller.compile(service)

    assert controller.compile(service, later(899)) == waiting
    closed = controller.compile(service, later(901))
    assert set(closed.before) == {0, RECORDS_ONLY}
    assert controller.compile(service, later(950, frozenset({0}))) == closed
    ended = controller.compile(service, later(980, frozenset()))
    assert ended == Ring.of(list(waiting))


def test_each_change_opens_the_window_anew(controller: Controller) -> None:
    controller.compile(web(A, B, C))
    again = controller.compile(web(A, B, replace(C, weight=2)), later(600))

    assert controller.compile(web(A, B, replace(C, weight=2)), later(1200)) == again
    closed = controller.compile(web(A, B, replace(C, weight=2)), later(1501))
    assert set(closed.before) == {0, RECORDS_ONLY}


def test_nothing_is_written_while_nothing_changes(controller: Controller) -> None:
    controller.compile(web(A, B, C))
    image = controller.image

    controller.compile(web(A, B, C), later(5))

    assert controller.image == image


def test_without_affinity_nothing_is_remembered(controller: Controller) -> None:
    controller.compile(web(A, B, affinity=Affinity.NONE))

    ring = controller.compile(web(A, B, C, affinity=Affinity.NONE))

    assert not is_in_transition(ring)
    (service,) = controller.image.services.values()
    assert service.affinity == AFFINITY_NONE


def test_affinity_and_hash_reach_the_maps(controller: Controller) -> None:
    controller.compile(web(A, B, affinity=Affinity.ALWAYS, hash=Hash.SOURCE))

    (service,) = controller.image.services.values()
    assert (service.affinity, service.hash) == (AFFINITY_ALWAYS, HASH_SOURCE)
    assert service.idle_seconds == 900


def test_a_ring_that_grows_remembers_as_well(controller: Controller) -> None:
    ring = controller.compile(web(A, B, ring_size=8191))

    assert len(ring) == 8191
    inherited = [kept for now, kept in zip(ring, ring.before, strict=True) if kept]
    assert len(inherited) > 2000


def shared(controller: Controller) -> SharedRing:
    """Return what a node with the VIP tells of its ring."""
    (told,) = Teller(always=False).rings(controller.image, frozenset({web().vip}))
    assert isinstance(told, SharedRing)
    return told


def before_by_address(controller: Controller) -> list[str]:
    """Return who had the slots, by address, for ids are each node's own."""
    names = {index.number: str(b.address) for index, b in controller.image.backends.items()}
    return [names.get(number, hex(number)) for number in controller.ring.before]


def test_a_node_that_starts_amid_a_transition_has_who_had_the_slots(
    controller: Controller,
) -> None:
    controller.compile(web(A, B, C))
    controller.compile(web(replace(A, weight=3), B, C))
    fresh = Controller()

    fresh.compile(web(C, B, replace(A, weight=3)), leader=shared(controller))

    assert before_by_address(fresh) == before_by_address(controller)
    assert is_in_transition(fresh.ring)


def test_a_node_that_hears_of_the_change_first_keeps_whom_the_other_one_has(
    controller: Controller,
) -> None:
    early = Controller()
    early.compile(web(A, B), leader=shared(controller))
    early.compile(web(A, B, C), leader=shared(controller))
    again = early.compile(web(A, B, C), leader=shared(controller))

    controller.compile(web(A, B, C))

    assert before_by_address(early) == before_by_address(controller)
    assert early.compile(web(A, B, C), leader=shared(controller)) == again


def test_a_node_that_has_not_heard_of_the_change_asks_records(
    controller: Controller,
) -> None:
    late = Controller()
    late.compile(web(A, B))
    controller.compile(web(replace(A, weight=9), B))
    moved = [index for index, b in enumerate(controller.ring.before) if b]

    ring = late.compile(web(A, B), leader=shared(controller))

    assert moved == [index for index, b in enumerate(ring.before) if b]
    assert {ring.before[index] for index in moved} == {RECORDS_ONLY}


def test_windows_close_with_those_of_the_node_that_has_the_flows(
    controller: Controller,
) -> None:
    controller.compile(web(A, B, C))
    fresh = Controller()
    fresh.compile(web(A, B, C), leader=shared(controller))
    later = Moment(START.now_ns + 901 * SECOND)

    controller.compile(web(A, B, C), later)
    fresh.compile(web(A, B, C), later, leader=shared(controller))
    assert set(before_by_address(fresh)) == {"0x0", hex(RECORDS_ONLY)}

    silent = replace(later, recorded=frozenset())
    controller.compile(web(A, B, C), silent)
    assert not is_in_transition(
        fresh.compile(web(A, B, C), later, leader=shared(controller))
    )


def test_a_node_that_takes_over_goes_on_by_itself(controller: Controller) -> None:
    controller.compile(web(A, B, C))
    other = Controller()
    followed = other.compile(web(A, B, C), leader=shared(controller))

    assert other.compile(web(A, B, C)) == followed
