"""Programs that other users run."""

import os
from typing import Final

import pytest

AS_ROOT: Final = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can act for others"
)
_MAY_READ: Final = "dac_read_search"  # the checkout, even if its owner alone may see it


def become(uid: int, gid: int, *groups: int) -> tuple[str, ...]:
    """Return what to put before a command of Python's for a user to run it (root only).

    Whoever may search no directory of the checkout could not import it. Reading is all that
    the user may do besides: a socket asks for the right to write.
    """
    given = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    rights = (f"--{kind}-caps=-all,+{_MAY_READ}" for kind in ("inh", "ambient"))
    return ("setpriv", f"--reuid={uid}", f"--regid={gid}", given, *rights)
