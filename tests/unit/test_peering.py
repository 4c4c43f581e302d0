"""One node follows another over TLS, whatever becomes of either."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path

import grpc
import numpy as np
import pytest

from control.access import Access, PeerNode, Sync, Tcp
from control.api.following import follow
from control.api.peering import Peering
from control.api.server import serving
from control.api.v1 import guideway_pb2 as lb
from control.api.v1 import peering_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.api.v1.peering_pb2_grpc import PeeringStub
from control.store import Store
from control.sync.exchange import Exchange
from control.sync.teller import Teller
from dataplane.errors import DetachedError
from dataplane.image import Image
from dataplane.records import MODE_NAT, Endpoint, Return
from tests.support.certificates import Authority
from tests.support.running_api import Node
from tests.unit.test_sync_teller import VIP, WEB, image, recorded, written

INTERVAL = 0.05


@dataclass
class Plane:
    """An instance that has flows, and remembers what is recorded."""

    found: tuple = ()
    recorded: list[tuple[np.ndarray, np.ndarray, int | None]] = field(default_factory=list)
    written: tuple = ()
    replied: list[tuple[np.ndarray, np.ndarray, int | None]] = field(default_factory=list)
    detached: bool = False

    def flows(self, services):
        return self.found

    def record(self, flows, records, margin_ns) -> None:
        if len(flows):
            self.recorded.append((flows, records, margin_ns))

    def replies(self):
        return self.written

    def record_replies(self, flows, speakers, margin_ns) -> None:
        if self.detached:
            raise DetachedError
        if len(flows):
            self.replied.append((flows, speakers, margin_ns))


@dataclass
class One:
    """A node: what is in its maps, which addresses it has."""

    image: Image | None
    peers: tuple[str, ...] = ()
    own: frozenset = frozenset()
    plane: Plane = field(default_factory=Plane)
    woken: int = 0
    exchange: Exchange = field(init=False)

    def __post_init__(self) -> None:
        self.exchange = Exchange(
            self.plane, lambda: self.image, lambda: self.own, self._wake, self.peers
        )

    def _wake(self) -> None:
        self.woken += 1


@asynccontextmanager
async def served(directory: Path, one: One, tcp: Tcp) -> AsyncIterator[int]:
    """Serve a node to those who follow it, and give its port."""
    store = Store.open(directory / "desired.db")
    node = Node(store)
    try:
        async with serving(
            directory / "api.sock",
            store,
            node,
            node,
            access=Access(tcp=tcp),
            peering=Peering(one.exchange, INTERVAL),
        ) as where:
            yield where.tcp_port
    finally:
        store.close()


@asynccontextmanager
async def following(one: One, port: int, tcp: Tcp) -> AsyncIterator[None]:
    task = asyncio.create_task(
        follow(one.exchange, Sync((PeerNode("127.0.0.1", port),)), tcp)
    )
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def soon(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is what anybody sees
            await asyncio.sleep(0.01)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(main())


@pytest.fixture
def tcp(tmp_path: Path) -> Tcp:
    """Return what any node serves and asks by: a certificate of O=nodes."""
    authority = Authority(tmp_path / "pki")
    made = authority.serve(peer=("O=nodes",), change=(), view=())
    node = authority.ca.issue_cert(
        "127.0.0.1", common_name="lb1", organization_name="nodes"
    )
    node.private_key_pem.write_to_path(authority.key)
    node.cert_chain_pems[0].write_to_path(authority.certificate)
    return made


def test_a_node_hears_rings_and_flows_and_what_changes(tmp_path: Path, tcp: Tcp) -> None:
    async def test() -> None:
        there = image([7, 8], [8, 0])
        active = One(there, own=frozenset({VIP}))
        active.plane.found = recorded(there, (1, 7, time.monotonic_ns()))
        async with served(tmp_path, active, tcp) as port:
            name = f"127.0.0.1:{port}"
            backup = One(image([31], backends={31: 1}, service_id=2), (name,))
            assert not backup.exchange.synced
            async with following(backup, port, tcp):
                await soon(lambda: backup.exchange.synced)

                (ring,) = backup.exchange.shared()[WEB]
                assert ring.holds_vip
                assert backup.woken
                ((flows, records, margin_ns),) = backup.plane.recorded
                assert flows["service_id"].tolist() == [2]
                assert records["backend_id"].tolist() == [31]
                assert margin_ns is None  # the flows are there, so what it says counts
                (follower,) = active.exchange.followers
                assert (follower.author, follower.flows) == ("CN=lb1,O=nodes", 1)

                active.image = Image()
                await soon(lambda: not backup.exchange.shared())
        (peer,) = backup.exchange.peers.values()
        assert peer.status().flows == 1

    run(test)


def tracking() -> Image:
    """Return a NAT service whose flows are written down."""
    answer = Return(VIP, 80, is_tracked=True)
    there = image([7, 8], mode=MODE_NAT)
    return replace(there, returns={Endpoint(IPv4Address("10.0.0.1"), 8080, 6): answer})


def test_a_node_hears_whose_replies_are_whose_as_soon_as_it_has_maps(
    tmp_path: Path, tcp: Tcp
) -> None:
    async def test() -> None:
        active = One(tracking(), own=frozenset({VIP}))
        active.plane.written = written((1, VIP, time.monotonic_ns()))
        async with served(tmp_path, active, tcp) as port:
            backup = One(None, (f"127.0.0.1:{port}",))
            backup.plane.detached = True
            async with following(backup, port, tcp):
                await soon(lambda: backup.exchange.settled)
                assert not backup.exchange.synced

                backup.plane.detached, backup.image = False, tracking()
                await soon(lambda: backup.exchange.synced)
                ((flows, _, margin_ns),) = backup.plane.replied
                assert flows.tobytes() == active.plane.written[0].tobytes()
                assert margin_ns is None  # the flows are there, so what it says counts
        (peer,) = backup.exchange.peers.values()
        assert peer.status().flows >= 1

    run(test)


def test_who_has_the_vip_lets_nobody_overrule_what_it_has_seen_itself() -> None:
    one = One(tracking(), ("192.0.2.9:7007",), own=frozenset({VIP}))
    flows, found = written((1, VIP, time.monotonic_ns()))
    (told,) = Teller(always=False, replies=True).replies(
        one.own, time.monotonic_ns(), flows, found
    )

    assert one.exchange.record_replies(told)

    ((_, _, margin_ns),) = one.plane.replied
    assert margin_ns == 2_000_000_000


def test_flows_of_a_backend_that_comes_later_are_told_again(
    tmp_path: Path, tcp: Tcp
) -> None:
    async def test() -> None:
        there = image([7, 8], [8, 0])
        active, now = One(there), time.monotonic_ns()
        active.plane.found = recorded(there, (1, 7, now), (2, 8, now))
        async with served(tmp_path, active, tcp) as port:
            backup = One(None, (f"127.0.0.1:{port}",))  # which fills its maps later
            async with following(backup, port, tcp):
                await soon(lambda: backup.exchange.settled)
                assert not backup.exchange.synced

                backup.image = image([31], backends={31: 1}, service_id=2)
                await soon(lambda: backup.exchange.synced)
                assert len(backup.plane.recorded[-1][0]) == 1
                backup.image = image([31, 30], backends={31: 1, 30: 2}, service_id=2)
                await soon(lambda: len(backup.plane.recorded[-1][0]) == 2)

    run(test)


def test_a_peer_that_is_not_there_holds_nobody_up_and_is_followed_when_it_comes(
    tmp_path: Path, tcp: Tcp
) -> None:
    async def test() -> None:
        async with served(tmp_path, One(image([7])), tcp) as port:
            pass  # and now nobody listens there
        name = f"127.0.0.1:{port}"
        one = One(image([7], backends={7: 1}), (name,))
        peer = one.exchange.peers[name]
        async with following(one, port, tcp):
            await soon(lambda: peer.problem != "")
            assert one.exchange.synced
            assert not peer.status().synced

            async with served(tmp_path, One(image([8])), replace(tcp, port=port)):
                await soon(lambda: peer.synced)
                assert peer.problem == ""
            await soon(lambda: not peer.synced)
            assert one.exchange.shared() == {}

    run(test)


def test_a_peer_may_follow_and_do_nothing_else_and_others_may_not_follow(
    tmp_path: Path, tcp: Tcp
) -> None:
    async def test() -> None:
        pem = [path.read_bytes() for path in (tcp.client_ca, tcp.key, tcp.certificate)]
        credentials = grpc.ssl_channel_credentials(*pem)
        for names, may in ((("O=nodes",), True), (("O=others",), False)):
            known = replace(tcp, peer=names)
            async with (
                served(tmp_path, One(image([7])), known) as port,
                grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel,
            ):
                with pytest.raises(grpc.aio.AioRpcError, match="may not call"):
                    await LoadBalancerStub(channel).GetStatus(lb.GetStatusRequest())
                call = PeeringStub(channel).Follow(pb.FollowRequest())
                if may:
                    assert (await call.read()).HasField("ring")
                else:
                    with pytest.raises(grpc.aio.AioRpcError, match="may not call"):
                        await call.read()

    run(test)


def test_a_node_whose_certificate_is_for_another_is_not_followed(
    tmp_path: Path, tcp: Tcp
) -> None:
    async def test() -> None:
        async with served(tmp_path, One(image([7])), tcp) as port:
            name = f"127.0.0.1:{port}"
            one = One(image([7]), (name,))
            stranger = Authority(tmp_path / "elsewhere").serve(peer=("O=nodes",))
            async with following(one, port, stranger):
                await soon(lambda: one.exchange.peers[name].problem != "")
                assert one.exchange.shared() == {}

    run(test)


def test_who_has_the_address_of_a_service_is_fit_at_once() -> None:
    one = One(image([7]), ("192.0.2.9:7007",), own=frozenset({VIP}))
    other = One(image([7]), ("192.0.2.9:7007",), own=frozenset({IPv4Address("10.0.0.9")}))

    assert one.exchange.synced
    assert not other.exchange.synced
    other.own = one.own
    assert other.exchange.synced
    other.own = frozenset()
    assert other.exchange.synced  # once it was, it stays so
