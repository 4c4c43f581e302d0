"""How soon a backend that dies is found to be down: it refuses, or it is silent."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bench.health.servers import desired
from control.checks import AnyCheck, TcpCheck
from control.desired import DesiredState
from control.facts import BackendKey
from control.health.monitor import Monitor
from control.status import Health

OURS: Final = TcpCheck()
# keepalived's: delay_loop, connect_timeout, retry, delay_before_retry; one success will do.
KEEPALIVED: Final = TcpCheck(
    interval=60, timeout=5, fall=2, rise=1, retry_interval=1, jitter=0
)
_TABLE: Final = "guideway_bench"


class Death(Enum):
    """What becomes of a backend."""

    REFUSES = "refuses"
    IS_SILENT = "is silent"


@dataclass(frozen=True, slots=True)
class Detection:
    """Seconds from the death to the verdict: of backends at all points of an interval."""

    times: tuple[float, ...]


def detect(check: AnyCheck, death: Death, backends: int) -> Detection:
    """Let backends die that are checked at points of time spread over an interval."""
    return asyncio.run(_detect(check, death, backends))


async def _detect(check: AnyCheck, death: Death, backends: int) -> Detection:
    found: dict[BackendKey, float] = {}
    everybody = asyncio.Event()

    def told(key: BackendKey, health: Health, _: str) -> None:
        if health is Health.DOWN:
            found[key] = time.monotonic()
            if len(found) == backends:
                everybody.set()

    with listening() as listener:
        port = listener.getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            monitor = Monitor(tasks, changed=lambda: None, told=told)
            for number in range(backends):
                monitor.watch(desired(number + 1, port, check))
                await asyncio.sleep(check.interval / backends)
            assert set(monitor.health().values()) == {Health.UP}  # noqa: S101
            died = time.monotonic()
            with dying(death, listener, port):
                await everybody.wait()
            monitor.watch(DesiredState())
    return Detection(tuple(sorted(when - died for when in found.values())))


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Give a socket that connections to any address of this host get to."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(1000)
        yield listener


@contextmanager
def dying(death: Death, listener: socket.socket, port: int) -> Iterator[None]:
    """Have nobody answer any more until the end of the block; who refused does so on."""
    if death is Death.REFUSES:
        listener.close()
        yield
        return
    _nft("add", "table", "inet", _TABLE)
    try:
        _nft("add", "chain", "inet", _TABLE, "in", "{ type filter hook input priority 0; }")
        _nft("add", "rule", "inet", _TABLE, "in", f"tcp dport {port} drop")
        yield
    finally:
        _nft("delete", "table", "inet", _TABLE)


def _nft(*words: str) -> None:
    subprocess.run(("nft", *words), check=True)  # noqa: S603, S607 - our own words
