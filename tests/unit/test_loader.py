"""The processes that compile the program."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane import child
from dataplane.errors import LoadError

NOBODY = "1"  # whose child we are not


@pytest.mark.parametrize(
    "arguments",
    [("dataplane.loader", NOBODY), ("dataplane.explainer", NOBODY)],
    ids=["loader", "explainer"],
)
def test_one_whose_guidewayd_has_died_while_it_was_starting_does_nothing(
    arguments: tuple[str, ...],
) -> None:
    command = [sys.executable, "-m", *arguments]

    done = subprocess.run(command, input=b"not even read", capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Return how to run some code as a child."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def start(code: str, timeout: float = 30) -> bytes:
        (tmp_path / "some_child.py").write_text(f"import os, sys\n{code}\n")
        return child.run("some_child", "one", "two", said=b"said", timeout=timeout)

    return start


def test_what_a_child_prints_is_its_answer_to_what_it_is_told(run) -> None:
    assert run("print(sys.argv[1:], sys.stdin.read())") == b"['one', 'two'] said\n"


def test_one_that_takes_too_long_is_ended(run) -> None:
    with pytest.raises(LoadError, match="took more than 1 s"):
        run("while True: pass", timeout=1)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("sys.exit('much\\nthe last line')", "the last line"),
        ("sys.exit(1)", "the loader failed silently"),
        ("os.kill(os.getpid(), 9)", "the loader was killed by signal 9: is there memory"),
        (
            "sys.exit('could not open bpf map: slots, error: No memory')",
            "the kernel does not make the map slots: No memory; lower `limits`",
        ),
    ],
)
def test_one_that_fails_is_told_of_in_a_sentence(run, code: str, problem: str) -> None:
    with pytest.raises(LoadError) as caught:
        run(code)

    assert str(caught.value).startswith(problem)
