"""What guidewayd tells other programs of its node: a small file that is always whole.

guideway-vrrpd reads it, which knows neither our API nor our maps. The file outlives us, as
the data plane does; ``guidewayd --detach`` removes it.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be known of a data plane."""

    interfaces: tuple[str, ...]  # where packets are to come in
    links: str  # the directory in which their bpf_links are pinned
    services: int
    serving: int  # services of which at least one backend gets traffic
    synced: bool = True  # what peers know of flows is here, or there was nobody to tell it


class Beacon:
    """The file; writes when there is something else to say. Blocking."""

    def __init__(self, socket: Path) -> None:
        """Write beside the API's ``socket``."""
        self._path = beside(socket)
        self._shown: Shown | None = None

    def show(self, what: Shown) -> None:
        """Replace the file's content at once; OSError."""
        if what == self._shown:
            return
        new = self._path.with_name(self._path.name + ".new")
        new.unlink(missing_ok=True)  # else a link in the way would be followed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(what), indent=2) + "\n")
        new.replace(self._path)
        self._shown = what


def beside(socket: Path) -> Path:
    """Return where the file is, ``guidewayd.json`` for ``guidewayd.sock``."""
    return socket.with_suffix(".json")
