"""Reading what is to be imported: the one module here that touches files.

Nothing but regular files is read, and of all together a bounded number of bytes: an include
may name anything, a device or a pipe too.
"""

import os
import stat
from collections.abc import Iterator
from glob import iglob
from itertools import islice
from pathlib import Path
from typing import Final

from control.importing.notes import RefusedError

MAX_BYTES: Final = 4 << 20  # of all files together
MAX_FILES: Final = 256


class Files:
    """What may still be read."""

    def __init__(self) -> None:
        self._bytes = MAX_BYTES
        self._files = MAX_FILES

    def text(self, path: str) -> str:
        """Return the text of a file; raise RefusedError."""
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise RefusedError(path, "cannot be read: it is not a file")
                data = file.read(self._bytes + 1)
        except (OSError, ValueError) as error:  # ValueError: a zero character in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise RefusedError(path, f"cannot be read: {reason}") from error
        return self.decoded(path, data)

    def decoded(self, name: str, data: bytes) -> str:
        """Return the text that ``data`` is, and count it; raise RefusedError."""
        self._files -= 1
        self._bytes -= len(data)
        if self._bytes < 0:
            raise RefusedError(name, f"there is more than {MAX_BYTES >> 20} MiB to read")
        if self._files < 0:
            raise RefusedError(name, f"there are more than {MAX_FILES} files to read")
        # Old files have comments in Latin-1: what is no UTF-8 must not stop an import.
        return data.decode("utf-8", errors="replace")

    def include(self, pattern: str, by: str) -> list[tuple[str, str]]:
        """Return names and texts of the files that ``pattern`` names in the file ``by``."""
        found = sorted(islice(self._found(pattern, by), MAX_FILES + 1))
        return [(name, self.text(name)) for name in found]

    def _found(self, pattern: str, by: str) -> Iterator[str]:
        if "\0" in pattern:
            return
        place = str(Path(by).parent / pattern)
        names = iglob(place)  # noqa: PTH207 - a Path globs no absolute patterns
        yield from (name for name in names if Path(name).is_file())
