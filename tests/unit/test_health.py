"""Counting probe results, and probing."""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from control.addresses import IpAddress
from control.health.monitor import Monitor
from control.health.tcp import NoResultError, probe
from control.health.tracker import Tracker
from control.model import Backend, DesiredState, Mode, Protocol, Service, TcpCheck
from control.status import Health

LOOPBACK = IPv4Address("127.0.0.1")
LOOPBACKS = [LOOPBACK, IPv6Address("::1")]


@pytest.mark.parametrize(
    ("results", "health"),
    [
        ("", Health.UNKNOWN),
        ("+", Health.UP),
        ("-", Health.DOWN),
        ("+--", Health.UP),
        ("+---", Health.DOWN),
        ("+--+--", Health.UP),
        ("-+", Health.DOWN),
        ("-++", Health.UP),
        ("-+-+", Health.DOWN),
    ],
)
def test_it_takes_two_to_rise_and_three_to_fall_but_the_first_decides_alone(
    results, health
) -> None:
    tracker = Tracker()

    for result in results:
        tracker = tracker.observe(success=result == "+", rise=2, fall=3)

    assert tracker.health is health


@pytest.mark.parametrize("address", LOOPBACKS, ids=str)
def test_a_listening_port_is_well_and_a_closed_one_is_said_to_refuse(
    address: IpAddress,
) -> None:
    async def scenario() -> tuple[str, str]:
        server = await asyncio.start_server(lambda _, w: w.close(), str(address), 0)
        port = server.sockets[0].getsockname()[1]
        listening = await probe(address, port, timeout=5)
        server.close()
        await server.wait_closed()
        closed = await probe(address, port, timeout=5)
        return listening, closed.replace(str(port), "N")

    assert asyncio.run(scenario()) == ("", "port N: Connection refused")


def test_a_black_hole_fails_when_its_time_is_over() -> None:
    # A socket that listens with a full backlog answers no more SYNs.
    async def scenario() -> str:
        with socket.socket() as hole:
            hole.bind((str(LOOPBACK), 0))
            hole.listen(0)
            port = hole.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)  # noqa: FBT003
                one.connect_ex((str(LOOPBACK), port))
            try:
                return await probe(LOOPBACK, port, timeout=0.1)
            finally:
                for one in waiting:
                    one.close()

    assert asyncio.run(scenario()).endswith(" within 0.1 s")


@dataclass
class Backends:
    """Real servers that answer probes as they are told to."""

    up: bool = True
    asked: Counter[IPv4Address] = field(default_factory=Counter)
    shortage: bool = False

    async def answer(self, address: IPv4Address, _port: int, _timeout: float) -> str:
        self.asked[address] += 1
        if self.shortage:
            raise NoResultError("Too many open files")
        return "" if self.up else "port 80: Connection refused"


def desired(
    check: TcpCheck | None, *, weight: int = 1, name: str = "b", address: str = "10.0.0.1"
) -> DesiredState:
    backend = Backend(name, IPv4Address(address), 80, weight)
    vip = IPv4Address("192.0.2.1")
    return DesiredState(
        (Service("web", vip, Protocol.TCP, 80, Mode.DR, (backend,), check),)
    )


FAST = TcpCheck(interval=0.01, rise=2, fall=2)
KEY = ("web", "b")


def watching(scenario: Callable[[Monitor, Backends], Awaitable[None]]) -> None:
    """Run a scenario with a monitor that probes make-believe backends."""

    async def run() -> None:
        backends = Backends()
        async with asyncio.TaskGroup() as tasks:
            monitor = Monitor(tasks, changed=lambda: None, probe_by=backends.answer)
            async with asyncio.timeout(10):
                await scenario(monitor, backends)
            monitor.watch(DesiredState())  # ends its tasks

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the probes take turns with us
        await asyncio.sleep(0)


def test_a_backend_goes_down_and_comes_back_by_its_probes() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(FAST))
        assert (monitor.health(), monitor.known()) == ({KEY: Health.UNKNOWN}, False)
        await until(lambda: monitor.health()[KEY] is Health.UP)
        backends.up = False
        await until(lambda: monitor.health()[KEY] is Health.DOWN)
        backends.up = True
        await until(lambda: monitor.health()[KEY] is Health.UP)
        assert monitor.known()

    watching(scenario)


def test_a_change_that_does_not_touch_the_check_keeps_its_verdict() -> None:
    async def scenario(monitor: Monitor, _: Backends) -> None:
        monitor.watch(desired(FAST))
        await until(monitor.known)
        monitor.watch(desired(FAST, weight=7))
        assert monitor.health() == {KEY: Health.UP}

    watching(scenario)


def test_a_changed_check_starts_afresh() -> None:
    async def scenario(monitor: Monitor, _: Backends) -> None:
        monitor.watch(desired(FAST))
        await until(monitor.known)
        monitor.watch(desired(replace(FAST, port=8080)))
        assert monitor.health() == {KEY: Health.UNKNOWN}

    watching(scenario)


def test_a_backend_that_is_not_wanted_any_more_is_not_probed_any_more() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        one, other = desired(FAST), desired(FAST, name="c", address="10.0.0.2")
        monitor.watch(one)
        await until(monitor.known)
        monitor.watch(other)
        await until(monitor.known)
        before = backends.asked[IPv4Address("10.0.0.1")]
        await until(lambda: backends.asked[IPv4Address("10.0.0.2")] > 5)
        assert backends.asked[IPv4Address("10.0.0.1")] == before
        assert set(monitor.health()) == {("web", "c")}

    watching(scenario)


def test_a_shortage_of_this_host_says_nothing_of_a_backend() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(FAST))
        await until(monitor.known)
        backends.shortage = True
        asked = backends.asked.total()
        await until(lambda: backends.asked.total() > asked + 3)
        assert monitor.health() == {KEY: Health.UP}
        assert monitor.suspects() == frozenset()

    watching(scenario)


def test_who_fails_a_probe_is_suspect_at_once_and_it_is_said_why() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(replace(FAST, fall=1000)))
        await until(monitor.known)
        backends.up = False
        await until(lambda: bool(monitor.suspects()))
        assert monitor.suspects() == {IPv4Address("10.0.0.1")}
        assert monitor.problem(KEY) == "port 80: Connection refused"
        assert monitor.health() == {KEY: Health.UP}

    watching(scenario)
