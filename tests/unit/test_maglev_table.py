"""The Maglev table."""

from array import array
from fractions import Fraction
from threading import Event, Thread
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maglev import Permutations, build, default_size, shares, twin
from tests.support.pools import SIZES, equal, pools

SEEDS = st.sampled_from([0, 1, 2**64 - 1])


@given(pools(), st.sampled_from(SIZES), SEEDS)
def test_the_table_is_that_of_the_paper_s_pseudo_code(pool, size, seed) -> None:
    assert build(pool, size, seed).tolist() == twin.build(pool, size, seed)


@pytest.mark.parametrize("weights", ["equal", "mixed"])
@pytest.mark.parametrize(("backends", "size"), [(3, 4093), (1000, 4093), (50, 65537)])
def test_so_are_tables_of_the_sizes_in_use(backends, size, weights) -> None:
    pool = equal(backends)
    if weights == "mixed":
        pool = [(identity, number * number) for number, (identity, _) in enumerate(pool, 1)]
        pool = [(identity, weight % 65536) for identity, weight in pool]

    assert build(pool, size).tolist() == twin.build(pool, size)


@pytest.mark.parametrize("size", [2, 3, 5, 61, 67, 127, 131])
def test_so_are_tables_as_small_as_their_backends_are_many(size) -> None:
    pool = equal(size)

    assert build(pool, size).tolist() == twin.build(pool, size)


@given(pools(), st.sampled_from(SIZES))
def test_every_share_is_within_one_slot_of_exact(pool, size) -> None:
    weights = [weight for _, weight in pool]

    slots = np.bincount(build(pool, size), minlength=len(pool))

    for owned, weight in zip(slots.tolist(), weights, strict=True):
        assert abs(owned - Fraction(size * weight, sum(weights))) < 1


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20))
def test_so_is_it_for_ratios_up_to_a_thousand_in_tables_of_the_size_they_need(
    weights,
) -> None:
    size = next(
        size for size in (4093, 65537, 655373, 2097143) if size >= 100 * sum(weights)
    )
    pool = [(identity, w) for (identity, _), w in zip(equal(20), weights, strict=False)]

    assert shares(build(pool, size), weights).rounding < 1


def test_a_thousand_equal_backends_differ_by_less_than_two_percent() -> None:
    found = shares(build(equal(1000), 65537), [1] * 1000)

    assert found.over <= 0.016
    assert sorted(set(found.slots)) == [65, 66]


@given(pools(), st.sampled_from(SIZES), st.randoms())
def test_the_order_of_configuration_does_not_matter(pool, size, random) -> None:
    shuffled = random.sample(pool, len(pool))

    def owners(pairs):
        return [pairs[index][0] for index in build(pairs, size)]

    assert owners(pool) == owners(shuffled)


@given(pools(), st.sampled_from(SIZES))
def test_kept_permutations_give_the_same_tables_after_a_change_of_weights(
    pool, size
) -> None:
    identities = [identity for identity, _ in pool]
    weights = [weight for _, weight in pool]
    permutations = Permutations(identities, size)
    permutations.build(weights)

    changed = [weights[0] ^ 1 or 2, *weights[1:]]

    expected = build(list(zip(identities, changed, strict=True)), size)
    assert permutations.build(changed).tolist() == expected.tolist()


def test_another_seed_gives_another_table() -> None:
    one, other = (build(equal(10), 1021, seed) for seed in (1, 2))

    assert np.mean(one == other) < 0.2


def test_a_table_is_a_buffer_that_cannot_be_changed() -> None:
    table = build(equal(3), 13)

    view = memoryview(table)
    assert (view.format, view.itemsize, view.shape) == ("i", 4, (13,))
    assert view.readonly


def test_removing_one_of_many_moves_little_else() -> None:
    pool = equal(100)
    before = build(pool, 65537)

    after = build(pool[:-1], 65537)

    assert np.mean((before != after) & (before != 99)) < 0.01


def test_other_threads_run_while_a_table_is_built() -> None:
    # The program may not stop for as long as a great table takes.
    started, ended, times = Event(), Event(), []

    def work() -> None:
        permutations = Permutations([b"a", b"b"], 8388593)
        times.append(perf_counter())
        started.set()
        permutations.build([1, 2])
        times.append(perf_counter())
        ended.set()

    thread = Thread(target=work)
    thread.start()
    started.wait(10)
    ticks = []
    while not ended.is_set():
        ticks.append(perf_counter())
    thread.join()

    begin, end = times
    middle = [begin + (end - begin) * part for part in (0.25, 0.75)]
    assert [tick for tick in ticks if middle[0] < tick < middle[1]]


