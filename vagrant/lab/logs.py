"""The ends of logs: what tells why something did not go as it should."""

from pathlib import Path
from typing import Final

_LINES: Final = 12
_HALF_LINE: Final = 300  # characters


def tail(log: Path) -> str:
    """Return the end of ``log``, under a line that names it."""
    if not log.exists():
        return f"{log}: nothing was logged"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    end = (_shortened(line) for line in lines[-_LINES:])
    return "\n".join((f"the end of {log}:", *end))


def _shortened(line: str) -> str:
    """Leave out the middle of a long line: a traceback in JSON says most at its ends."""
    if len(line) <= 2 * _HALF_LINE:
        return line
    return f"{line[:_HALF_LINE]} … {line[-_HALF_LINE:]}"
