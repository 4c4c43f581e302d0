"""The systemd units, and what of them can be had without systemd."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.wait import eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMES = ("guidewayd", "guideway-vrrpd")
# PR_SET_MDWE (Linux 6.3) is what MemoryDenyWriteExecute= comes to; execve keeps it.
_NO_NEW_CODE = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def settings(name: str) -> dict[str, list[str]]:
    """Return the settings of a unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / f"{name}.service").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def confined(name: str) -> tuple[str, ...]:
    """Return how a command begins that has no more rights than the unit gives it."""
    capabilities = " ".join(settings(name)["CapabilityBoundingSet"])
    few = "".join(f",+{each[4:].lower()}" for each in capabilities.split())
    limits = ("setpriv", f"--bounding-set=-all{few}", "--no-new-privs")
    return (*limits, sys.executable, "-c", _NO_NEW_CODE)


class Ear:
    """The service manager's end of the notification socket."""

    def __init__(self, path: Path, end: socket.socket) -> None:
        self.path = path
        self._end = end
        self.heard: list[str] = []

    def wait_for(self, beginning: str, within: float = 30) -> str:
        """Wait for a message that begins so, and return it; what came before is gone."""
        return eventually(
            lambda: self._find(beginning), within=within, what=f"{beginning} is said"
        )

    def _find(self, beginning: str) -> str:
        while True:
            try:
                message = self._end.recv(4096).decode()
            except BlockingIOError:
                return ""
            self.heard.append(message)
            if message.startswith(beginning):
                return message


@contextmanager
def listening(directory: Path) -> Iterator[Ear]:
    """Be a service manager."""
    path = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(os.fspath(path))
        end.settimeout(0)
        yield Ear(path, end)
