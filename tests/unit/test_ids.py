"""Numbers, and places for rings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.arena import place_ring
from control.errors import HostError
from control.ids import assign

known_numbers = st.dictionaries(st.text(max_size=2), st.integers(0, 20), max_size=8).filter(
    lambda known: len(set(known.values())) == len(known)
)


def numbers(wanted, known):
    return assign(wanted, known, first=0, limit=100, what="backends")


@given(st.sets(st.text(max_size=2), max_size=8), known_numbers)
def test_who_has_a_number_keeps_it_and_no_two_have_the_same(wanted, known) -> None:
    assigned = numbers(wanted, known)

    assert set(assigned) == wanted
    assert len(set(assigned.values())) == len(wanted)
    assert all(assigned[key] == known[key] for key in wanted & known.keys())


@given(st.sets(st.text(max_size=2), max_size=8), known_numbers)
def test_nobody_gets_the_number_of_one_who_is_going(wanted, known) -> None:
    assigned = numbers(wanted, known)

    new = {assigned[key] for key in wanted - known.keys()}
    assert new.isdisjoint(known.values())


def test_more_than_there_are_numbers_is_refused() -> None:
    with pytest.raises(HostError, match=r"more than 2 backends: raise `limits\.backends`"):
        assign("abc", {}, first=1, limit=3, what="backends")


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 50), st.data())
def test_a_ring_is_placed_where_nobody_is(sizes, size, data) -> None:
    taken: dict[int, int] = {}
    for one in sizes:
        taken[place_ring(one, taken, 10_000)] = one
    for offset in data.draw(st.sets(st.sampled_from(sorted(taken)))) if taken else ():
        del taken[offset]  # holes

    offset = place_ring(size, taken, 10_000)

    end = offset + size
    assert all(end <= start or start + n <= offset for start, n in taken.items())
    assert end <= 10_000


def test_a_full_arena_is_said_to_be() -> None:
    with pytest.raises(HostError, match="no room for a ring of 3 slots"):
        place_ring(3, {0: 4, 6: 2}, 8)
