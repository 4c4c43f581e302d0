"""Processes that a test looks at, and has not started itself."""

from pathlib import Path


def gone(pid: int) -> bool:
    """Tell whether it has ended; in some containers nobody waits for a zombie."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:  # no such file, or it ended while we read
        return True
    return "State:\tZ" in status
