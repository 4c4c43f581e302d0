"""deploy/setup, in a checkout where nothing has been made ready yet."""

import subprocess
from pathlib import Path

import pytest

from tests.support.checkout import clone

pytestmark = pytest.mark.timeout(600)
# All of it that is compiled, by us or by others.
USED = "import control.cli.main, maglev; print(maglev.build.__name__)"


def test_what_root_makes_ready_everybody_may_use(open_path: Path) -> None:
    checkout = clone(open_path / "guideway", umask=0o022)

    assert "ready" in output(["deploy/setup", "lab"], checkout)

    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    used = [*nobody, ".venv/bin/python", "-c", USED]
    assert output(used, checkout) == "build\n"
    assert output([*nobody, "deploy/setup", "lab"], checkout) == "guideway setup: ready\n"


def output(command: list[str], directory: Path) -> str:
    """Run a command as hardened hosts' root does; return what it prints."""
    done = subprocess.run(
        command,
        cwd=directory,
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
