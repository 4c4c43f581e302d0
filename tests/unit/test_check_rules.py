"""Rules of single values of checks; most are tried with checks that break them."""

from control.check_rules import status_ranges


def test_ranges_of_status_codes_are_read() -> None:
    found = status_ranges("200-299, 404,500-500")

    assert found == (range(200, 300), range(404, 405), range(500, 501))
