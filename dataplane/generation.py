"""A program with its maps, pinned in a directory of its own.

The directory is named ``<ABI version>-<digest>``, and ``-2``, ``-3``… where there is one of
that name already: a program that is loaded anew lives beside the one before it for a while.
"""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from dataplane import libbpf
from dataplane.abi import MAPS, PROGRAM, VERSION
from dataplane.errors import PinError
from dataplane.maps import Maps
from dataplane.pins import stranger, unpin

_NAME: Final = re.compile(r"([0-9]+)-([0-9a-f]{16})(?:-([0-9]+))?")
_NAME_LENGTH: Final = 15  # characters that the kernel keeps of a map's name
_LINKS: Final = "links"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a generation is pinned, or will be."""

    root: Path
    abi: int
    digest: str
    number: int = 1  # tells those of one ABI and digest apart

    @classmethod
    def of(cls, directory: Path) -> Self | None:
        """Return the place that a directory's name says; None if it is not of ours."""
        if (match := _NAME.fullmatch(directory.name)) is None:
            return None
        return cls(directory.parent, int(match[1]), match[2], int(match[3] or 1))

    @property
    def directory(self) -> Path:
        """Its directory."""
        suffix = f"-{self.number}" if self.number > 1 else ""
        return self.root / f"{self.abi}-{self.digest}{suffix}"

    def is_whole(self) -> bool:
        """Tell whether all is pinned here; a loader pins the program last.

        Raises PinError if something is not what a loader of this ABI version pins.
        """
        present = {path.name for path in self.directory.iterdir()}
        for name in sorted(present - {PROGRAM, *MAPS}):
            raise stranger(self.directory / name)
        if present != {PROGRAM, *MAPS}:
            return False
        program = self._info()
        for name in MAPS:
            self._check_map(name, program.map_ids)
        return True

    def program_id(self) -> int | None:
        """Return the number of the program that is pinned here; None if there is none."""
        path = self.directory / PROGRAM
        return libbpf.pinned_program_id(path) if path.exists() else None

    def remove(self) -> None:
        """Unpin it; the program first: without it all is incomplete."""
        if not self.directory.exists():
            return
        unpin(self.directory / PROGRAM)
        # Another ABI version has other maps: whatever is there, by the directory's name.
        paths = [self.directory / name for name in MAPS]
        for path in paths if self.abi == VERSION else list(self.directory.iterdir()):
            unpin(path)
        try:
            self.directory.rmdir()
        except OSError as error:
            raise PinError(
                str(self.directory), "holds pins that are not guideway's"
            ) from error

    def _info(self) -> libbpf.ProgramInfo:
        path = self.directory / PROGRAM
        program = libbpf.get(path)
        try:
            if libbpf.object_kind(program) == "prog":
                info = libbpf.program_info(program)
                if (info.kind, info.name) == (libbpf.PROGRAM_XDP, PROGRAM):
                    return info
        finally:
            os.close(program)
        raise stranger(path, "is not guideway's program")

    def _check_map(self, name: str, used: frozenset[int]) -> None:
        path = self.directory / name
        fd = libbpf.get(path)
        try:
            is_ours = (
                libbpf.object_kind(fd) == "map"
                and libbpf.map_id(fd) in used
                and libbpf.map_name(fd) == name[:_NAME_LENGTH]
            )
        finally:
            os.close(fd)
        if not is_ours:
            raise stranger(path, "is not the map that the program uses")


class Generation:
    """A generation, open; close it when done, the kernel keeps it."""

    def __init__(self, place: Place) -> None:
        """Open what is pinned at ``place``; PinError if it is not a data plane."""
        self.place = place
        self.maps = Maps(place.directory)
        try:
            self.program = libbpf.get(place.directory / PROGRAM)
        except BaseException:
            self.maps.close()
            raise

    def close(self) -> None:
        """Let go of it."""
        self.maps.close()
        os.close(self.program)

    def age(self) -> float:
        """Return the seconds since the kernel loaded the program."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        return now - libbpf.program_info(self.program).load_time


def found(root: Path) -> list[Place]:
    """Return the generations below ``root``, whole or not, those of one name in order.

    Raises PinError if there is anything that cannot be guideway's.
    """
    places = []
    for path in sorted(root.iterdir()) if root.exists() else ():
        if path.name == _LINKS:
            continue
        place = Place.of(path) if path.is_dir() else None
        if place is None:
            raise stranger(path)
        places.append(place)
    return sorted(places, key=lambda place: (place.abi, place.digest, place.number))


def free_place(root: Path, digest: str) -> Place:
    """Return the first place for a program of ours where there is no directory yet."""
    place = Place(root, VERSION, digest)
    while place.directory.exists():
        place = Place(root, VERSION, digest, place.number + 1)
    return place
