"""What a process costs, by the kernel's books in /proc."""

import os
import re
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")  # in a second
_USER_TIME, _SYSTEM_TIME = 11, 12  # behind the name in /proc/PID/stat: utime, stime
_RANGE: Final = re.compile("[0-9a-f]+-[0-9a-f]+")
_NAME: Final = 5  # fields before that of what is mapped
_MAP: Final = "anon_inode:bpf-map"


def processor_seconds(pid: int) -> float:
    """Return the seconds of processor time that all threads have had."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Return the memory that is resident, without that of BPF maps."""
    resident = 0
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=_NAME)
        if _RANGE.fullmatch(fields[0]):
            name = "".join(fields[_NAME:])
        elif fields[0] == "Rss:" and name != _MAP:
            resident += 1024 * int(fields[1])
    return resident
