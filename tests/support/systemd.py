"""A systemd of our own, as process 1 of namespaces that it has for itself.

It sees the machine's files, and what it writes goes away with it; it has a network of its
own, a bpffs of its own, and the checkout at /opt/guideway, where the units expect it.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.support.wait import eventually
from tests.support.world import World, child
from vagrant.lab.hosts import PROJECT

INIT = Path("/lib/systemd/systemd")
_PATH = "/opt/guideway/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CGROUPS = Path("/sys/fs/cgroup")
_NAMESPACES = ("--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup")
# Waits until it is in its cgroups. Arguments: a directory for all this, and the checkout.
_BOOT = f"""
read -r go
exec unshare --fork {" ".join(_NAMESPACES)} --kill-child sh -e -c "$3" boot "$1" "$2"
"""
# The mode of its root directory is that of "upper", whatever is masked out for our caller:
# a user who may not search it runs nothing.
_INSIDE = """
umask 022
mount --make-rprivate /
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root"
mount -t proc none "$root/proc"
mount -t sysfs none "$root/sys"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
mount --rbind /dev "$root/dev"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 none "$root/sys/fs/cgroup"
else
    mount -t tmpfs none "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd none "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 none "$root/sys/fs/cgroup/unified"
fi
mount -t bpf none "$root/sys/fs/bpf"
mkdir -p "$root/opt/guideway"
mount --bind "$2" "$root/opt/guideway"
# Made ready elsewhere, it says so in these files, and a unit may not see elsewhere.
mkdir "$1/moved"
for file in "$root"/opt/guideway/.venv/bin/guideway* \
    "$root"/opt/guideway/.venv/lib/python*/site-packages/__editable__*guideway*; do
    copy=$1/moved/${file##*/}
    cp "$file" "$copy"
    sed -i "s|$2|/opt/guideway|g" "$copy"
    mount --bind "$copy" "$file"
done
mkdir -p "$root/etc/guideway"
printf '[Unit]\\nAllowIsolate=yes\\n' > "$root/etc/systemd/system/ours.target"
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" \\
    /lib/systemd/systemd --system --unit=ours.target --log-target=console --show-status=no
"""


def missing() -> str | None:
    """Return why there can be none here, in a sentence; None if there can."""
    if not INIT.exists():
        return "systemd is not installed"
    if not list(_hierarchies()):
        return "there is no cgroup hierarchy for it"
    return None


class Systemd(World):
    """It, running."""

    def show(self, unit: str, what: str) -> str:
        return self.run("systemctl", "show", "--property", what, "--value", unit).strip()


@contextmanager
def booted(directory: Path, name: str) -> Iterator[Systemd]:
    """Boot it; at the end nothing of it is left."""
    groups = [hierarchy / name for hierarchy in _hierarchies()]
    for group in groups:
        group.mkdir()
    place, log = directory / "systemd", directory / "systemd.log"
    place.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ("sh", "-c", _BOOT, "boot", str(place), str(PROJECT), _INSIDE),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    for group in groups:
        (group / "cgroup.procs").write_text(str(process.pid))
    assert process.stdin
    with process.stdin:
        process.stdin.write(b"go\n")
    try:
        made = eventually(
            lambda: _running(process.pid), within=20, what="it runs", explain=log.read_text
        )
        eventually(lambda: _is_up(made), within=20, what="it is up", explain=log.read_text)
        yield made
    finally:
        process.kill()  # and, since it dies with it, everything in its namespaces
        process.wait(timeout=20)
        for group in groups:
            eventually(partial(_removed, group), within=20, what=f"{group} is gone")


def _hierarchies() -> Iterator[Path]:
    """Yield where systemd needs a cgroup of its own."""
    if (_CGROUPS / "cgroup.controllers").exists():
        yield _CGROUPS
    else:
        yield from (p for p in (_CGROUPS / "systemd", _CGROUPS / "unified") if p.is_dir())


def _running(parent: int) -> Systemd | None:
    pid = child(parent, "systemd")
    return Systemd(pid, _PATH) if pid else None


def _is_up(made: Systemd) -> bool:
    with suppress(AssertionError):
        return made.run("systemctl", "is-system-running") == "running\n"
    return False


def _removed(group: Path) -> bool:
    """Remove a cgroup with those below, as soon as nobody is in them."""
    with suppress(OSError):
        for path in (*sorted(group.rglob("*/"), reverse=True), group):
            path.rmdir()
    return not group.exists()
