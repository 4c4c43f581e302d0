"""Following the other nodes of the cluster: connecting, hearing, connecting again.

What is told on a connection is everything from its beginning on, so there is nothing to
catch up with: who was cut off, or could not use what it was told, begins anew.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import grpc
import structlog

from control.access import PeerNode, Sync, Tcp
from control.api.convert_peering import told_from_pb
from control.api.tls import read
from control.api.v1 import peering_pb2 as pb
from control.api.v1.peering_pb2_grpc import PeeringStub
from control.errors import HostError
from control.sync.exchange import Exchange, Peer
from control.sync.listener import Wanted
from control.sync.shared import SharedFlows, SharedReplies
from dataplane.errors import DataplaneError

_log: Final = structlog.get_logger()
_RETRY: Final = 1.0  # seconds between attempts to connect
_AGAIN: Final = 0.1  # seconds until everything is heard once more
_SILENCE: Final = 10.0  # seconds without a message after which a peer is asked anew
_CONNECTS_WITHIN: Final = 3.0  # seconds
_MOST_BYTES: Final = 96 << 20  # of a message: the largest ring, if zlib gains nothing
_MOST_MISSED: Final = 100_000  # backends whose flows could not be recorded


class _Again(Exception):  # noqa: N818 - a way out, not an error
    """What could not be recorded can be now: everything is to be told anew."""


async def follow(exchange: Exchange, sync: Sync, tcp: Tcp) -> None:
    """Follow all peers, until cancelled; ``tcp`` has our certificate."""
    async with asyncio.TaskGroup() as tasks:
        for node in sync.peers:
            peer = exchange.peers[node.where]
            tasks.create_task(_follow(exchange, peer, node, sync, tcp))


async def _follow(
    exchange: Exchange, peer: Peer, node: PeerNode, sync: Sync, tcp: Tcp
) -> None:
    said = ""
    while True:
        problem = ""
        try:
            await _hear(exchange, peer, node, sync, tcp)
        except _Again:
            await asyncio.sleep(_AGAIN)
            continue
        except (HostError, DataplaneError) as error:
            problem = str(error)
        except TimeoutError:
            problem = "it does not answer"
        except ValueError as error:
            problem = f"it tells what cannot be: {error}"
        except grpc.aio.AioRpcError as error:
            problem = error.details() or error.code().name
        peer.ends(problem)
        if problem != said:
            _log.warning("peer not followed", peer=peer.name, problem=problem)
        said = problem
        await asyncio.sleep(_RETRY)


async def _hear(
    exchange: Exchange, peer: Peer, node: PeerNode, sync: Sync, tcp: Tcp
) -> None:
    """Hear what one peer tells, until the connection ends somehow."""
    pem = await asyncio.to_thread(read, tcp)
    credentials = grpc.ssl_channel_credentials(pem.client_ca, pem.key, pem.certificate)
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", _MOST_BYTES),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),  # a connection of its own each time
    ]
    if node.name is not None:
        options.append(("grpc.ssl_target_name_override", node.name))
    missed = set[Wanted]()
    async with grpc.aio.secure_channel(node.where, credentials, options) as channel:
        call = PeeringStub(channel).Follow(
            pb.FollowRequest(always=sync.always, replies=True)
        )
        try:
            patience = _CONNECTS_WITHIN
            while True:
                async with asyncio.timeout(patience):
                    message = await call.read()
                if message == grpc.aio.EOF:
                    raise HostError("it has ended the connection")
                if patience != _SILENCE:
                    patience = _SILENCE
                    peer.begins()
                assert isinstance(message, pb.FollowResponse)  # noqa: S101 - not EOF
                await _take(exchange, peer, message, missed)
        finally:
            call.cancel()
            with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await call.code()


async def _take(
    exchange: Exchange, peer: Peer, message: pb.FollowResponse, missed: set[Wanted]
) -> None:
    """Take in one message; raises ValueError, or _Again."""
    told = await asyncio.to_thread(told_from_pb, message, time.monotonic_ns())
    match told:
        case SharedFlows():
            unknown = await asyncio.to_thread(exchange.record, told)
            peer.told_flows += len(told.flows)
            if len(missed) < _MOST_MISSED:
                missed |= unknown
        case SharedReplies():
            written = await asyncio.to_thread(exchange.record_replies, told)
            peer.told_flows += len(told.flows)
            peer.unwritten |= not written
        case None:
            if exchange.has_come(missed) or (peer.unwritten and exchange.has_maps):
                raise _Again
            if not peer.synced:
                _log.info("peer followed", peer=peer.name, rings=len(peer.rings))
            lacks = bool(missed) or peer.unwritten
            peer.has_told_all(waits=lacks and not exchange.has_maps)
        case ring:
            exchange.hear(peer, ring)
