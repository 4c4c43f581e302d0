"""Shares, disruption and transitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maglev import Disruption, build, disruption, shares, transition
from tests.support.pools import pools

owners = st.integers(-1, 4)


def table(*slots: int) -> np.ndarray:
    return np.array(slots, np.int32)


def test_a_transition_names_the_changed_slots_and_what_they_held() -> None:
    found = transition(table(0, 1, 2, 3), table(0, 2, 2, 1))

    assert found.slots.tolist() == [1, 3]
    assert found.before.tolist() == [1, 3]


@given(st.lists(st.tuples(owners, owners), min_size=1))
def test_what_a_transition_says_leads_back_to_the_old_table(pairs) -> None:
    old, new = (np.array(column, np.int32) for column in zip(*pairs, strict=True))

    found = transition(old, new)

    assert (old != new).sum() == len(found.slots)
    undone = new.copy()
    undone[found.slots] = found.before
    assert undone.tolist() == old.tolist()


def test_tables_of_two_sizes_have_no_transition() -> None:
    with pytest.raises(ValueError, match="a table of 2 slots does not change slot by slot"):
        transition(table(0, 1), table(0, 1, 2))


def test_shares_are_against_the_weights_of_those_who_are_up() -> None:
    found = shares(table(0, 0, 0, 1, 1, 2), [2, 1, 1], down={2})

    assert found.slots.tolist() == [3, 2, 1]
    assert found.exact.tolist() == [4, 2, 0]
    assert found.over == float("inf")  # somebody who should have nothing has a slot
    assert found.rounding == 1


def test_the_worst_are_the_busiest_and_the_idlest_by_weight() -> None:
    found = shares(table(0, 0, 0, 1, 1, 1, 2, 2), [2, 1, 1])

    assert found.over == pytest.approx(0.5)
    assert found.under == pytest.approx(0.25)


def test_there_are_no_shares_if_nobody_is_up() -> None:
    with pytest.raises(ValueError, match="nobody is up who has a weight"):
        shares(table(0, 0), [1], down={0})


@pytest.mark.parametrize("weights", [[1], [1, -1], []])
def test_shares_need_a_weight_for_everybody(weights) -> None:
    with pytest.raises(ValueError, match="weights are needed from 0, one for each of 2"):
        shares(table(0, 1), weights)


def test_shares_take_no_mask() -> None:
    with pytest.raises(TypeError):
        shares(table(0, 1), [1, 1], down=[True, False])


def test_what_the_new_shares_do_not_call_for_moves_needlessly() -> None:
    # 2 is gone, and its slot goes to 1; but 0 and 1 change places besides.
    found = disruption(table(0, 1, 2, 0), table(1, 0, 1, 0))

    assert found == Disruption(size=4, changed=3, needless=2)
    assert (found.changed_share, found.needless_share) == (0.75, 0.5)


def test_a_slot_that_nobody_has_any_more_changed_for_a_reason() -> None:
    assert disruption(table(0, 1), table(0, -1)) == Disruption(2, 1, 0)


@given(pools())
def test_a_backend_of_weight_0_is_as_good_as_none(pool) -> None:
    able = [backend for backend in pool if backend[1]]

    table = build(pool, 101)

    without = build(able, 101)
    assert [pool[i][0] for i in table] == [able[i][0] for i in without]
