"""Whether programs can be run as somebody else, on this host and with our rights."""

import os
import pwd
from pathlib import Path
from typing import Final

_NEEDED: Final = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}  # linux/capability.h


def stranger(user: str) -> str:
    """Return what is to be said if this host has no such user; "" if it has."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        return f"this host has no user {user!r}; `useradd --system {user}` makes one"
    return ""


def obstacle(user: str, daemon: str, status: str | None = None) -> str:
    """Return why ``daemon`` cannot run a program as ``user``, and end it; "" if it can.

    ``status`` is the text of /proc/self/status, which is read if it is not given.
    """
    if problem := stranger(user):
        return problem
    missing = _missing(status or Path("/proc/self/status").read_text("ascii", "replace"))
    if not missing or pwd.getpwnam(user).pw_uid == os.geteuid():
        return ""
    return (
        f"to run a program as {user!r}, and to end it, {daemon} needs "
        f"{', '.join(missing)}; in its systemd unit: "
        f"CapabilityBoundingSet={' '.join(missing)}"
    )


def _missing(status: str) -> list[str]:
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    have = int(fields["CapEff"], 16)
    return [name for name, bit in _NEEDED.items() if not have & 1 << bit]
