"""A probe by TCP: the backend is healthy if it accepts a connection."""

import asyncio
from ipaddress import IPv4Address


async def connects(address: IPv4Address, port: int, timeout: float) -> bool:  # noqa: ASYNC109
    """Tell whether ``address`` accepts a connection within ``timeout`` seconds."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(str(address), port)
    except OSError:  # TimeoutError is one; anything else is a bug of ours
        return False
    writer.transport.abort()  # nothing was sent, so there is nothing to wait for
    return True
