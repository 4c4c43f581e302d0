"""Whether programs can be run as those users that they are to run as, on this host."""

import os
import pwd
from pathlib import Path
from typing import Final

from control.errors import ConfigError
from control.notifying.settings import Notifications

_NEEDED: Final = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}  # linux/capability.h


def check_users(notifications: Notifications, status: str | None = None) -> None:
    """Raise ConfigError if a program is to run as somebody whom we cannot run it as.

    ``status`` is the text of /proc/self/status, which is read if it is not given.
    """
    missing = _missing(status or Path("/proc/self/status").read_text("ascii", "replace"))
    for number, program in enumerate(notifications.programs):
        where, name = f"notify[{number}].user", program.user
        try:
            user = pwd.getpwnam(name)
        except KeyError as error:
            raise ConfigError(
                where,
                f"this host has no user {name!r}; `useradd --system {name}` makes one",
            ) from error
        if missing and user.pw_uid != os.geteuid():
            raise ConfigError(
                where,
                f"to run a program as {name!r}, and to end it, guidewayd needs "
                f"{', '.join(missing)}; in its systemd unit: "
                f"CapabilityBoundingSet={' '.join(missing)}",
            )


def _missing(status: str) -> list[str]:
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    have = int(fields["CapEff"], 16)
    return [name for name, bit in _NEEDED.items() if not have & 1 << bit]
