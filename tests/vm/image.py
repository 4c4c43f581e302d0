"""Makes the machines' root file system, once for each recipe, and keeps it."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.vm.checkout import archive
from tests.vm.recipe import CHECKOUT, FINISH, SUITE, WHEELS, Recipe, recipe
from vagrant.lab.errors import CommandError, HostError
from vagrant.lab.hosts import PROJECT

_TOOLS = {  # and Debian's packages that have them
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
_SIZE = "8G"  # of the file system; of the file, what is used of it


@dataclass(frozen=True, slots=True)
class Image:
    """The files that machines are started from."""

    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "root.ext4"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd.img"

    @property
    def key(self) -> Path:
        """The private key that opens them, by ssh."""
        return self.directory / "key"


def require_tools() -> None:
    """Raise HostError if this host cannot make and start machines."""
    if os.geteuid() != 0:
        raise HostError("test-vm makes a root file system and a network: try sudo")
    lacking = sorted({_TOOLS[tool] for tool in _TOOLS if shutil.which(tool) is None})
    if lacking:
        raise HostError(f"test-vm needs more: apt-get install {' '.join(lacking)}")
    if not Path("/dev/net/tun").exists():
        raise HostError("test-vm needs /dev/net/tun, to give machines a network")


def this_recipe() -> Recipe:
    """Return what the machines of this checkout need."""
    deploy = PROJECT / "deploy"
    return recipe(
        setup=(deploy / "setup").read_text(),
        control=(deploy / "debian" / "control.in").read_text(),
        pyproject=(PROJECT / "pyproject.toml").read_text(),
        constraints=(deploy / "constraints.txt").read_text(),
    )


def image(cache: Path) -> tuple[Image, str]:
    """Return the image for this checkout, made if it is not there, and how it was had."""
    wanted = this_recipe()
    home = cache / wanted.key()
    if home.exists():
        return Image(home), f"was made before: {home}"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as made:
        _make(wanted, Path(made))
        for old in cache.glob("????????????????"):  # a name is the key of its recipe
            shutil.rmtree(old)
        (whole := Path(made) / "image").chmod(0o700)
        whole.rename(home)
    return Image(home), f"made in {home}"


def _make(wanted: Recipe, work: Path) -> None:
    root, wheels, files = work / "root", work / "wheels", work / "image"
    for directory in (wheels, files):
        directory.mkdir()
    _download(wanted, wheels)
    made = Image(files)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test-vm", "-f", made.key)
    checkout = work / "checkout.tar"
    checkout.write_bytes(archive())
    finish = work / "finish"
    finish.write_text(f"set -e\n{FINISH}")
    _run(
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(wanted.packages)}",
        f'--customize-hook=mkdir -p -m 700 "$1/root/.ssh" "$1{WHEELS}" "$1{CHECKOUT}"',
        f"--customize-hook=upload {made.key}.pub /root/.ssh/authorized_keys",
        f"--customize-hook=sync-in {wheels} {WHEELS}",
        f"--customize-hook=tar-in {checkout} {CHECKOUT}",
        f"--customize-hook=upload {finish} /srv/finish",
        f'--customize-hook=chroot "$1" sh /srv/finish "{" ".join(wanted.archives)}"',
        SUITE,
        root,
    )
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), made.kernel)
    shutil.copy(next((root / "boot").glob("initrd.img-*")), made.initrd)
    _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, made.disk, _SIZE)


def _download(wanted: Recipe, wheels: Path) -> None:
    constraints = wheels.parent / "constraints.txt"
    constraints.write_text(wanted.constraints)
    _run(
        *(sys.executable, "-m", "pip", "download", "--quiet"),
        *("--disable-pip-version-check", "--only-binary", ":all:"),
        *("--dest", wheels, "--constraint", constraints, *wanted.wheels),
    )


def _run(*command: str | Path) -> None:
    words = tuple(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise CommandError("this host", words[:3], done.returncode, said)
