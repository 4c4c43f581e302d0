"""Where guidewayd listens: what server and client have to agree on.

Imports nothing heavy, since the command line needs it before it knows what it will do.
"""

from pathlib import Path
from typing import Final
from urllib.parse import quote

from control.errors import ConfigError

DEFAULT_SOCKET: Final = Path("/run/guideway/guidewayd.sock")
MAX_PATH_BYTES: Final = 107  # sun_path of unix(7), less the closing zero


def target(socket: Path) -> str:
    """Return ``socket`` as gRPC wants to have it; raise ConfigError if it is too long."""
    path = str(socket.absolute())
    length = len(path.encode())
    if length > MAX_PATH_BYTES:
        raise ConfigError(
            "socket",
            f"{path} has {length} bytes, and the path of a unix socket can have "
            f"{MAX_PATH_BYTES}: choose a shorter one",
        )
    return f"unix:{quote(path)}"  # gRPC takes it for a URI
