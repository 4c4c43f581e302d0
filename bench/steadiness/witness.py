"""Notes when a processor does not run what matters most; SECONDS PRIORITY PROCESSOR FILE.

It wakes up every SECONDS under SCHED_RR on that PROCESSOR alone and does nothing else, so
when it is late, that is the kernel or the machine. FILE gets a line for each time that it
was late by more than that: from when until when, in seconds of Unix time.
"""

import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Sleep until killed."""
    interval, priority, processor = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    with Path(sys.argv[4]).open("w", encoding="ascii", buffering=1) as noted:
        while True:
            due = time.time() + interval
            time.sleep(interval)
            if (now := time.time()) - due > interval:
                noted.write(f"{due} {now}\n")


if __name__ == "__main__":
    main()
