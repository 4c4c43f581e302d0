"""The directory of headers for BCC, which is there for as long as BCC needs it."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from dataplane.headers import tree


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_goes_when_it_is_not_needed_any_more(temporary: Path) -> None:
    with tree() as made:
        assert (made / "include" / "linux" / "kconfig.h").exists()

    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_needs_stays(
    temporary: Path,
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    living = os.getppid()
    for pid in (ended.pid, living):
        (temporary / f"guideway-headers-{pid}-x" / "include").mkdir(parents=True)

    with tree():
        pass

    assert [path.name for path in temporary.iterdir()] == [f"guideway-headers-{living}-x"]
