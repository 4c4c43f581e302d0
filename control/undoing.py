"""Undoing versions that nobody confirmed in time."""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from control.errors import HostError
from control.store import Store

_log: Final = structlog.get_logger()
_RETRY_INTERVAL: Final = 1.0  # seconds after a failure
_LONGEST_WAIT: Final = 5.0  # seconds; the loop's clock stands still while a host sleeps


async def undo_unconfirmed(store: Store) -> None:
    """Undo whatever is not confirmed in time, until cancelled."""
    while True:
        version, pending = store.version, store.pending
        wait = None if pending is None else min(pending[1], _LONGEST_WAIT)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await store.wait_for_change(version)
        undo_overdue(store)
        if store.pending is not None and not store.pending[1]:  # it could not be stored
            await asyncio.sleep(_RETRY_INTERVAL)


def undo_overdue(store: Store) -> bool:
    """Undo the newest version if it should have been confirmed by now; tell whether so."""
    try:
        return store.expire()
    except HostError as error:
        _log.error("unconfirmed change not undone", problem=str(error))
        return False
