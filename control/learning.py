"""What a start finds out before it changes a table."""

import asyncio
from collections.abc import Callable
from typing import Final

from control.check_common import Initial
from control.compile import remembered
from control.desired import DesiredState
from control.facts import BackendKey
from control.health.keeper import Keeper
from control.health.memory import Memory
from control.health.monitor import Monitor
from control.health.probe import Probe, probes_of
from control.lookout import Lookout
from control.status import Health
from control.sync.exchange import Exchange
from dataplane.image import Image

_TIME: Final = 5.0  # seconds that a start waits for first probes and ARP at most
_PAUSE: Final = 0.02  # seconds


def recall(state: DesiredState, keeper: Keeper) -> dict[Probe, Memory]:
    """Return what the daemon before has found out about the backends of ``state``."""
    wanted = {one: None for _, probes in probes_of(state).values() for one in probes}
    return keeper.read(wanted)


def taken_for(state: DesiredState, known: Callable[[], Image]) -> dict[BackendKey, Health]:
    """Return what the maps take backends for, if some check wants to know.

    ``known`` gives what packets went by so far.
    """
    if not any(
        check.initial is Initial.BEFORE
        for service in state
        for _, check in service.every_check
    ):
        return {}
    return remembered(state, known())


async def learn(lookout: Lookout, monitor: Monitor, exchange: Exchange) -> None:
    """Wait until backends have answered probes and ARP, and peers have told what is.

    Who does not has had the time to.
    """
    deadline = asyncio.get_running_loop().time() + _TIME
    while asyncio.get_running_loop().time() < deadline:
        await lookout.survey()
        resolved = all(hop.mac for hop in lookout.network.next_hops.values())
        if resolved and monitor.known() and exchange.settled:
            return
        await asyncio.sleep(_PAUSE)
