"""The systemd units: their sense; `systemd-analyze verify` looks at their syntax."""

import tomllib
from pathlib import Path

import pytest

from tests.support.units import NAMES, settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_starts_a_program_that_is_installed(name: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    (command,) = settings(name)["ExecStart"]

    assert Path(command.split()[0]).name == name
    assert name in scripts


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_started_again_for_ever_and_watched(name: str) -> None:
    unit = settings(name)

    assert (unit["Type"], unit["Restart"]) == (["notify"], ["always"])
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert float(unit["WatchdogSec"][0]) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_a_stop_of_one_unit_leaves_what_the_other_needs(name: str) -> None:
    unit = settings(name)

    assert unit["RuntimeDirectory"] == ["guideway"]
    assert unit["RuntimeDirectoryPreserve"] == ["yes"]
    assert not {"Requires", "BindsTo", "PartOf"} & unit.keys()


@pytest.mark.parametrize("name", NAMES)
def test_directories_of_both_have_one_mode_whichever_starts_last(name: str) -> None:
    unit = settings(name)

    assert unit["RuntimeDirectoryMode"] == ["0755"]
    assert unit["StateDirectoryMode"] == ["0700"]
