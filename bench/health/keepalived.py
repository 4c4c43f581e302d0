"""keepalived itself, checking by its defaults: how soon it finds that somebody is dead.

Its checkers want IPVS. Where the kernel has none, ``no_ipvs.c`` stands in for it.
"""

import asyncio
import os
import re
import shutil
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.health.detection import Death, Detection, dying, listening
from bench.health.servers import addresses

_STAND_IN: Final = Path(__file__).with_name("no_ipvs.c")
_IPVS: Final = Path("/proc/net/ip_vs")
_FIRST: Final = 90.0  # seconds in which all were asked once: delay_loop, and some to spare
_FOUND: Final = 120.0  # seconds in which all are found to be dead, likewise
_END: Final = 10.0  # seconds
_WELL: Final = re.compile(r"TCP connection to \[(.+)\]:tcp:\d+ success")
_DEAD: Final = re.compile(r"Removing service \[(.+)\]:tcp:\d+ (?:from|to) VS")


class KeepalivedError(Exception):
    """keepalived is not there, or does not do what it is known for."""


def is_there() -> bool:
    """Tell whether keepalived is installed."""
    return shutil.which("keepalived") is not None


def has_ipvs() -> bool:
    """Tell whether the kernel has what keepalived's checkers want."""
    return _IPVS.exists()


def detect_by_keepalived(death: Death, backends: int) -> Detection:
    """Let backends die that keepalived checks, at points of time that it has chosen."""
    return asyncio.run(_detect(death, backends))


async def _detect(death: Death, backends: int) -> Detection:
    with TemporaryDirectory(prefix="guideway-bench-") as name, listening() as listener:
        port = listener.getsockname()[1]
        async with _keepalived(Path(name), backends, port) as process:
            await _all(process, _WELL, backends, _FIRST)
            died = time.monotonic()
            with dying(death, listener, port):
                found = await _all(process, _DEAD, backends, _FOUND)
    return Detection(tuple(sorted(when - died for when in found.values())))


async def _all(
    process: Process, wanted: re.Pattern[str], count: int, within: float
) -> dict[str, float]:
    """Return when it said so first of each of ``count`` real servers; monotonic time."""
    found: dict[str, float] = {}
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        async with asyncio.timeout(within):
            while len(found) < count:
                line = (await process.stdout.readline()).decode(errors="replace")
                if not line:
                    raise KeepalivedError("keepalived has ended")
                if said := wanted.search(line):
                    found.setdefault(said[1], time.monotonic())
    except TimeoutError:
        problem = f"after {within:g} s keepalived has said of {len(found)} of {count} only"
        raise KeepalivedError(f"{problem}: {wanted.pattern}") from None
    return found


@asynccontextmanager
async def _keepalived(directory: Path, backends: int, port: int) -> AsyncIterator[Process]:
    """Run keepalived, as checker alone; what it says is on its stdout."""
    configuration = directory / "keepalived.conf"
    configuration.write_text(_configuration(backends, port))
    process = await asyncio.create_subprocess_exec(
        *("keepalived", "--check", "--dont-fork", "--log-console", "--log-detail"),
        *("-f", str(configuration)),
        *("-p", str(directory / "pid"), "-c", str(directory / "checkers.pid")),
        env=os.environ | ({} if has_ipvs() else {"LD_PRELOAD": str(_stand_in(directory))}),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), _END)
        except TimeoutError:
            process.kill()
            await process.wait()


def _configuration(backends: int, port: int) -> str:
    """Return a virtual server whose checks are keepalived's defaults."""
    servers = "\n".join(
        f"  real_server {address} {port} {{\n    TCP_CHECK {{\n    }}\n  }}"
        for address in addresses(backends)
    )
    head = f"virtual_server 192.0.2.1 {port} {{\n  protocol TCP\n  lvs_sched rr\n"
    return f"{head}{servers}\n}}\n"


def _stand_in(directory: Path) -> Path:
    library = directory / "no_ipvs.so"
    command = ("cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(_STAND_IN))
    subprocess.run(command, check=True)  # noqa: S603 - our own words
    return library
