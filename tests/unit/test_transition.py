"""Rings that remember who had their slots before."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.transition import (
    change,
    close_window,
    end,
    is_in_transition,
)
from dataplane.abi import RECORDS_ONLY
from dataplane.image import Ring

A, B, C = 1, 2, 3
R = RECORDS_ONLY


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint32)


def changed(now: int, before: int, wanted: int, keepers: set[int]) -> tuple[int, int]:
    """Return the only slot of a ring after a change: its owner, and whose it was."""
    ring = change(Ring.of([now], [before]), ids(wanted), keepers)
    return (*ring, *ring.before)


ALL = {A, B, C}


@pytest.mark.parametrize(
    ("now", "before", "wanted", "keepers", "expected"),
    [
        pytest.param(A, 0, A, ALL, (A, 0), id="nothing changes"),
        pytest.param(A, 0, B, ALL, (B, A), id="a slot changes hands"),
        pytest.param(A, 0, B, {B}, (B, 0), id="because its owner died"),
        pytest.param(B, A, B, ALL, (B, A), id="a transition goes on"),
        pytest.param(B, A, C, ALL, (C, A), id="a change within a transition"),
        pytest.param(B, A, B, {B}, (B, R), id="the one before dies"),
        pytest.param(B, A, C, {B, C}, (C, B), id="the one before dies at a change"),
        pytest.param(B, A, C, {C}, (C, R), id="both die at a change"),
        pytest.param(B, A, A, ALL, (A, R), id="it goes back to the one before"),
        pytest.param(B, A, A, {A}, (A, R), id="it goes back, for the owner died"),
        pytest.param(B, R, C, ALL, (C, B), id="a change after the window"),
        pytest.param(B, R, C, {C}, (C, R), id="a death after the window"),
        pytest.param(B, R, B, ALL, (B, R), id="nothing changes after the window"),
    ],
)
def test_a_slot_remembers_whose_unrecorded_flows_it_has(
    now, before, wanted, keepers, expected
) -> None:
    assert changed(now, before, wanted, keepers) == expected


def test_a_new_ring_remembers_nothing() -> None:
    ring = change(Ring(b""), ids(A, B), ALL)

    assert (list(ring), list(ring.before)) == ([A, B], [0, 0])


def test_a_ring_of_another_size_inherits_slot_by_slot() -> None:
    old = Ring.of([A, A, B])

    ring = change(old, ids(C, C, C, C, C, C, C), ALL)

    assert list(ring.before) == [A, A, A, A, A, B, B]


numbers = st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=40)


@given(numbers, st.integers(1, 200))
def test_most_flows_find_whom_they_had_in_a_ring_of_another_size(owners, size) -> None:
    new = change(Ring.of(owners), np.full(size, 9, np.uint32), ALL)

    kept = sum(
        owners[h * len(owners) >> 12] == new.before[h * size >> 12] for h in range(4096)
    )
    boundaries = sum(a != b for a, b in pairwise(owners))
    assert kept / 4096 >= 1 - boundaries / size - 0.02


def test_after_the_window_unrecorded_flows_are_new() -> None:
    ring = Ring.of([A, B, C], [B, 0, R])

    closed = close_window(ring)

    assert (list(closed), list(closed.before)) == ([A, B, C], [R, 0, R])
    assert (awaits_old_flows(ring), awaits_old_flows(closed)) == (True, False)


def awaits_old_flows(ring: Ring) -> bool:
    """Tell whether any slot still sends unrecorded flows to whom it was before."""
    return not set(ring.before) <= {0, R}


def test_in_the_end_all_slots_are_ordinary() -> None:
    ring = Ring.of([A, B], [R, B])

    assert end(ring) == Ring.of([A, B])
    assert (is_in_transition(ring), is_in_transition(end(ring))) == (True, False)


class Slot:
    """What a packet meets in one slot; the same as ``pick_by_record`` in affinity.h."""

    def __init__(self, owner: int) -> None:
        self.ring = Ring.of([owner])
        self.records: dict[int, int] = {}

    def send(self, flow: int, keepers: set[int], *, begins: bool = False) -> int:
        (owner,), (before,) = self.ring, self.ring.before
        if not before:
            return owner
        recorded = self.records.get(flow)
        if recorded in keepers and not begins:
            return recorded
        choice = before if before in keepers and not begins else owner
        self.records[flow] = choice
        return choice


@given(st.data())
def test_no_flow_loses_a_backend_that_can_keep_it(data) -> None:
    """Whatever changes how often, in whichever order, and who dies meanwhile."""
    backends = {1, 2, 3, 4}
    slot, up, homes = Slot(1), set(backends), {}
    for step in range(data.draw(st.integers(1, 12))):
        action = data.draw(st.sampled_from(["begin", "send", "change", "die", "return"]))
        if action == "begin":
            homes[step] = slot.send(step, up, begins=True)
        elif action == "send" and homes:
            flow = data.draw(st.sampled_from(sorted(homes)))
            assert slot.send(flow, up) == homes[flow]
        elif action == "return":
            up = set(backends)
        elif action in {"change", "die"}:
            (owner,) = slot.ring
            if action == "die" and len(up) > 1:
                dead = data.draw(st.sampled_from(sorted(up)))
                up = up - {dead}
                homes = {flow: home for flow, home in homes.items() if home != dead}
            if action == "change" or owner not in up:
                owner = data.draw(st.sampled_from(sorted(up)))
            slot.ring = change(slot.ring, ids(owner), up)

    for flow, home in homes.items():
        assert slot.send(flow, up) == home
