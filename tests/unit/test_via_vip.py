"""The way of probes to VIPs: who gets a stand-in, what it becomes, and when it is given."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.check_common import Via
from control.checks import AnyCheck, HttpCheck, IcmpCheck, TcpCheck, UdpCheck
from control.desired import DesiredState
from control.errors import ConfigError
from control.facts import Network, NextHop
from control.health.kinds import probe
from control.health.peer import Way
from control.health.result import NoResultError
from control.health.vip_path import VipPath
from control.health.vips import StandIns, pairs
from control.model import Backend, Mode, Protocol, Service
from dataplane.errors import LoadError
from dataplane.stand_ins import TARGETS, Prefixes, Target
from tests.support.servers import LOOPBACK, Line, probed

VIP, OTHER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
B1, B2 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
OWN, MAC, OUR_MAC = IPv4Address("10.0.0.9"), bytes([2] * 6), bytes([4] * 6)
THROUGH = TcpCheck(via=Via.VIP)
HOP = NextHop("eth0", 3, OUR_MAC, MAC, OWN)


def service(
    *checks: AnyCheck, mode: Mode = Mode.DR, vip: IPv4Address = VIP, name: str = "web"
) -> Service:
    backends = (Backend("b1", B1, 80), Backend("b2", B2, 80))
    return Service(name, vip, Protocol.TCP, 80, mode, backends, checks)


def test_those_are_probed_through_a_vip_of_which_a_check_says_so() -> None:
    state = DesiredState(
        (
            service(THROUGH, IcmpCheck()),
            service(TcpCheck(), vip=OTHER, name="direct"),
        )
    )

    assert pairs(state) == ((VIP, B1), (VIP, B2))


@pytest.mark.parametrize(
    ("mode", "check", "problem"),
    [
        (Mode.NAT, THROUGH, "via: vip goes with mode dr only; by nat packets reach a"),
        (Mode.DR, UdpCheck(via=Via.VIP), "via: vip needs a reply: nobody says from"),
        (Mode.DR, replace(THROUGH, interface="eth0"), "interface does not go with via: v"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(mode, check, problem) -> None:
    with pytest.raises(ConfigError) as raised:
        service(check, mode=mode)

    assert raised.value.problem.startswith(problem)


some_pairs = st.lists(
    st.tuples(
        st.sampled_from([VIP, OTHER]),
        st.integers(1, 20).map(lambda host: IPv4Address("10.0.0.0") + host),
    ),
    unique=True,
)


@given(st.lists(some_pairs, max_size=5))
def test_each_has_a_number_of_its_own_and_keeps_it(rounds) -> None:
    stand_ins = StandIns()

    for wanted in rounds:
        before, stand_ins = stand_ins, stand_ins.following(wanted)

        numbers = stand_ins.numbers
        assert set(numbers) == set(wanted)
        assert len(set(numbers.values())) == len(wanted)
        assert all(0 < number < TARGETS for number in numbers.values())
        kept = before.numbers.keys() & numbers.keys()
        assert all(before.numbers[pair] == numbers[pair] for pair in kept)


@given(st.text("abcdefgh-_0123", min_size=1, max_size=32))
def test_an_instance_always_has_the_same_prefixes_and_a_name_that_fits(instance) -> None:
    prefixes = Prefixes.of(instance)

    assert prefixes == Prefixes.of(instance)
    assert len(prefixes.name) <= 15
    assert prefixes.ipv4.subnet_of(IPv4Network("240.0.0.0/4"))
    assert not prefixes.ipv4.overlaps(IPv4Network("255.0.0.0/8"))
    assert prefixes.ipv6.network_address.is_private
    assert 0 < prefixes.handle < 1 << 32
    for version in (4, 6):
        last = prefixes.address(version, TARGETS - 1)
        assert int(last) & 0xFFFF == TARGETS - 1


def test_a_target_is_packed_as_the_program_reads_it() -> None:
    ipv4 = Target(VIP, 0x01020304, MAC, OUR_MAC).pack()
    ipv6 = Target(IPv6Address("2001:db8::1"), 3, MAC, OUR_MAC).pack()

    assert ipv4[:16] == IPv6Address("::ffff:192.0.2.1").packed
    assert ipv6[:16] == IPv6Address("2001:db8::1").packed
    assert ipv4[16:] == b"\4\3\2\1" + MAC + OUR_MAC


@dataclass
class Kernel:
    """Stands for the kernel's part; keeps in mind what it is told."""

    prefixes: Prefixes = field(default_factory=lambda: Prefixes.of("test"))
    targets: Mapping[int, Target] | None = None
    problem: str = ""
    asked: int = 0

    def follow(self, targets: Mapping[int, Target]) -> None:
        self.asked += 1
        if self.problem:
            raise LoadError(self.problem)
        self.targets = targets

    def remove(self) -> bool:
        self.asked += 1
        self.targets = None
        return True


