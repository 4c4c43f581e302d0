"""A probe by a file on this host: what other programs say of the backend."""

import os
import re
import stat
from typing import Final

from control.addresses import IpAddress
from control.checks import FileCheck, fill
from control.health.result import PASSED, Result, one_line
from control.model import MAX_WEIGHT

_MAX_BYTES: Final = 64
_WEIGHT: Final = re.compile("[0-9]{1,5}")


def probe(address: IpAddress, port: int, check: FileCheck) -> Result:
    """Read the file, which is on a local disk: this waits for nobody."""
    path = fill(check.path, address, port)
    try:
        said = _read(path)
    except OSError as error:
        return Result(one_line(f"{path}: {error.strerror}"))
    if said == "up":
        return PASSED
    if _WEIGHT.fullmatch(said) and int(said) <= MAX_WEIGHT:
        return Result(weight=int(said))
    if said == "down":
        return Result(one_line(f"{path} says down"))
    return Result(
        one_line(f"{path} says {said[:20]!r}, and not up, down or 0…{MAX_WEIGHT}")
    )


def _read(path: str) -> str:
    """Return the first words of a file; never wait, as for a pipe's other end."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(0, "is not a regular file")
        return os.read(opened, _MAX_BYTES).decode(errors="replace").strip()
    finally:
        os.close(opened)
