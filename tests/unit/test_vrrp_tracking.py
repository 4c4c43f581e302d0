"""What checks mean for an instance, and when a result becomes a finding."""

import pytest

from vrrp.tracking import Finding, Standing, Tally, Track, standing

WELL = Finding()
ILL = Finding("it is broken")


@pytest.mark.parametrize(
    ("track", "finding", "wanted"),
    [
        pytest.param(Track("a", 0), WELL, Standing(100), id="well"),
        pytest.param(Track("a", 0), ILL, Standing(100, "a: it is broken"), id="fault"),
        pytest.param(Track("a", -30), WELL, Standing(100), id="nothing to subtract"),
        pytest.param(Track("a", -30), ILL, Standing(70), id="subtracted"),
        pytest.param(Track("a", 30), WELL, Standing(130), id="added"),
        pytest.param(Track("a", 30), ILL, Standing(100), id="nothing to add"),
        pytest.param(Track("a", -253), ILL, Standing(1), id="never below 1"),
        pytest.param(Track("a", 253), WELL, Standing(254), id="never an owner"),
        pytest.param(Track("a", 2), Finding("says", 20), Standing(140), id="multiplied"),
        pytest.param(Track("a", -2), Finding("says", 20), Standing(60), id="and down"),
        pytest.param(Track("a", 2), Finding(points=0), Standing(100), id="times 0"),
        pytest.param(Track("a", 0), Finding("5", 5), Standing(100, "a: 5"), id="file"),
        pytest.param(
            Track("b", 0), WELL, Standing(100, "b: it has no result yet"), id="unknown"
        ),
    ],
)
def test_a_check_changes_priority_or_makes_an_instance_rest(
    track: Track, finding: Finding, wanted: Standing
) -> None:
    assert standing(100, [track], {"a": finding}) == wanted


def test_weights_add_up_and_every_reason_to_rest_is_named() -> None:
    tracks = [Track("a", -10), Track("b", -20), Track("c", 0), Track("d", 0)]

    stands = standing(100, tracks, dict.fromkeys("abcd", ILL))

    assert stands == Standing(70, "c: it is broken; d: it is broken")


def test_the_owner_remains_it_but_rests_like_others() -> None:
    assert standing(255, [Track("a", 0)], {"a": ILL}) == Standing(255, "a: it is broken")


def test_the_first_result_decides_alone_and_others_need_a_row() -> None:
    tally = Tally(rise=2, fall=3)

    told = [tally.add(each) for each in (WELL, ILL, ILL, WELL, ILL, ILL, ILL, WELL, WELL)]

    assert told == [True, False, False, False, False, False, True, False, True]
    assert tally.finding == WELL


def test_another_number_in_a_file_is_told_at_once() -> None:
    tally = Tally(rise=1, fall=1)
    tally.add(Finding("says 1", 1))

    assert tally.add(Finding("says 2", 2))
    assert not tally.add(Finding("says 2", 2))
