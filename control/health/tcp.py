"""A probe by TCP: the backend is healthy if it accepts a connection."""

import asyncio
import errno
import os
from typing import Final

from control.addresses import IpAddress

# What says something of this host, and nothing of the backend.
_OUR_SHORTAGE: Final = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOBUFS,
    errno.ENOMEM,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
}


class NoResultError(Exception):
    """The probe could not be made; ``str()`` says why."""


async def probe(address: IpAddress, port: int, timeout: float) -> str:  # noqa: ASYNC109
    """Return "" if ``address`` accepts a connection within ``timeout`` seconds, or why not.

    Raises NoResultError.
    """
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(str(address), port)
    except TimeoutError:
        return f"no answer from port {port} within {timeout:g} s"
    except OSError as error:  # anything else is a bug of ours
        reason = error.strerror or str(error)
        if error.errno in _OUR_SHORTAGE:
            raise NoResultError(reason) from error
        return f"port {port}: {os.strerror(error.errno) if error.errno else reason}"
    writer.transport.abort()  # nothing was sent, so there is nothing to wait for
    return ""
