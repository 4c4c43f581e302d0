"""Letting other programs of the node know whether we can serve."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from control.beacon import Beacon, Shown
from control.compile import Compiled
from control.config import NodeConfig

_INTERVAL: Final = 0.25  # seconds
_log: Final = structlog.get_logger()


async def show(
    config: NodeConfig, look: Callable[[], Compiled | None], synced: Callable[[], bool]
) -> None:
    """Write the beacon of this node until cancelled.

    ``look`` gives what was compiled last; ``synced`` tells whether what peers know is here.
    """
    shown = Beacon(config.socket)
    links = str(config.pins / "links")
    problem = ""
    compiled, services, serving = None, 0, 0
    while True:
        if look() is not compiled:
            compiled = look()
            served = compiled.services if compiled is not None else ()
            services = len(served)
            serving = sum(any(service.slots.values()) for service in served)
        what = Shown(config.interfaces, links, services, serving, synced())
        before, problem = problem, ""
        try:
            await asyncio.to_thread(shown.show, what)
        except OSError as error:
            problem = str(error)
        if problem and problem != before:
            _log.error("status file not written", problem=problem)
        await asyncio.sleep(_INTERVAL)
