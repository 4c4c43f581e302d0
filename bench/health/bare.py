"""What connecting alone costs: the least that checking by TCP can."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address

from bench.health.servers import addresses

_AT_A_TIME = 50
Connect = Callable[[IPv4Address, int], Awaitable[None]]


def asyncio_streams(core: int, count: int, port: int) -> float:
    """Return the CPU seconds of ``count`` connections by asyncio, as one would write it."""
    os.sched_setaffinity(0, {core})
    return asyncio.run(_all(_open, count, port))


def sockets(core: int, count: int, port: int) -> float:
    """Return the CPU seconds of ``count`` connections by the system calls alone."""
    os.sched_setaffinity(0, {core})
    begun = time.process_time()
    for address in addresses(count):
        with socket.socket() as opened:
            opened.connect((str(address), port))
    return time.process_time() - begun


async def _all(connect: Connect, count: int, port: int) -> float:
    left = iter(addresses(count))
    begun = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_A_TIME):
            tasks.create_task(_some(connect, left, port))
    return time.process_time() - begun


async def _some(connect: Connect, left: Iterator[IPv4Address], port: int) -> None:
    for address in left:
        await connect(address, port)


async def _open(address: IPv4Address, port: int) -> None:
    async with asyncio.timeout(5):
        _, writer = await asyncio.open_connection(str(address), port)
        writer.transport.abort()
