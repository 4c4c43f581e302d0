"""Reasons are described once, and the documentation says the same."""

from pathlib import Path

from control import reasons
from dataplane.abi import REASONS

PAGE = Path(__file__).parents[2] / "docs" / "guideway.md"


def test_every_reason_says_what_to_do_and_no_other_name_does() -> None:
    told = {reason.name: reasons.described(reason) for reason in REASONS}

    assert set(reasons.REMEDIES) == set(told)
    assert all(one.meaning and one.remedy for one in told.values())


def test_the_table_in_the_documentation_is_the_one_of_the_program() -> None:
    section = PAGE.read_text().partition("## Reasons\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]

    # `python -m control.reasons` prints what has to stand there.
    assert table == list(reasons.markdown())
