"""How the package is made: the same from every checkout, with modes that are decided."""

import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.checkout import clone
from vagrant.lab.hosts import PROJECT

pytestmark = pytest.mark.timeout(600)
EXECUTED = {
    f"./usr/lib/guideway/bin/{name}" for name in ("guideway", "guidewayd", "guideway-vrrpd")
}
SECRET = {"./etc/guideway/guideway.yaml"}


def test_everybody_may_read_all_of_it_but_secrets_and_only_root_may_write(
    package: Path,
) -> None:
    files = contents(package, "fsys")

    modes = {path: oct(file.mode) for path, file in files.items()}
    assert modes == {path: oct(decided(file)) for path, file in files.items()}
    assert {(file.uname, file.gname) for file in files.values()} == {("root", "root")}
    assert files.keys() >= EXECUTED | SECRET


def test_dpkg_may_run_its_scripts(package: Path) -> None:
    modes = {path: oct(file.mode) for path, file in contents(package, "ctrl").items()}

    scripts = dict.fromkeys(("./postinst", "./postrm", "./prerm"), "0o755")
    others = dict.fromkeys(("./conffiles", "./control", "./md5sums"), "0o644")
    assert modes == {".": "0o755", **scripts, **others}


def test_who_made_it_where_does_not_show(package: Path, tmp_path: Path) -> None:
    """Neither by the maker's umask, nor by the modes that a strict one gave a checkout."""
    copy = strict_checkout(tmp_path / "checkout")
    when = contents(package, "fsys")["."].mtime

    done = subprocess.run(
        [copy / "deploy/debian/build"],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(int(when))},
        umask=0o077,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = (copy / "dist").iterdir()
    assert listing(made) == listing(package)
    assert made.read_bytes() == package.read_bytes()


def contents(package: Path, part: str) -> dict[str, tarfile.TarInfo]:
    """Return what is in the file system, ``fsys``, or in the control archive, ``ctrl``."""
    archive = subprocess.run(
        ["dpkg-deb", f"--{part}-tarfile", package], capture_output=True, check=True
    )
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        return {file.name: file for file in files}


def decided(file: tarfile.TarInfo) -> int:
    """Return the mode that a file is to have."""
    if file.issym():
        return 0o777  # which means nothing
    if file.isdir() or file.name in EXECUTED:
        return 0o755
    return 0o600 if file.name in SECRET else 0o644


def listing(package: Path) -> list[str]:
    """Return modes, owners, sizes, times and names, a line for each file."""
    shown = subprocess.run(
        ["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True
    )
    return shown.stdout.splitlines()


def strict_checkout(directory: Path) -> Path:
    """Make a checkout that is its owner's alone, ready as this one is."""
    copy = clone(directory, umask=0o077)
    for words in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *words], cwd=copy, check=True)
    with (copy / ".git/info/exclude").open("a") as excluded:
        excluded.write(".venv\n")
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    return copy
