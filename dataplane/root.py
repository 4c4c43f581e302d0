"""The directory on a bpffs below which a data plane is pinned: who may use it, and when."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from dataplane.bpffs import is_on_bpffs
from dataplane.errors import PinError
from dataplane.pins import make_directory

# The loader of a guidewayd that was killed holds the lock for as long as it takes to die.
_LOCK_PATIENCE: Final = 3.0  # seconds
_LOCK_PAUSE: Final = 0.02  # seconds


def check_bpffs(root: Path) -> None:
    """Raise PinError unless ``root`` is to be found, or made, on a bpffs."""
    if not is_on_bpffs(root):
        wanted = root.parent.parent
        raise PinError(
            str(wanted),
            f"no bpffs is mounted there: `mount -t bpf bpf {wanted}` mounts one",
        )


def lock_root(root: Path) -> int:
    """Make ``root`` and return a descriptor that keeps others away until it is closed."""
    make_directory(root)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() < deadline:
                time.sleep(_LOCK_PAUSE)
                continue
            os.close(descriptor)
            raise PinError(
                str(root), "is in use by a running guidewayd: stop that one first"
            ) from error
        return descriptor


def prune(root: Path) -> None:
    """Remove the directories that are empty now, ours only."""
    for directory in (root / "links", root, root.parent):
        try:
            directory.rmdir()
        except OSError:  # missing, or another instance lives there
            continue
