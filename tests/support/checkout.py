"""Checkouts of our own, with the files of this one as they are now."""

import shutil
import subprocess
from pathlib import Path

from vagrant.lab.hosts import PROJECT


def clone(to: Path, umask: int) -> Path:
    """Make one, not made ready, with the modes that ``git clone`` gives by ``umask``."""
    for name in files():
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT / name, target)
        executable = (PROJECT / name).stat().st_mode & 0o100
        target.chmod((0o777 if executable else 0o666) & ~umask)
    for directory in (to, *to.rglob("*/")):
        directory.chmod(0o777 & ~umask)
    return to


def files() -> list[str]:
    """Return the names of what is in git, or would be after ``git add``."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.split("\0") if name]
