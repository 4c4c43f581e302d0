"""What is probed: ports that accept, refuse or are silent, on many addresses of a host."""

import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from control.checks import AnyCheck
from control.desired import DesiredState
from control.model import Backend, Mode, Protocol, Service

NETWORK: Final = IPv4Network("10.64.0.0/14")  # whose addresses are all to be the host's
_BACKLOG: Final = 65535
_FIRST: Final = NETWORK[1]


def addresses(count: int) -> list[IPv4Address]:
    """Return so many addresses of this host; what listens on all of them is one socket."""
    return [_FIRST + number for number in range(count)]


def desired(count: int, port: int, check: AnyCheck) -> DesiredState:
    """Return a service with so many backends, all of this host, on ``port``."""
    members = tuple(Backend(str(one), one, port) for one in addresses(count))
    vip = IPv4Address("192.0.2.1")
    return DesiredState(
        (Service("web", vip, Protocol.TCP, port, Mode.DR, members, (check,)),)
    )


@contextmanager
def accepting(core: int) -> Iterator[int]:
    """Have a process on ``core`` accept connections; give its port."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(_BACKLOG)
        server = multiprocessing.Process(target=_accept, args=(listener, core), daemon=True)
        server.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.kill()
            server.join()


@contextmanager
def refusing() -> Iterator[int]:
    """Give a port on which nobody listens."""
    with socket.socket() as bound:  # so that nobody else gets it
        bound.bind(("", 0))
        yield bound.getsockname()[1]


@contextmanager
def silent() -> Iterator[int]:
    """Give a port whose SYNs are dropped: the queue of its connections is full."""
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)  # noqa: FBT003
                one.connect_ex((str(_FIRST), port))
            yield port
        finally:
            for one in waiting:
                one.close()


def _accept(listener: socket.socket, core: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        try:
            listener.accept()[0].close()
        except ConnectionError:  # it was gone already
            continue
