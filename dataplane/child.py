"""A process of its own for BCC: what both sides of it share.

BCC and its clang cost 100 MB, and compiling changes the working directory of the whole
process for a while. So whoever needs it starts one of our modules, which ends when it is
done, and at the latest with whoever started it.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dataplane.errors import LoadError

# Seconds. Compiling takes 2 s natively, half a minute in an emulator, and minutes in one
# on a busy host; who gave up sooner would never get there, for it is kept only at its end.
_TIMEOUT: Final = 240.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_MAP_REFUSED: Final = re.compile(r"could not open bpf map: (\w+), error: (.+)")


def run(
    module: str,
    *arguments: str,
    said: bytes,
    descriptors: Iterable[int] = (),
    timeout: float = _TIMEOUT,
) -> bytes:
    """Run ``python -m module``, say ``said`` to it, and return what it answers.

    It has the file descriptors ``descriptors`` under the same numbers, and ``timeout``
    seconds. Raises LoadError, with what it said last if it failed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", module, *arguments],
            input=said,
            capture_output=True,
            timeout=timeout,
            check=False,
            pass_fds=tuple(descriptors),
            cwd=Path(__file__).parent.parent,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"compiling the program took more than {timeout:.0f} s") from error
    if done.returncode:
        raise LoadError(_problem(done))
    return done.stdout


def _problem(done: subprocess.CompletedProcess[bytes]) -> str:
    # BCC prints the verifier's or clang's log before; the last line is our sentence.
    complaint = done.stderr.decode(errors="replace").strip()
    if refused := _MAP_REFUSED.search(complaint):
        remedy = "lower `limits`, or give the machine more memory"
        return f"the kernel does not make the map {refused[1]}: {refused[2]}; {remedy}"
    if done.returncode < 0:
        return (
            f"the loader was killed by signal {-done.returncode}: is there memory "
            "enough? it needs 150 MB for a second, besides the maps"
        )
    return complaint.splitlines()[-1] if complaint else "the loader failed silently"


def die_with(parent: int) -> None:
    """Have the kernel kill us when ``parent``, who started us, is gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went while we were starting
        sys.exit(1)