WANTED = DesiredState((service(THROUGH),))
KNOWN = Network(next_hops={B1: HOP, B2: replace(HOP, mac=None)})


async def follow(
    path: VipPath,
    desired: DesiredState,
    network: Network = KNOWN,
    *,
    detached: bool = False,
) -> None:
    await path.follow(desired, network, detached=detached)


def test_a_backend_with_a_mac_gets_a_way_and_one_without_has_the_time_of_its_check() -> (
    None
):
    async def scenario() -> Way:
        kernel = Kernel()
        path = VipPath(kernel)  # type: ignore[arg-type]
        early = asyncio.create_task(path.way(VIP, B1, 0))
        late = asyncio.create_task(path.way(VIP, B2, 0))
        await asyncio.sleep(0)
        assert not early.done()  # nobody has looked for it yet, however little time it has
        await follow(path, WANTED)
        assert kernel.targets == {1: Target(VIP, 3, MAC, OUR_MAC)}
        way = await early
        await follow(path, WANTED)
        with pytest.raises(TimeoutError):
            await late
        return way

    way = asyncio.run(scenario())

    assert way == Way(Prefixes.of("test").address(4, 1), OWN)


def test_the_kernel_is_left_alone_while_there_is_nothing_new() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        path = VipPath(kernel)  # type: ignore[arg-type]
        for _ in range(9):
            await follow(path, WANTED)
        assert kernel.asked == 2  # the second look is for who has no MAC after the first
        await follow(path, WANTED, Network(next_hops={B1: HOP, B2: HOP}))
        assert kernel.targets is not None
        assert len(kernel.targets) == 2
        await follow(path, DesiredState())
        assert kernel.targets is None
        asked = kernel.asked
        await follow(path, DesiredState())
        assert kernel.asked == asked

    asyncio.run(scenario())


def test_what_was_left_by_another_is_taken_away_at_first() -> None:
    kernel = Kernel(targets={})

    asyncio.run(follow(VipPath(kernel), DesiredState()))  # type: ignore[arg-type]

    assert kernel.targets is None


def test_why_there_is_no_way_is_said_and_tried_again_later() -> None:
    async def scenario() -> str:
        kernel = Kernel(problem="the kernel refuses")
        path = VipPath(kernel)  # type: ignore[arg-type]
        for _ in range(9):
            await follow(path, WANTED)
        assert kernel.asked == 1
        with pytest.raises(NoResultError) as raised:
            await path.way(VIP, B1, 1)
        return str(raised.value)

    assert asyncio.run(scenario()) == "the kernel refuses"


def test_a_detached_plane_has_no_way_until_it_is_loaded_again() -> None:
    async def scenario() -> None:
        kernel = Kernel()
        path = VipPath(kernel)  # type: ignore[arg-type]
        await follow(path, WANTED)
        await follow(path, WANTED, detached=True)
        assert kernel.targets is None
        with pytest.raises(NoResultError, match="the data plane is detached"):
            await path.way(VIP, B1, 1)
        await follow(path, WANTED)
        assert (await path.way(VIP, B1, 1)).source == OWN

    asyncio.run(scenario())


def test_nobody_is_asked_from_a_vip() -> None:
    async def scenario() -> None:
        path = VipPath(Kernel())  # type: ignore[arg-type]
        await follow(path, WANTED, Network(next_hops={B1: replace(HOP, source=VIP)}))
        way = await path.way(VIP, B1, 1)
        with pytest.raises(NoResultError, match="would ask from a VIP: give the check a"):
            await probe(VIP, 80, THROUGH, way)
        own = replace(THROUGH, source="127.0.0.1")
        closed = await probe(VIP, 1, own, Way(LOOPBACK, None))
        assert closed.problem == "port 1: Connection refused"

    asyncio.run(scenario())


def test_a_server_that_is_asked_through_the_vip_hears_the_vip_as_its_name() -> None:
    heard = []

    async def listen(line: Line) -> None:
        heard.append((await line.reader.readuntil(b"\r\n\r\n")).decode())
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    served = probed(
        HttpCheck(via=Via.VIP, timeout=5), listen, way=Way(LOOPBACK, LOOPBACK), name=VIP
    )

    assert served.result.problem == ""
    assert f"Host: {VIP}:" in heard[0]
