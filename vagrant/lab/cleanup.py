"""The lab's name, its run directory, and how all that carries the name is removed.

A run that was killed leaves processes, namespaces, mounts and files. They are found by the
lab's name alone, so nothing has to be written down to be found again, and nothing else can
be meant by it.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vagrant.lab import namespaces, programs
from vagrant.lab.errors import BusyError, LabError

RUN_DIRECTORY: Final = Path("/run/guideway-lab")
_NAME: Final = re.compile(r"[a-z0-9]{1,16}")  # no hyphen: that ends the name in a prefix


def prefix(name: str) -> str:
    """Return what the names of all namespaces of the lab ``name`` start with."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is not a name for a lab: up to 16 of a…z and 0…9")
    return f"guideway-{name}-"


def directory(name: str) -> Path:
    """Return the run directory of the lab ``name``."""
    prefix(name)  # checks the name, which is about to become a path
    return RUN_DIRECTORY / name


def bpffs(name: str) -> Path:
    """Return where the lab ``name`` has its own bpffs."""
    return directory(name) / "bpf"


def make_directory(name: str) -> Path:
    """Make the run directory with a bpffs in it, and return it."""
    run = directory(name)
    bpffs(name).mkdir(parents=True)
    run.chmod(0o700)
    # Not the host's /sys/fs/bpf: what is pinned here goes with the lab.
    _run("mount", "-t", "bpf", "bpf", str(bpffs(name)))
    return run


def remove(name: str) -> None:
    """Remove everything of the lab ``name``; harmless if there is nothing."""
    with programs.gone_after(prefix(name), bpffs(name)):
        for namespace in namespaces.named(prefix(name)):
            namespaces.remove(namespace)
        # Unpinned, not only unmounted: somebody's mount namespace may have a copy.
        for path in bpffs(name).glob("*"):
            shutil.rmtree(path, ignore_errors=True)
        for mount in reversed(_mounts_below(directory(name))):
            # A process that has just been killed may have to close a file there yet.
            _run("umount", "--lazy", str(mount))
    shutil.rmtree(directory(name), ignore_errors=True)


def exists(name: str) -> bool:
    """Return whether there is anything of the lab ``name``."""
    return directory(name).exists() or bool(namespaces.named(prefix(name)))


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lab ``name`` for the length of the block; raise BusyError if someone does.

    The kernel lets go of the lock when its process ends, however it ends.
    """
    path = directory(name).with_suffix(".lock")
    descriptor = _lock(path, name)
    try:
        yield
    finally:
        path.unlink()  # while we hold it, so that nobody unlinks another's
        os.close(descriptor)
        with suppress(OSError):  # another lab is there
            RUN_DIRECTORY.rmdir()


def _lock(path: Path, name: str) -> int:
    while True:
        path.parent.mkdir(mode=0o755, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:  # the last lab has just taken the directory away
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise BusyError(name) from error
        os.close(descriptor)  # its holder unlinked it meanwhile: this is no lock any more


def _mounts_below(path: Path) -> list[Path]:
    """Return the mount points at or below ``path``, in the order they were mounted."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    # proc(5): the fifth field; our own directories hold nothing that would be escaped.
    points = (Path(line.split()[4]) for line in table)
    return [point for point in points if point.is_relative_to(path)]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
