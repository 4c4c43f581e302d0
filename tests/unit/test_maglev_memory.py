"""The native code of the Maglev table under AddressSanitizer and UBSan."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(180)


def run(action: str, directory, **environment: str) -> subprocess.CompletedProcess[str]:
    # Where memory is spread at random, it sometimes lies where the sanitizer wants its own.
    return subprocess.run(
        [
            "setarch",
            "--addr-no-randomize",
            sys.executable,
            "-m",
            "tests.support.sanitized_maglev",
            action,
            str(directory),
        ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """Return how to run an action with the sanitized module."""
    directory = tmp_path_factory.mktemp("sanitized")
    compiled = run("compile", directory)
    assert compiled.returncode == 0, compiled.stderr
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()

    def act(action: str) -> subprocess.CompletedProcess[str]:
        return run(
            action,
            directory,
            LD_PRELOAD=library,
            PYTHONMALLOC="malloc",  # or the interpreter's own pools hide an overrun
            ASAN_OPTIONS="detect_leaks=0",  # those of the interpreter
        )

    return act


def test_no_input_makes_it_leave_its_memory(sanitized) -> None:
    result = sanitized("check")

    assert result.returncode == 0, result.stderr


def test_the_sanitizer_would_have_noticed(sanitized) -> None:
    result = sanitized("overrun")

    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr
