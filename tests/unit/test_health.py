"""Counting probe results, and probing."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from control.addresses import IpAddress
from control.check_common import Initial
from control.checks import AnyCheck, HttpCheck, TcpCheck
from control.desired import DesiredState
from control.health.kinds import probe
from control.health.monitor import Monitor
from control.health.peer import Way
from control.health.result import PASSED, NoResultError, Result, no_answer
from control.health.tracker import Tracker, together, weighed
from control.model import Backend, Mode, Protocol, Service
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
        tracker = tracker.observe(result == "+", TcpCheck(), 0)

    assert tracker.health is health


@pytest.mark.parametrize("address", LOOPBACKS, ids=str)
def test_a_listening_port_is_well_and_a_closed_one_is_said_to_refuse(
    address: IpAddress,
) -> None:
    async def scenario() -> tuple[Result, Result]:
        server = await asyncio.start_server(lambda _, w: w.close(), str(address), 0)
        port = server.sockets[0].getsockname()[1]
        listening = await probe(address, port, TcpCheck(timeout=5))
        server.close()
        await server.wait_closed()
        closed = await probe(address, port, TcpCheck(timeout=5))
        return listening, Result(closed.problem.replace(str(port), "N"))

    assert asyncio.run(scenario()) == (PASSED, Result("port N: Connection refused"))


def test_a_black_hole_fails_when_its_time_is_over() -> None:
    # A socket that listens with a full backlog answers no more SYNs.
    async def scenario() -> Result:
        with socket.socket() as hole:
            hole.bind((str(LOOPBACK), 0))
            hole.listen(0)
            port = hole.getsockname()[1]
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)  # noqa: FBT003
                one.connect_ex((str(LOOPBACK), port))
            try:
                return await probe(LOOPBACK, port, TcpCheck(timeout=0.1))
            finally:
                for one in waiting:
                    one.close()

    assert asyncio.run(scenario()).problem.endswith(" within 0.1 s")


REFUSED = "port 80: Connection refused"
REFUSAL = Result(REFUSED)


@dataclass
class Backends:
    """Real servers that answer probes as they are told to."""

    up: bool = True
    asked: Counter[IPv4Address] = field(default_factory=Counter)
    shortage: bool = False
    weight: int | None = None
    broken: type[AnyCheck] | None = None  # who asks so is refused
    refusal: Result = REFUSAL
    stall: float = 0  # seconds that an answer keeps this process from its work

    async def answer(
        self, address: IPv4Address, _port: int, check: AnyCheck, _way: Way | None
    ) -> Result:
        self.asked[address] += 1
        if self.shortage:
            raise NoResultError("Too many open files")
        if self.stall:
            time.sleep(self.stall)  # noqa: ASYNC251 - the loop is to stand still
            await asyncio.sleep(0.06)
        if not self.up or type(check) is self.broken:
            return self.refusal
        return Result(weight=self.weight)


def desired(
    *checks: AnyCheck, weight: int = 1, name: str = "b", address: str = "10.0.0.1"
) -> DesiredState:
    backend = Backend(name, IPv4Address(address), 80, weight)
    vip = IPv4Address("192.0.2.1")
    return DesiredState(
        (Service("web", vip, Protocol.TCP, 80, Mode.DR, (backend,), checks),)
    )


FAST = TcpCheck(interval=0.01, rise=2, fall=2)
KEY = ("web", "b")


def watching(scenario: Callable[[Monitor, Backends], Awaitable[None]]) -> None:
    """Run a scenario with a monitor that probes make-believe backends."""

    async def run() -> None:
        backends = Backends()
        async with asyncio.TaskGroup() as tasks:
            monitor = Monitor(tasks, changed=lambda: None, probe_by=backends.answer)
            async with asyncio.timeout(40):
                await scenario(monitor, backends)
            monitor.watch(DesiredState())  # ends its tasks

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the probes take turns with us
        await asyncio.sleep(0)


def test_a_verdict_is_told_once_whatever_the_number_of_checks() -> None:
    told: list[tuple[tuple[str, str], Health, str]] = []
    backends = Backends()

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            monitor = Monitor(
                tasks,
                changed=lambda: None,
                probe_by=backends.answer,
                told=lambda *what: told.append(what),
            )
            async with asyncio.timeout(10):
                monitor.watch(desired(FAST, replace(FAST, port=81)))
                await until(lambda: len(told) == 1)
                backends.up = False
                await until(lambda: len(told) == 2)
                backends.up = True
                await until(lambda: len(told) == 3)
            monitor.watch(DesiredState())

    asyncio.run(run())

    assert [(key, health) for key, health, _ in told] == [
        (KEY, Health.UP),
        (KEY, Health.DOWN),
        (KEY, Health.UP),
    ]
    assert [bool(reason) for _, _, reason in told] == [False, True, False]


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


def test_a_backend_can_be_probed_at_once() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        at = IPv4Address("10.0.0.1")
        slow = TcpCheck(interval=3600, fall=2)
        monitor.watch(desired(slow, replace(slow, port=81)))
        await until(monitor.known)
        assert backends.asked[at] == 2
        backends.up = False
        monitor.hasten(KEY)
        await until(lambda: backends.asked[at] == 4)
        assert monitor.health() == {KEY: Health.UP}  # one failure is not two
        monitor.hasten(KEY)
        await until(lambda: monitor.health() == {KEY: Health.DOWN})
        monitor.hasten(("web", "nobody"))

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
        assert monitor.problem(KEY) == "Too many open files"
        assert monitor.hindrances() == {"Too many open files": 1}

    watching(scenario)


def test_a_silence_that_this_host_has_slept_through_is_none() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(replace(FAST, fall=1, timeout=0.5)))
        await until(monitor.known)
        backends.up, backends.refusal = False, no_answer(80, 0.5)
        backends.stall = 0.2
        asked = backends.asked.total()
        await until(lambda: backends.asked.total() > asked + 3)
        assert monitor.health() == {KEY: Health.UP}
        assert monitor.problem(KEY) == "this host is too busy to wait for answers"
        backends.stall = 0
        await until(lambda: monitor.health()[KEY] is Health.DOWN)
        assert monitor.problem(KEY) == "no answer from port 80 within 0.5 s"

    watching(scenario)


def test_a_refusal_counts_however_busy_this_host_is() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(replace(FAST, fall=1, timeout=0.5)))
        await until(monitor.known)
        backends.up, backends.stall = False, 0.2
        await until(lambda: monitor.health()[KEY] is Health.DOWN)

    watching(scenario)


def test_who_fails_a_probe_is_suspect_at_once_and_it_is_said_why() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(replace(FAST, fall=1000)))
        await until(monitor.known)
        backends.up = False
        await until(lambda: bool(monitor.suspects()))
        assert monitor.suspects() == {IPv4Address("10.0.0.1")}
        assert monitor.problem(KEY) == REFUSED
        assert monitor.health() == {KEY: Health.UP}

    watching(scenario)


def test_services_that_ask_the_same_of_a_backend_share_one_probe() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        one = desired(FAST).services[0]
        vips = (IPv4Address("192.0.2.2"), IPv4Address("192.0.2.3"))
        others = [replace(one, name=f"web{vip}", vip=vip) for vip in vips]
        monitor.watch(DesiredState((one, *others)))
        await until(monitor.known)
        assert backends.asked == {IPv4Address("10.0.0.1"): 1}
        assert set(monitor.health().values()) == {Health.UP}
        backends.up = False
        await until(lambda: Health.UP not in monitor.health().values())
        assert {monitor.problem(key) for key in monitor.health()} == {REFUSED}
        # The last who asks keeps it going.
        monitor.watch(DesiredState((others[1],)))
        assert monitor.health() == {(others[1].name, "b"): Health.DOWN}

    watching(scenario)


def test_a_port_that_is_written_out_is_the_same_question() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        one = desired(FAST, replace(FAST, port=80)).services[0]
        vip = IPv4Address("192.0.2.2")
        other = replace(one, name="other", vip=vip, checks=(replace(FAST, port=80),))
        monitor.watch(DesiredState((one, other)))
        await until(monitor.known)
        assert backends.asked.total() == 1

    watching(scenario)


def test_a_backend_with_several_checks_has_to_pass_them_all() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        web = HttpCheck(interval=0.01, rise=2, fall=2)
        monitor.watch(desired(FAST, web))
        await until(monitor.known)
        assert monitor.health() == {KEY: Health.UP}
        backends.broken = HttpCheck
        await until(lambda: monitor.health()[KEY] is Health.DOWN)
        assert monitor.problem(KEY) == REFUSED

    watching(scenario)


def test_a_probe_may_say_what_a_backend_weighs() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        monitor.watch(desired(FAST, weight=10))
        await until(monitor.known)
        assert monitor.weights() == {}
        backends.weight = 3
        await until(lambda: bool(monitor.weights()))
        assert monitor.weights() == {KEY: 3}
        backends.up = False  # a failure says nothing about it
        await until(lambda: monitor.health()[KEY] is Health.DOWN)
        assert monitor.weights() == {KEY: 3}
        backends.up, backends.weight = True, None
        await until(lambda: not monitor.weights())

    watching(scenario)


def test_what_was_before_counts_until_as_many_results_contradict_as_ever() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        check = replace(FAST, fall=3, initial=Initial.BEFORE)
        backends.up = False
        monitor.watch(desired(check), {KEY: Health.UP})
        assert (monitor.health(), monitor.known()) == ({KEY: Health.UP}, True)
        await until(lambda: monitor.health()[KEY] is Health.DOWN)
        assert backends.asked.total() == 3

    watching(scenario)


@pytest.mark.parametrize("health", [Health.UP, Health.DOWN])
def test_a_check_that_is_changed_begins_as_it_was_before_if_it_says_so(
    health: Health,
) -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        backends.up = health is Health.UP
        monitor.watch(desired(FAST))
        await until(monitor.known)
        asked = backends.asked.total()
        changed = replace(FAST, fall=5, initial=Initial.BEFORE)
        monitor.watch(desired(changed), monitor.health())
        assert (monitor.health(), monitor.known()) == ({KEY: health}, True)
        await until(lambda: backends.asked.total() > asked)
        assert monitor.health() == {KEY: health}

    watching(scenario)


@pytest.mark.parametrize(
    ("initial", "before", "health"),
    [
        (Initial.FIRST, Health.UP, Health.UNKNOWN),
        (Initial.UP, Health.DOWN, Health.UP),
        (Initial.DOWN, Health.UP, Health.DOWN),
        (Initial.BEFORE, Health.DOWN, Health.DOWN),
        (Initial.BEFORE, None, Health.UNKNOWN),
    ],
)
def test_a_backend_begins_as_its_check_says(
    initial: Initial, before: Health | None, health: Health
) -> None:
    assert Tracker.begin(initial, before).health is health


@pytest.mark.parametrize(
    ("tracker", "check", "pause"),
    [
        (Tracker(Health.UP), TcpCheck(interval=2), 2),
        (Tracker(Health.UP, 1), TcpCheck(interval=2), 2),
        (Tracker(Health.UP, 1), TcpCheck(interval=2, retry_interval=0.5), 0.5),
        (Tracker(Health.DOWN, 1), TcpCheck(interval=2, retry_interval=0.5), 0.5),
        (Tracker(Health.DOWN), TcpCheck(interval=2, retry_interval=0.5), 2),
    ],
)
def test_who_is_in_doubt_asks_again_after_another_pause(tracker, check, pause) -> None:
    assert tracker.pause(check, 0) == pause
    assert tracker.pause(check, -1) == pytest.approx(pause * 0.9)
    assert tracker.pause(replace(check, jitter=0.5), 1) == pytest.approx(pause * 1.5)


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([Health.UP, Health.UP], Health.UP),
        ([Health.UP, Health.UNKNOWN], Health.UNKNOWN),
        ([Health.UNKNOWN, Health.DOWN, Health.UP], Health.DOWN),
    ],
)
def test_the_worst_of_several_verdicts_counts(verdicts, verdict) -> None:
    assert together(verdicts) is verdict


@pytest.mark.parametrize(
    ("given", "weight"),
    [((), 10), ((4,), 4), ((4, 13), 7), ((0, 0), 0), ((65535, 65535), 65535)],
)
def test_weights_add_up_as_differences_to_what_is_configured(given, weight) -> None:
    assert weighed(10, given, 65535) == weight


def test_ten_thousand_probes_do_not_begin_at_once() -> None:
    async def scenario(monitor: Monitor, backends: Backends) -> None:
        first = [IPv4Address("10.0.0.1") + n for n in range(10_000)]
        members = tuple(Backend(str(address), address, 80) for address in first)
        vip = IPv4Address("192.0.2.1")
        check = TcpCheck(interval=3600)
        web = Service("web", vip, Protocol.TCP, 80, Mode.DR, members, (check,))
        monitor.watch(DesiredState((web,)))
        started = asyncio.get_running_loop().time()
        await until(lambda: backends.asked.total() >= 1000)
        assert asyncio.get_running_loop().time() - started > 0.5  # 1500 a second

    watching(scenario)
