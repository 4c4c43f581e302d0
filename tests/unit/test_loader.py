"""The process that compiles and loads the program."""

import subprocess
import sys
from pathlib import Path


def test_a_loader_whose_guidewayd_has_died_while_it_was_starting_does_nothing(
    tmp_path: Path,
) -> None:
    nobody = "1"  # whose child we are not
    command = [sys.executable, "-m", "dataplane.loader", str(tmp_path), nobody]

    done = subprocess.run(command, input=b"not even read", capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
