"""Sleeps as guideway-vrrpd does; its arguments are SECONDS PRIORITY FILE.

It wakes up every SECONDS under SCHED_RR and does nothing else, so when it is late, that is
the machine. FILE has by how many seconds it was late at most, again and again.
"""

import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Sleep until killed."""
    interval, priority, path = float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    latest = 0.0
    path.write_text(f"{latest}", encoding="ascii")
    due = time.monotonic()
    while True:
        due = max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        if (late := time.monotonic() - due) > latest:
            latest = late
            path.write_text(f"{latest}", encoding="ascii")


if __name__ == "__main__":
    main()
