"""Whether a program is there and may be run, on this host. Blocking."""

import os
import pwd
from pathlib import Path
from stat import S_ISREG, S_IXGRP, S_IXOTH, S_IXUSR
from typing import Final

_ANYBODY: Final = S_IXUSR | S_IXGRP | S_IXOTH
_ROOT: Final = "root"


def shortcoming(program: str, user: str | None) -> str:
    """Return why ``program`` does not run as ``user``, None: as root; "" if it seems to.

    What we may not see ourselves, and a user that this host has not, are no fault of it.
    """
    try:
        return _shortcoming(Path(program), user or _ROOT)
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no program {program} on this host"
    except (KeyError, OSError):
        return ""


def _shortcoming(program: Path, user: str) -> str:
    who = pwd.getpwnam(user)
    there = program.stat()
    if not S_ISREG(there.st_mode):
        return f"{program} is not a file, so it is no program"
    if not there.st_mode & _ANYBODY:
        return f"{program} is not executable: `chmod +x {program}`"
    if user == _ROOT:
        return ""
    closed = [each for each in program.resolve().parents if not _passes(each.stat(), who)]
    if closed:
        return f"{program} is out of reach of {user!r}, for whom {closed[0]} is closed"
    if not _passes(there, who):
        return f"{program} is not executable for {user!r}: `chmod +x {program}`"
    return ""


def _passes(there: os.stat_result, who: pwd.struct_passwd) -> bool:
    """Whether ``who`` may run a file, or pass a directory, of that mode."""
    if who.pw_uid == there.st_uid:
        wanted = S_IXUSR
    elif who.pw_gid == there.st_gid:
        wanted = S_IXGRP
    else:
        wanted = S_IXOTH
    return bool(there.st_mode & wanted)
