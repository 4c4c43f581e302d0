"""Places for rings."""

from hypothesis import given
from hypothesis import strategies as st

from control.arena import first_gap, place
from dataplane.image import Ring

SLOTS = 60
HALF = SLOTS // 2


@st.composite
def pools(draw: st.DrawFn) -> list[Ring]:
    """Draw rings that a state may have: of half the arena at most."""
    rings, room = [], HALF
    for number in draw(st.lists(st.integers(1, 5), max_size=8)):
        size = draw(st.integers(1, HALF))
        if size <= room:
            rings.append(Ring.of([number] * size))
            room -= size
    return rings


def spans(rings, offsets) -> set[tuple[int, int]]:
    """Return the slots of each ring; equal ones share them."""
    return {(at, at + len(ring)) for ring, at in zip(rings, offsets, strict=True)}


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


@given(st.lists(pools(), max_size=8))
def test_however_often_rings_change_there_is_a_place_beside_all_old_ones(history) -> None:
    known: dict[int, Ring] = {}
    for rings in history:
        offsets = place(rings, known, SLOTS)

        assert None not in offsets
        new = spans(rings, offsets)
        assert all(start >= 0 and end <= SLOTS for start, end in new)
        assert not any(overlap(a, b) for a in new for b in new if a != b)
        for ring, at in zip(rings, offsets, strict=True):
            span = (at, at + len(ring))
            old = spans(known.values(), known)
            assert known.get(at) == ring or not any(overlap(span, one) for one in old)
        known = dict(zip(offsets, rings, strict=True))


@given(st.lists(pools(), min_size=1, max_size=6))
def test_when_a_round_has_ended_one_half_is_free(history) -> None:
    known: dict[int, Ring] = {}
    for rings in history:
        known = dict(zip(place(rings, known, SLOTS), rings, strict=True))

    used = spans(known.values(), known)
    assert all(end <= HALF for _, end in used) or all(start >= HALF for start, _ in used)


@given(st.lists(pools(), max_size=4))
def test_rings_that_do_not_change_stay_where_they_are(history) -> None:
    known: dict[int, Ring] = {}
    for rings in history:
        known = dict(zip(place(rings, known, SLOTS), rings, strict=True))

    assert place(list(known.values()), known, SLOTS) == list(known)


def test_rings_of_a_round_without_end_stay_and_others_wait_for_room() -> None:
    left, right = Ring.of([1] * 29), Ring.of([2] * 29)
    known = {0: left, 31: right}

    assert place([left, Ring.of([3])], known, SLOTS) == [0, 29]
    assert place([left, Ring.of([3] * 29)], known, SLOTS) == [0, None]


def test_an_empty_ring_takes_no_place() -> None:
    assert place([Ring(b"")], {0: Ring.of([1])}, SLOTS) == [0]


def test_a_gap_is_found_behind_rings_that_overlap() -> None:
    assert first_gap(3, range(10), [(0, 6), (1, 2)]) == 6
    assert first_gap(5, range(10), [(0, 6), (1, 2)]) is None
