"""Who stands in for backends that are down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maglev import NOBODY, Overlay, Permutations, disruption, overlay, shares, twin
from tests.support.pools import SIZES, equal, pools

SEEDS = st.sampled_from([0, 1, 2**64 - 1])


def overlay_of(pool, size=1021, seed=0, zones=None) -> Overlay:
    permutations = Permutations([identity for identity, _ in pool], size, seed)
    return Overlay(permutations, [weight for _, weight in pool], zones)


def some_of(pool, at_least=0) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(0, len(pool) - 1), min_size=at_least)


def zones_of(pool) -> st.SearchStrategy[list[str] | None]:
    racks = st.sampled_from(["rack 1", "rack 2", "rack 3"])
    return st.none() | st.lists(racks, min_size=len(pool), max_size=len(pool))


@given(pools(), st.sampled_from(SIZES), SEEDS, st.data())
def test_the_overlay_is_that_of_weighted_rendezvous_hashing(pool, size, seed, data) -> None:
    down, zones = data.draw(some_of(pool)), data.draw(zones_of(pool))
    base = overlay_of(pool, size, seed, zones)

    table = base.move(down).table

    assert table.tolist() == twin.overlay(base.base.tolist(), pool, down, seed, zones)
    assert overlay(pool, size, down, seed=seed, zones=zones).tolist() == table.tolist()


@pytest.mark.parametrize("kept", [1, 2, 30])
def test_so_is_it_for_many_survivors_and_few(kept) -> None:
    pool = [(identity, 1 + number % 7) for number, (identity, _) in enumerate(equal(200))]
    base = overlay_of(pool, 4093)
    down = set(range(200 - kept))

    assert base.move(down).table.tolist() == twin.overlay(base.base.tolist(), pool, down)


@given(pools(), st.data())
def test_the_way_to_it_does_not_matter(pool, data) -> None:
    zones = data.draw(zones_of(pool))
    steps = data.draw(st.lists(some_of(pool), min_size=1, max_size=5))
    base = overlay_of(pool, zones=zones)

    last = base
    for down in steps:
        last = last.move(down)

    assert last.table.tolist() == base.move(steps[-1]).table.tolist()
    assert last.move(()).table.tolist() == base.base.tolist()


@given(pools(), st.data())
def test_a_failure_moves_the_slots_of_what_failed_and_nothing_else(pool, data) -> None:
    down = data.draw(some_of(pool))
    base = overlay_of(pool)

    table = base.move(down).table

    for before, after in zip(base.table.tolist(), table.tolist(), strict=True):
        assert after == before if before not in down else after not in down


@given(pools(), st.data())
def test_a_second_failure_moves_no_slot_of_a_survivor(pool, data) -> None:
    down = data.draw(some_of(pool, at_least=1))
    last = data.draw(st.sampled_from(sorted(down)))
    one = overlay_of(pool).move(down - {last})

    both = one.move(down)

    assert set(one.table[one.table != both.table].tolist()) <= {last}


@pytest.mark.parametrize(
    ("failed", "busiest"), [(1, 1.04), (10, 1.08), (50, 1.13), (100, 1.18)]
)
def test_no_slot_moves_needlessly_and_the_load_stays_even(failed, busiest) -> None:
    pool = equal(1000)
    base, down = overlay_of(pool, 65537), range(0, 1000, 1000 // failed)

    after = base.move(down)

    found = disruption(base.table, after.table)
    assert found.needless == 0
    assert found.changed == np.isin(base.table, down).sum()
    assert 1 + shares(after.table, [1] * 1000, down).over <= busiest


def test_survivors_share_what_is_left_by_their_weights() -> None:
    pool = [(b"a", 3000), (b"b", 2), (b"c", 1)]

    slots = np.bincount(overlay_of(pool, 65537).move({0}).table)

    assert slots[1] / slots[2] == pytest.approx(2, rel=0.03)


def test_without_survivors_nobody_has_a_slot_and_a_recovery_gives_all_back() -> None:
    base = overlay_of(equal(3))

    nobody = base.move({0, 1, 2})

    assert set(nobody.table.tolist()) == {NOBODY}
    assert nobody.move({1}).table.tolist() == base.move({1}).table.tolist()


def test_who_has_no_weight_does_not_stand_in() -> None:
    pool = [(b"a", 1), (b"b", 0)]

    assert set(overlay_of(pool).move({0}).table.tolist()) == {NOBODY}


def test_survivors_of_another_zone_are_preferred_where_zones_are_given() -> None:
    zones = ["A", "A", "A", "B", "C"]
    base = overlay_of(equal(5), zones=zones)

    table = base.move({0}).table

    assert set(table[base.table == 0].tolist()) == {3, 4}
    assert set(overlay_of(equal(5)).move({0}).table[base.table == 0].tolist()) == {
        1,
        2,
        3,
        4,
    }


def test_the_own_zone_stands_in_if_no_other_is_left() -> None:
    base = overlay_of(equal(3), zones=["A", "A", "B"])

    table = base.move({0, 2}).table

    assert set(table.tolist()) == {1}


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_that_no_backend_has_is_refused(index) -> None:
    with pytest.raises(ValueError, match=rf"^backend {index} is not in 0…2$"):
        overlay_of(equal(3)).move({index})


@pytest.mark.parametrize(
    "mask", [[True], [False, True, False], np.array([False, True, False]), [1.0], ["1"]]
)
def test_a_mask_is_not_taken_for_indices(mask) -> None:
    with pytest.raises(TypeError):
        overlay_of(equal(3)).move(mask)


def test_indices_may_be_of_numpy() -> None:
    base = overlay_of(equal(3))

    assert base.move(np.array([1])).table.tolist() == base.move([1]).table.tolist()


def test_a_stand_in_of_the_own_zone_gives_way_when_another_zone_is_back() -> None:
    base = overlay_of(equal(3), zones=["A", "A", "B"])

    back = base.move({0, 2}).move({0})

    assert back.table.tolist() == base.move({0}).table.tolist()


def test_nearly_everybody_may_come_back_at_once() -> None:
    base = overlay_of(equal(200), 4093)

    back = base.move(range(199)).move(range(100))

    assert back.table.tolist() == base.move(range(100)).table.tolist()


def test_one_zone_for_each_backend_is_needed() -> None:
    with pytest.raises(ValueError, match=r"^there are 2 zones for 3 backends$"):
        overlay_of(equal(3), zones=["A", "B"])


def test_moving_leaves_the_overlay_it_starts_from_as_it_is() -> None:
    base = overlay_of(equal(3))
    before = base.table.tolist()

    base.move({1}).move({2})

    assert (base.table.tolist(), base.down) == (before, frozenset())
