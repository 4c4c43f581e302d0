"""Whether a program is there and may be run, by us or by somebody else, on this host."""

import os
import pwd
import stat
import subprocess
from typing import Final

_EXECUTABLE: Final = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_TEST: Final = "/usr/bin/test"  # coreutils'
_PATIENCE: Final = 10.0  # seconds that a look may take


def defect(path: str, user: str | None = None) -> str:
    """Return why ``user`` cannot run ``path``, which is absolute; "" if that is possible.

    Without ``user``, it is we who run it. Who is not root sees less, and says nothing of
    what only root can know. Blocking; raise KeyError if this host has no such user.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - as the kernel takes it
    except PermissionError:
        return f"{path} is in a directory that is closed to us" if _is_root() else ""
    except (OSError, ValueError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    if not stat.S_ISREG(mode):
        return f"{path} is no program: it is a directory or the like"
    if not mode & _EXECUTABLE:
        return f"{path} is not executable; `chmod +x {path}` makes it so"
    if _is_root() and not _may_run(path, user):
        who = "we" if user is None else f"user {user!r}"
        return f"{who} may not run {path}: look at its mode, and its directories'"
    return ""


def _is_root() -> bool:
    return os.geteuid() == 0


def _may_run(path: str, user: str | None) -> bool:
    """Ask the kernel, which knows access lists and mounts; True if it cannot be asked."""
    if user is None:
        return os.access(path, os.X_OK)
    who = pwd.getpwnam(user)
    try:
        return not subprocess.run(  # noqa: S603 - no shell, and a program of the system's
            (_TEST, "-x", path),
            check=False,
            user=who.pw_uid,
            group=who.pw_gid,
            extra_groups=[],
            cwd="/",
            timeout=_PATIENCE,
        ).returncode
    except (OSError, subprocess.SubprocessError):  # no right to become that user, say
        return True
