"""``python -m maglev``: what-if questions about a table."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from maglev.__main__ import main
from maglev.whatif import Question, answer


def asked(*arguments: str):
    return CliRunner().invoke(main, arguments)


def test_the_module_runs_as_a_program() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "maglev",
            "--backends",
            "1000",
            "--size",
            "65537",
            "--fail",
            "10",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Shares of 1000 backends in 65537 slots" in result.stdout
    assert "10 of 1000 fail" in result.stdout


def test_a_failure_is_answered_with_the_overlay_and_with_a_table_without_it() -> None:
    overlay, rebuilt = answer(Question((1,) * 1000, 65537, fail=10)).changes

    assert (overlay.how, overlay.disruption.needless) == ("overlay", 0)
    assert rebuilt.how == "rebuilt"
    assert rebuilt.disruption.needless > 1000
    assert rebuilt.shares.over < overlay.shares.over < 0.08


def test_a_zone_that_fails_takes_its_share_of_the_backends() -> None:
    overlay, rebuilt = answer(Question((1,) * 40, 4093, zones=4, fail_zone=True)).changes

    assert overlay.disruption.changed == pytest.approx(4093 / 4, abs=10)
    assert sum(overlay.shares.slots > 0) == sum(rebuilt.shares.slots > 0) == 30


def test_adding_removing_and_reweighting_are_rebuilds() -> None:
    changes = answer(Question((1, 1, 2), 4093, add=1, remove=1, reweight=3)).changes

    assert [change.how for change in changes] == ["rebuilt"] * 3
    added, removed, reweighted = (change.shares.exact.tolist() for change in changes)
    assert added == pytest.approx([4093 / 5, 4093 / 5, 4093 * 2 / 5, 4093 / 5])
    assert removed == pytest.approx([0, 4093 / 3, 4093 * 2 / 3, 0])
    assert reweighted == pytest.approx([4093 * 3 / 6, 4093 / 6, 4093 * 2 / 6, 0])


def test_json_says_the_same_as_the_table() -> None:
    result = asked("--weights", "2x1,5", "--size", "251", "--fail", "1", "-o", "json")

    found = json.loads(result.stdout)
    assert (found["backends"], found["size"]) == (3, 251)
    assert [change["table"] for change in found["changes"]] == ["overlay", "rebuilt"]
    assert found["changes"][0]["needless_slots"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "give either --backends or --weights"),
        ("--backends 3 --weights 1,1", "give either --backends or --weights"),
        ("--backends 0", "0 is not in the range 1<=x<=65535"),
        ("--backends 3 --size 100", "size 100 is not a prime; 101 is one"),
        ("--backends 3 --size 0", "size 0 is not in 2…16777216"),
        ("--backends 3 --size 2", "size 2 is smaller than 3, the number of backends"),
        ("--backends 3 --fail 3", "3 of 3 backends: somebody has to be left"),
        ("--backends 3 --remove 4", "4 of 3 backends: somebody has to be left"),
        ("--backends 3 --fail-zone", "--fail-zone needs --zones"),
        ("--backends 3 --zones 4 --fail-zone --fail 9", "9 of 3 backends"),
        ("--weights 3x", "'3x' is not like 900x1,100x10 (or 1,1,5)"),
        ("--weights 0,0", "all weights are 0"),
        ("--weights 1,65536", "weight 65536 of backend b'10.0.0.1:80' is not in 0…65535"),
        ("--weights 1,0 --fail 1", "nobody is up who has a weight"),
        ("--backends 3 --reweight 70000", "70000 is not in the range 0<=x<=65535"),
        ("--backends 65535 --add 1", "a table needs 1…65535 backends, not 65536"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(arguments, sentence) -> None:
    result = asked(*arguments.split())

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_the_help_shows_examples_on_lines_of_their_own() -> None:
    lines = asked("--help").stdout.splitlines()

    assert "    python -m maglev --backends 40 --zones 4 --fail-zone" in lines


def test_a_change_that_changes_the_default_size_is_warned_of() -> None:
    assert (
        "the default size for 41 backends is 8191"
        in asked("--backends", "40", "--add", "1").stderr
    )
    assert asked("--backends", "40", "--add", "1", "--size", "4093").stderr == ""
    assert asked("--backends", "41", "--add", "1").stderr == ""


def test_failed_backends_are_spread_over_the_zones() -> None:
    some, _ = answer(Question((1,) * 40, 4093, zones=4, fail=10)).changes
    zone, _ = answer(Question((1,) * 40, 4093, zones=4, fail_zone=True)).changes

    assert (some.shares.slots > 0).tolist() != (zone.shares.slots > 0).tolist()