@pytest.mark.parametrize(
    ("pool", "size", "sentence"),
    [
        ([], 13, r"a table needs 1…65535 backends, not 0"),
        ([(b"", 1)] * 65536, 65537, "a table needs 1…65535 backends, not 65536"),
        (equal(2), 0, "size 0 is not in 2…16777216"),
        (equal(2), -7, "size -7 is not in 2…16777216"),
        (equal(2), 16777259, "size 16777259 is not in 2…16777216"),
        (equal(2), 16777214, "size 16777214 is not a prime; 16777213 is one"),
        (equal(2), 4, "size 4 is not a prime; 5 is one"),
        (equal(2), 4096, "size 4096 is not a prime; 4099 is one"),
        (
            equal(14),
            13,
            "size 13 is smaller than 14, the number of backends: 17 is large enough",
        ),
        (
            [(b"a", 1), (b"b", 1), (b"a", 2)],
            13,
            "backends 0 and 2 have the same identity, b'a': each one needs its own",
        ),
        (
            [(b"a", 0), (b"b", 0)],
            13,
            "all weights are 0: at least one of the 2 backends needs one in 1…65535",
        ),
        ([(b"a", 1), (b"b", -1)], 13, "weight -1 of backend b'b' is not in 0…65535"),
        ([(b"a", 65536)], 13, "weight 65536 of backend b'a' is not in 0…65535"),
        ([(b"a", 2**70)], 13, f"weight {2**70} of backend b'a' is not in 0…65535"),
    ],
)
def test_what_cannot_be_a_table_is_refused(pool, size, sentence) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole text is compared
        build(pool, size)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_of_more_than_64_bits_is_refused(seed) -> None:
    with pytest.raises(
        ValueError, match=rf"^seed {seed} is not in 0…18446744073709551615$"
    ):
        build(equal(2), 13, seed)


@pytest.mark.parametrize(
    "pool", [[("a", 1)], [(7, 1)], [(b"a", 1.5)], [(b"a", "1")], [(b"a", None)]]
)
def test_what_is_of_another_type_is_refused(pool) -> None:
    with pytest.raises(TypeError):
        build(pool, 13)


def test_a_size_that_is_no_integer_is_refused() -> None:
    with pytest.raises(TypeError):
        build(equal(2), 13.0)


def test_weights_in_bytes_are_taken_one_by_one() -> None:
    permutations = Permutations([b"a", b"b", b"c", b"d"], 101)

    table = permutations.build(b"\1\0\3\0")

    assert table.tolist() == permutations.build([1, 0, 3, 0]).tolist()


class Boastful(bytes):
    def __len__(self) -> int:
        return 1 << 20


@pytest.mark.parametrize(
    "identity",
    [
        bytearray(b"ab"),
        memoryview(b"ab"),
        array("H", [0x6261]),
        np.array([[0x61, 0x62]], np.uint8),
        Boastful(b"ab"),
    ],
    ids=lambda identity: type(identity).__name__,
)
def test_an_identity_is_its_bytes_whatever_holds_them(identity) -> None:
    table = build([(identity, 1), (b"c", 1)], 101)

    assert table.tolist() == build([(b"ab", 1), (b"c", 1)], 101).tolist()


def test_everything_may_be_an_iterator() -> None:
    pool = equal(3)

    assert build(iter(pool), 13).tolist() == build(pool, 13).tolist()


def test_names_with_half_a_key_in_common_take_turns_by_the_other_half() -> None:
    # The sort in C goes by the upper 32 bits, which these two have in common.
    pool = [(b"10.0.12.229:80", 1), (b"10.0.239.82:80", 1)]
    keys = [twin.key(identity, 0) for identity, _ in pool]
    assert keys[0] >> 32 == keys[1] >> 32

    for order in (pool, pool[::-1]):
        assert build(order, 101).tolist() == twin.build(order, 101)


def test_one_weight_for_each_backend_is_needed() -> None:
    with pytest.raises(ValueError, match=r"^there are 1 weights for 2 backends$"):
        Permutations([b"a", b"b"], 13).build([1])


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
