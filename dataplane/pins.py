"""Files of a bpffs: what may go wrong there, as PinError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dataplane.errors import PinError

_REMEDY: Final = (
    "somebody else put it there: remove that pin and start guidewayd again; what is "
    "attached forwards meanwhile"
)


def stranger(path: Path, problem: str = "is not a pin of guideway's") -> PinError:
    """Return the error for what nobody of us can have pinned at ``path``."""
    return PinError(str(path), f"{problem}: {_REMEDY}")


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, if need be. Raises PinError."""
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True)


def unpin(path: Path) -> None:
    """Remove a pin; one that is not there is fine. Raises PinError."""
    with _writing(path):
        path.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PinError(
            str(path), f"the bpffs refuses the change: {error.strerror}"
        ) from error
