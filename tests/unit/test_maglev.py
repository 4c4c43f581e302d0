"""The Maglev table and its overlay."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maglev import build, default_size, overlay
from maglev.table import NOBODY

SIZE = 1021  # small and prime; the rules hold for every size

GOLDEN = [int(owner) for owner in "21112022001212222110212"]
GOLDEN_WITHOUT_THE_THIRD = [int(owner) for owner in "01110010001111111110011"]

weights = st.integers(0, 65535)
pools = st.dictionaries(st.binary(min_size=1, max_size=12), weights, min_size=1, max_size=8)


def equal(count: int) -> list[tuple[bytes, int]]:
    return [(f"10.0.0.{number}:80".encode(), 1) for number in range(count)]


@given(pools)
def test_every_slot_has_an_owner_with_a_weight(pool) -> None:
    backends = list(pool.items())

    table = build(backends, SIZE)

    able = {index for index, (_, weight) in enumerate(backends) if weight}
    assert set(table) <= (able or {NOBODY})
    assert len(table) == SIZE


@given(pools)
def test_shares_follow_the_weights_to_within_a_slot_for_each_backend(pool) -> None:
    backends = list(pool.items())
    total = sum(pool.values())
    if not total:
        return

    owned = Counter(build(backends, SIZE))

    for index, (_, weight) in enumerate(backends):
        assert abs(owned[index] - SIZE * weight / total) <= len(pool)


@given(pools, st.randoms())
def test_the_order_of_configuration_does_not_matter(pool, random) -> None:
    backends = list(pool.items())
    shuffled = random.sample(backends, len(backends))

    def owners(pairs):
        return [
            pairs[index][0] if index != NOBODY else None for index in build(pairs, SIZE)
        ]

    assert owners(backends) == owners(shuffled)


def test_removing_one_of_many_moves_little_else() -> None:
    backends = equal(100)
    before = build(backends, 65537)

    after = build(backends[:-1], 65537)

    needless = sum(a not in (b, 99) for a, b in zip(before, after, strict=True))
    assert needless / 65537 < 0.01


def test_a_table_is_the_same_for_ever() -> None:
    """Nodes of different versions must agree; a change of this moves all users' flows."""
    backends = [(b"10.0.0.1:80", 1), (b"10.0.0.2:80", 2), (b"10.0.0.3:80", 3)]

    assert build(backends, 23) == GOLDEN
    assert overlay(GOLDEN, backends, {2}) == GOLDEN_WITHOUT_THE_THIRD


@given(pools, st.data())
def test_a_failure_moves_the_slots_of_what_failed_and_nothing_else(pool, data) -> None:
    backends = list(pool.items())
    down = data.draw(st.sets(st.integers(0, len(backends) - 1)))
    base = build(backends, SIZE)

    table = overlay(base, backends, down)

    for before, after in zip(base, table, strict=True):
        assert after == before if before not in down else after not in down


@given(pools, st.data())
def test_a_second_failure_moves_no_slot_of_a_survivor(pool, data) -> None:
    backends = list(pool.items())
    down = data.draw(st.sets(st.integers(0, len(backends) - 1), min_size=1))
    last = data.draw(st.sampled_from(sorted(down)))
    base = build(backends, SIZE)

    earlier, later = (overlay(base, backends, gone) for gone in (down - {last}, down))

    moved = {a for a, b in zip(earlier, later, strict=True) if a != b}
    assert moved <= {last}


def test_survivors_share_what_is_left_by_their_weights() -> None:
    backends = [(b"a", 3), (b"b", 2), (b"c", 1)]
    base = build(backends, 65537)

    owned = Counter(overlay(base, backends, {0}))

    assert owned[1] / owned[2] == pytest.approx(2, rel=0.05)


def test_without_survivors_nobody_has_a_slot() -> None:
    backends = equal(3)

    assert set(overlay(build(backends, SIZE), backends, {0, 1, 2})) == {NOBODY}


@pytest.mark.parametrize(
    ("backends", "size"),
    [
        (0, 4093),
        (3, 4093),
        (40, 4093),
        (41, 8191),
        (655, 65537),
        (656, 655373),
        (9999, 655373),
    ],
)
def test_the_default_size_leaves_a_hundred_slots_for_each_backend(backends, size) -> None:
    assert default_size(backends) == size
