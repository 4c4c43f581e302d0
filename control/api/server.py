"""The API's server: gRPC on a unix socket that only root can open."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import grpc

from control.api.address import target
from control.api.configuration import Configuration
from control.api.servicer import LoadBalancer
from control.api.v1.configuration_pb2_grpc import add_ConfigurationServicer_to_server
from control.api.v1.guideway_pb2_grpc import add_LoadBalancerServicer_to_server
from control.errors import HostError
from control.status import Observer, Operations
from control.store import Store

MAX_REQUEST_BYTES: Final = 4 << 20  # a service with tens of thousands of backends
_GRACE: Final = 1.0  # seconds that calls in progress get at the end


@asynccontextmanager
async def serving(
    path: Path, store: Store, observer: Observer, plane: Operations
) -> AsyncIterator[None]:
    """Answer the API at the unix socket ``path`` while the body runs.

    The socket has mode 0600 from the first instant; its directory is created with 0700 if
    need be. Raise ConfigError if ``path`` is too long for a socket, HostError if another
    guidewayd answers there or it cannot be used.
    """
    check_socket(path)
    _make_directory(path.parent)
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", MAX_REQUEST_BYTES)]
    )
    add_LoadBalancerServicer_to_server(LoadBalancer(store, observer, plane), server)
    add_ConfigurationServicer_to_server(Configuration(store, observer), server)
    with _root_only():
        try:
            server.add_insecure_port(target(path))  # replaces a dead daemon's socket
        except RuntimeError as error:  # says no more than that it failed
            raise HostError(f"{path}: the API's socket cannot be made there") from error
    try:
        await server.start()
        yield
    finally:
        await server.stop(_GRACE)  # removes the socket, too


def check_socket(path: Path) -> None:
    """Raise ConfigError or HostError if the API cannot be served at ``path``.

    Touches nothing. :func:`serving` asks too: gRPC would unlink whatever socket is in its
    way, one in use as well.
    """
    target(path)
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
        in_use = is_socket and _is_in_use(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    if not is_socket:
        raise HostError(f"{path} exists and is not a socket: move it away")
    if in_use:
        raise HostError(
            f"{path} is in use by another guidewayd: stop that one, or give this one a "
            "socket of its own (`api.socket`)"
        )


def _is_in_use(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its backlog is full: very much alive
            return True
    return True


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"{path} cannot be made: {error.strerror}") from error


@contextmanager
def _root_only() -> Iterator[None]:
    """Let what is created meanwhile have mode 0600 at most; for the whole process."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
