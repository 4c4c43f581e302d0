"""What guideway-vrrpd tells of itself, in its status file.

It has no metrics endpoint of its own: it must be on time, and serves nobody. What it says
comes from another process, so neither size nor shape of the file is trusted.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from control.metrics.seen import Router

_MOST_BYTES: Final = 4 << 20  # 255 routers on each of many interfaces take less than 1 MB


def read_routers(path: Path) -> Mapping[str, Router] | None:
    """Return the virtual routers; None if there is no file, or none of guideway-vrrpd's."""
    try:
        with os.fdopen(
            os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as f:
            text = f.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            return None
        return msgspec.json.decode(text, type=dict[str, Router])
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None
