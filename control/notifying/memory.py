"""What was known when guidewayd ended, so that the next one tells the differences alone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from control.notifying.changes import Kind, Subject

_MAX_BYTES: Final = 64 << 20
_READABLE: Final = 0o600


class _Entry(msgspec.Struct):
    kind: Kind
    service: str
    name: str
    state: str


def load(path: Path) -> dict[Subject, str]:
    """Return what was known; nothing if there is no file, or not one of ours."""
    try:
        with path.open("rb") as file:
            entries = msgspec.json.decode(file.read(_MAX_BYTES), type=list[_Entry])
    except (OSError, msgspec.MsgspecError):
        return {}
    return {Subject(one.kind, one.service, one.name): one.state for one in entries}


def save(path: Path, states: Mapping[Subject, str]) -> None:
    """Replace the file at once; OSError. Blocking."""
    entries = [_Entry(s.kind, s.service, s.name, state) for s, state in states.items()]
    new = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, _READABLE), "wb") as file:
        file.write(msgspec.json.encode(entries))
    new.replace(path)
