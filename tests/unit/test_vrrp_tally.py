"""How late timers were: a histogram of which nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from vrrp.tally import BOUNDS, Advert, Lateness, advert


@given(st.lists(st.floats(-1, 100), max_size=50))
def test_every_timer_that_was_due_is_in_the_buckets_from_its_lateness_on(
    waits: list[float],
) -> None:
    lateness = Lateness()
    for late in waits:
        lateness.add(late)

    due = [late for late in waits if late >= 0]
    wanted = {str(end): sum(late <= end for late in due) for end in BOUNDS}
    assert lateness.told() == {**wanted, "+Inf": len(due)}
    assert lateness.most == max(due, default=0.0)
    assert abs(lateness.total - sum(due)) < 1e-6


def test_priority_0_resigns() -> None:
    assert [advert(p) for p in (0, 1, 255)] == [Advert.RESIGNS, Advert.ALIVE, Advert.ALIVE]
