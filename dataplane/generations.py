"""The programs pinned for one instance, and what one hands on to the next.

Each has a directory, named by ABI version and digest, that holds it and its maps. There is
one as long as nobody replaces it, and two while somebody does, or was killed doing it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dataplane import libbpf
from dataplane.abi import PROGRAM, VERSION
from dataplane.attach import Links
from dataplane.source import LEARNT, Limits

# ABI version and digest; another release may add something.
_NAME: Final = re.compile(r"[0-9]+-[0-9a-f]{16}(-.*)?")


def found(root: Path) -> list[Path]:
    """Return the directories of all programs below ``root``, complete or not.

    Those of other releases, too; what is not named like one of ours is not ours.
    """
    if not root.exists():
        return []
    return [path for path in root.iterdir() if _NAME.fullmatch(path.name)]


def is_complete(directory: Path) -> bool:
    """Tell whether a loader got to its end here: it pins the program last."""
    return (directory / PROGRAM).exists()


def remove(directory: Path) -> None:
    """Unpin a program and its maps; the program first: without it all is incomplete.

    Another release may have had other maps than we know.
    """
    if not directory.exists():
        return
    (directory / PROGRAM).unlink(missing_ok=True)
    for pin in directory.iterdir():
        pin.unlink()
    directory.rmdir()


def predecessor(root: Path, directory: Path) -> Path | None:
    """Return whom the program in ``directory`` replaces; None if nobody, or if unreadable.

    That is another one that gets packets now. If nobody at all does, it is the one that was
    loaded last.
    """
    running = Links(root / "links").programs()
    ages = {
        path: libbpf.pinned_program_id(path / PROGRAM)
        for path in found(root)
        if path.name.startswith(f"{VERSION}-") and is_complete(path)
    }
    ours = ages.pop(directory, None)
    in_use = [path for path in ages if ages[path] in running]
    candidates = in_use if in_use or ours in running else list(ages)
    return max(candidates, key=ages.__getitem__, default=None)  # numbers of programs go up


def shareable(root: Path, directory: Path, limits: Limits) -> dict[str, Path]:
    """Return the maps that a program for ``directory`` can take over from its predecessor.

    What packets have taught is lost by no swap then. The others have another size.
    """
    before = predecessor(root, directory)
    if before is None:
        return {}
    with _opened(before / "records") as records:
        fits = libbpf.map_shape(records).max_entries == limits.records
    return {name: before / name for name in LEARNT if fits or name != "records"}


def hand_on(before: Path, after: Path) -> None:
    """Add what packets have taught one program to what they have taught the other.

    Where both share a map there is nothing to do; else it takes seconds for a million.
    """
    for name in LEARNT:
        with _opened(before / name) as old, _opened(after / name) as new:
            if libbpf.map_id(old) != libbpf.map_id(new):
                _add(old, new)


def _add(old: int, new: int) -> None:
    shape = libbpf.map_shape(old)
    for keys, values in libbpf.map_batches(old):
        for number in range(len(keys) // shape.key_size):
            key = keys[number * shape.key_size : (number + 1) * shape.key_size]
            value = values[number * shape.value_size : (number + 1) * shape.value_size]
            libbpf.map_add(new, key, value)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = libbpf.get(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
