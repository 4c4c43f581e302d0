"""That an operator took a node out of service: a file, so that a reboot keeps it."""

from pathlib import Path
from typing import Final

from vrrp.errors import HostError

PROBLEM: Final = "maintenance: `guideway vrrp maintenance off` ends it"


class Maintenance:
    """The file; it is there while maintenance is on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.on = path.exists()

    @property
    def problem(self) -> str:
        """Why instances have to rest for it; empty: they need not."""
        return PROBLEM if self.on else ""

    def switch(self, *, on: bool) -> None:
        """Turn it on or off; HostError if that cannot be remembered."""
        try:
            if on:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch(mode=0o644)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            problem = f"cannot remember it in {self._path}: {error.strerror or error}"
            raise HostError(problem) from error
        self.on = on
