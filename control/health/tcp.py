"""A probe by TCP: the backend accepts a connection."""

import asyncio

from control.addresses import IpAddress
from control.health.result import PASSED, Result


async def probe(address: IpAddress, port: int) -> Result:
    """Connect; raises OSError."""
    _, writer = await asyncio.open_connection(str(address), port)
    writer.transport.abort()  # nothing was sent, so there is nothing to wait for
    return PASSED
