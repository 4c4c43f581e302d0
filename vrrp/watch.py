"""Notices that links or addresses change, without reading what changed."""

import asyncio
from collections.abc import Callable
from socket import AF_NETLINK, SO_RCVBUF, SOCK_NONBLOCK, SOCK_RAW, SOL_SOCKET, socket
from typing import Final

_NETLINK_ROUTE: Final = 0  # linux/netlink.h
_RTMGRP_LINK: Final = 0x1  # linux/rtnetlink.h
_RTMGRP_IPV4_IFADDR: Final = 0x10
_RTMGRP_IPV6_IFADDR: Final = 0x100
_LARGEST: Final = 65536  # bytes
# One message is hint enough. The kernel drops what has no room, and we need not read it.
_BUFFER: Final = 4096  # bytes
# A host that starts a hundred containers must not make us look a thousand times.
_PAUSE: Final = 0.05  # seconds


async def watch(changed: Callable[[], None]) -> None:
    """Call ``changed`` soon after links or addresses changed, until cancelled.

    No more than a hint: whoever is called looks for himself, and now and then without it.
    """
    loop = asyncio.get_running_loop()
    with socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, _NETLINK_ROUTE) as kernel:
        kernel.setsockopt(SOL_SOCKET, SO_RCVBUF, _BUFFER)
        kernel.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR))
        readable = asyncio.Event()
        loop.add_reader(kernel, readable.set)
        try:
            while True:
                await readable.wait()
                _empty(kernel)
                readable.clear()
                changed()
                await asyncio.sleep(_PAUSE)
        finally:
            loop.remove_reader(kernel)


def _empty(kernel: socket) -> None:
    try:
        while True:
            kernel.recv(_LARGEST)
    except OSError:
        # EAGAIN: nothing more. ENOBUFS: too much for the buffer, which is a change as well;
        # what is left to read will wake us again.
        return
