"""What the benchmark of VRRP's steadiness puts down to the machine, and what to us."""

from bench.steadiness.standstill import standstills, unexcused


def test_a_machine_stands_still_while_all_its_processors_do() -> None:
    one = [(1.0, 1.5), (3.0, 3.1), (5.0, 5.4)]
    two = [(1.2, 1.6), (5.1, 5.2), (5.3, 5.9)]

    stood = standstills([one, two], 0.1 - 1e-9)

    assert [(round(begin, 3), round(end, 3)) for begin, end in stood] == [
        (1.2, 1.5),
        (5.1, 5.2),
        (5.3, 5.4),
    ]


def test_a_processor_that_stands_still_alone_is_no_standstill() -> None:
    assert standstills([[(1.0, 2.0)], []], 0.1) == []


def test_a_short_standstill_does_not_count() -> None:
    assert standstills([[(1.0, 1.2)]], 0.3) == []


def test_only_a_change_soon_after_a_standstill_is_excused() -> None:
    stood = [(10.0, 10.5)]

    assert unexcused([9.9, 10.2, 11.4, 11.6], stood, 1.0) == [9.9, 11.6]
