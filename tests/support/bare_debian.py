"""A Debian that has essential packages and guideway, and nothing else: a container's image.

It is made by mmdebstrap, from Debian's mirror, and then as ``deploy/Dockerfile`` says.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import eventually
from tests.support.world import World, child
from vagrant.lab.hosts import PROJECT

DOCKERFILE = (PROJECT / "deploy" / "Dockerfile").read_text()
# Docker's base image is this one, with less documentation.
_MAKE = ("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase")
# Arguments: the root.
_START = """
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc none "$1/proc"
mount -t sysfs none "$1/sys"
mount -t bpf none "$1/sys/fs/bpf"
mount -t tmpfs none "$1/run"
mount --rbind /dev "$1/dev"
mkdir -p "$1/run/guideway"
exec chroot "$1" /usr/bin/sleep infinity
"""
_NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")


def missing() -> str | None:
    """Return why there can be none here, in a sentence; None if there can."""
    return None if shutil.which("mmdebstrap") else "mmdebstrap is not installed"


def instruction(name: str) -> str:
    """Return what stands behind ``name`` in the Dockerfile, on one line."""
    found = re.search(rf"^{name} ((?:.*\\\n)*.*)$", DOCKERFILE, re.MULTILINE)
    assert found, name
    return re.sub(r"\\\n\s*", "", found[1])


def make(root: Path, package: Path) -> None:
    """Make the image in ``root``, which need not be there. Takes half a minute."""
    copy = f'mkdir -p "$1/tmp"; cp "{package}" "$1/tmp/"'
    hooks = (copy, f"chroot \"$1\" sh -ec '{instruction('RUN')}'")
    done = subprocess.run(
        (*_MAKE, *(f"--customize-hook={hook}" for hook in hooks), "bookworm", str(root)),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def started(root: Path) -> Iterator[World]:
    """Let it run, with a network of its own, and one process, which sleeps."""
    process = subprocess.Popen(
        (
            *("unshare", "--fork", *_NAMESPACES, "--kill-child"),
            *("sh", "-e", "-c", _START, "start", str(root)),
        ),
        stdin=subprocess.DEVNULL,
    )
    try:
        yield World(
            eventually(lambda: child(process.pid, "sleep"), within=20, what="it runs")
        )
    finally:
        process.kill()  # and, since it dies with it, everything in its namespaces
        process.wait(timeout=20)
