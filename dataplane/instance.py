"""One data plane: what is pinned of it, opened, loaded if need be, taken away.

Below ``<bpffs>/guideway/<instance>`` are ``links`` and one directory for each program,
named by ABI version and digest; usually there is one. The kernel keeps it all running
when we are gone; :func:`open_instance` adopts what it finds.
"""

import fcntl
import os
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from dataplane import generations, libbpf
from dataplane.abi import PROGRAM, VERSION
from dataplane.attach import Links, ifindex
from dataplane.errors import AttachError, PinError
from dataplane.image import Image
from dataplane.loader import load
from dataplane.maps import Maps
from dataplane.records import port_index
from dataplane.source import Limits, digest, source

# The loader of a guidewayd that was killed holds the lock for as long as it takes to die.
_LOCK_PATIENCE: Final = 3.0  # seconds
_LOCK_PAUSE: Final = 0.02  # seconds
_BPFFS: Final = "bpf"  # how the kernel calls that file system


class Instance:
    """An open data plane; close it when done, the kernel keeps it."""

    def __init__(self, root: Path, directory: Path, lock: int, *, adopted: bool) -> None:
        """Open what is pinned in ``directory``; close ``lock`` with it."""
        self._lock = lock
        self.digest = directory.name.partition("-")[2]
        self.adopted = adopted
        self._root = root
        self._directory = directory
        self._links = Links(root / "links")
        self.maps = Maps(directory)
        self.program = libbpf.get(directory / PROGRAM)
        self._claimed: frozenset[int] = frozenset()
        self._in_use = False

    def close(self) -> None:
        """Let go of it."""
        self.maps.close()
        os.close(self.program)
        os.close(self._lock)

    def claim(self, interfaces: Iterable[str], *, native: bool) -> None:
        """Attach to those of these interfaces that carry no program of ours.

        With empty maps that changes nothing for their packets, so it is done first: what
        an interface refuses is known before anything else happens. Raises AttachError, and
        then nothing has changed.
        """
        self._claimed = self._links.claim(self.program, interfaces, native=native)

    def attach(self, interfaces: Iterable[str], *, native: bool) -> None:
        """Let packets of these interfaces, and of no others, through this program.

        Call it when the maps are filled. Programs that ran before are gone then. Raises
        AttachError.
        """
        present = list(interfaces)
        check_interfaces(present)
        self._links.claim(self.program, present, native=native)
        before = generations.predecessor(self._root, self._directory)
        if before is not None:
            generations.hand_on(before, self._directory)
        self._links.swap(self.program, present)
        self._in_use = True
        if before is not None:  # what packets have taught the other one meanwhile
            generations.hand_on(before, self._directory)
        for directory in generations.found(self._root):
            if directory != self._directory:
                generations.remove(directory)

    def unattached(self, interfaces: Iterable[str]) -> list[str]:
        """Return those of these interfaces whose packets do not come through us."""
        return [name for name in interfaces if not self._links.holds(name)]

    def discard(self) -> None:
        """Undo opening and claiming, unless packets depend on it since :meth:`attach`."""
        if self._in_use:
            return
        self._links.detach(self._claimed)
        if not self.adopted:
            generations.remove(self._directory)
        _prune(self._root)


def open_instance(root: Path, limits: Limits) -> Instance:
    """Open the data plane pinned below ``root``, loading the program if it is not there.

    A directory without a program is what a killed loader left: it is made anew. Raises
    PinError (somebody else has it open, for one), LoadError or KernelError; what it made
    itself is gone then.
    """
    check_bpffs(root)
    lock = _lock(root)
    directory = root / f"{VERSION}-{digest(source(limits))}"
    adopted = generations.is_complete(directory)
    try:
        if not adopted:
            generations.remove(directory)
            directory.mkdir()
            shared = generations.shareable(root, directory, limits)
            load(directory, limits, lock, shared)
        return Instance(root, directory, lock, adopted=adopted)
    except BaseException:
        if not adopted:
            generations.remove(directory)
        os.close(lock)
        _prune(root)
        raise


def seed_of(root: Path, instance: Instance) -> Image | None:
    """Return what the maps hold that ``instance`` is about to replace, if readable."""
    before = generations.predecessor(root, root / f"{VERSION}-{instance.digest}")
    if before is None:
        return None
    with closing(Maps(before)) as maps:
        return maps.read()


def remove_instance(root: Path) -> bool:
    """Detach and unpin everything below ``root``; False if nothing was there.

    Raises PinError if somebody has it open.
    """
    check_bpffs(root)
    if not root.exists():
        return False
    lock = _lock(root)
    try:
        links = Links(root / "links")
        links.detach(links.pinned())
        for directory in generations.found(root):
            generations.remove(directory)
    finally:
        os.close(lock)
    _prune(root)
    return True


def check_interfaces(interfaces: Iterable[str]) -> None:
    """Raise AttachError if an interface is missing, or two share a place in ``ports``."""
    places: dict[int, str] = {}
    for name in interfaces:
        index = ifindex(name)
        other = places.setdefault(port_index(index).number, name)
        if other != name:
            raise AttachError(
                name,
                f"its index {index} falls together with that of {other}: delete and add "
                "one of the two, so that it gets another index",
            )


def check_bpffs(root: Path) -> None:
    """Raise PinError unless ``root`` is to be found, or made, on a bpffs."""
    place = next(path for path in (root, *root.parents) if path.exists()).resolve()
    kinds = _mounted_kinds()
    # In a chroot, the root need not be a mount point.
    mount = next((path for path in (place, *place.parents) if str(path) in kinds), place)
    if kinds.get(str(mount)) != _BPFFS:
        wanted = root.parent.parent
        raise PinError(
            str(wanted),
            f"no bpffs is mounted there: `mount -t bpf bpf {wanted}` mounts one",
        )


def _lock(root: Path) -> int:
    """Make ``root`` and return a descriptor that keeps others away until it is closed."""
    root.mkdir(parents=True, exist_ok=True)
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


def _mounted_kinds() -> dict[str, str]:
    """Return the kind of file system by mount point."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in mounts]
    # The kernel writes a space in a path as \\040.
    return {row[1].encode().decode("unicode_escape"): row[2] for row in rows}


def _prune(root: Path) -> None:
    """Remove the directories that are empty now, ours only."""
    for directory in (root / "links", root, root.parent):
        try:
            directory.rmdir()
        except OSError:  # missing, or another instance lives there
            continue
