"""This checkout as an operator would copy it: what git knows, and what is new in it."""

import subprocess
from pathlib import Path

from vagrant.lab.hosts import PROJECT


def archive(directory: Path = PROJECT) -> bytes:
    """Return a tar file of what is below ``directory``, without what git ignores."""
    listed = subprocess.run(
        ("git", "ls-files", "-co", "--exclude-standard", "-z"),
        cwd=directory,
        capture_output=True,
        check=True,
    )
    packed = subprocess.run(
        ("tar", "-c", "--null", "--files-from=-"),
        cwd=directory,
        input=listed.stdout,
        capture_output=True,
        check=True,
    )
    return packed.stdout


def package() -> Path:
    """Return the newest package in dist; `make test-vm` has just made it."""
    made = (PROJECT / "dist").glob("guideway_*.deb")
    return max(made, key=lambda path: path.stat().st_mtime)
