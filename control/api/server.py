"""The API's server: gRPC on a unix socket and, if that is wanted, over TCP with TLS."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import structlog
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from control.access import Access, Tcp
from control.api.address import target
from control.api.audit import Audit
from control.api.configuration import Configuration
from control.api.entrance import Entrance
from control.api.guard import Guard
from control.api.health import Health
from control.api.identity import Identities
from control.api.numbers import MAX_CALLS, OPTIONS
from control.api.peering import Peering
from control.api.roles import RULES
from control.api.servicer import LoadBalancer
from control.api.sockets import (
    check_group,
    check_socket,
    inner_path,
    listening,
    make_directory,
    members,
    owner_only,
)
from control.api.tls import Certificates, read
from control.api.v1.configuration_pb2_grpc import add_ConfigurationServicer_to_server
from control.api.v1.events_pb2_grpc import add_EventsServicer_to_server
from control.api.v1.guideway_pb2_grpc import add_LoadBalancerServicer_to_server
from control.api.v1.peering_pb2_grpc import add_PeeringServicer_to_server
from control.api.watching import Events
from control.errors import HostError
from control.events import Hub
from control.status import Observer, Operations
from control.store import Store

_log: Final = structlog.get_logger()
_GRACE: Final = 1.0  # seconds that calls in progress get at the end


@dataclass(frozen=True, slots=True)
class Served:
    """Where the API can be reached."""

    socket: Path
    tcp_port: int  # 0: not over TCP


@asynccontextmanager
async def serving(  # noqa: PLR0913 - what the daemon joins, once
    path: Path,
    store: Store,
    observer: Observer,
    plane: Operations,
    *,
    access: Access | None = None,
    hub: Hub | None = None,
    peering: Peering | None = None,
) -> AsyncIterator[Served]:
    """Answer the API at the unix socket ``path`` while the body runs, and by ``access``.

    Without a group in ``access``, the socket has mode 0600 from the first instant. Raise
    ConfigError or HostError as :func:`check`, or if something cannot be used after all.
    """
    access, hub = access or Access(), hub or Hub()
    check(path, access)
    make_directory(path.parent, access.group)
    with listening(path, access.group) as listener:
        entrance = Entrance(listener, inner_path(path), members(access))
        guard = Guard(Identities(entrance.secret, access.tcp), Audit())
        server = grpc.aio.server(
            options=OPTIONS, interceptors=[guard], maximum_concurrent_rpcs=MAX_CALLS
        )
        ending = asyncio.Event()
        add_LoadBalancerServicer_to_server(LoadBalancer(store, observer, plane), server)
        add_ConfigurationServicer_to_server(Configuration(store, observer), server)
        add_EventsServicer_to_server(Events(observer, hub), server)
        if peering:
            add_PeeringServicer_to_server(peering, server)
        add_HealthServicer_to_server(Health(observer, ending), server)
        reflection.enable_server_reflection(RULES, server)
        async with _meanwhile(entrance):
            try:
                _listen_inside(server, inner_path(path))
                port = _listen_outside(server, access.tcp) if access.tcp else 0
                await server.start()
                yield Served(path, port)
            finally:
                ending.set()
                hub.close()
                await server.stop(_GRACE)
                inner_path(path).unlink(missing_ok=True)


def check(path: Path, access: Access) -> None:
    """Raise ConfigError or HostError if the API cannot be served so. Touches nothing."""
    check_socket(path)
    members(access)
    if access.group is not None:
        check_group(path, access.group)
    if access.tcp:
        read(access.tcp)


@asynccontextmanager
async def _meanwhile(entrance: Entrance) -> AsyncIterator[None]:
    """Let clients in while the body runs; what fails of it is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(entrance.run(), name="entrance")
            yield
            running.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None


def _listen_inside(server: grpc.aio.Server, inner: Path) -> None:
    with owner_only():
        try:
            server.add_insecure_port(target(inner))  # replaces a dead daemon's socket
        except RuntimeError as error:  # says no more than that it failed
            raise HostError(f"{inner}: the API's socket cannot be made there") from error


def _listen_outside(server: grpc.aio.Server, tcp: Tcp) -> int:
    credentials = Certificates(tcp).credentials()
    try:
        port = server.add_secure_port(tcp.where, credentials)
    except RuntimeError as error:
        raise HostError(
            f"the API cannot listen at {tcp.where} (`api.listen`): is the address this "
            "host's, and the port free?"
        ) from error
    _log.info("serving", address=tcp.where, port=port)
    return port
