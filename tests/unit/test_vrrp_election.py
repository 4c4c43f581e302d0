"""Three routers on a simulated LAN that loses packets, with a simulated clock.

Whatever happened before: once it is over, there is exactly one Active after one down
interval and one advertisement, and it alone has the addresses.
"""

from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vrrp.machine import Config, Effect, Release, Send, State, Take, VirtualRouter

ROUTERS = tuple(IPv4Address(f"10.0.0.{n}") for n in (1, 2, 3))
VIRTUAL = (IPv4Address("10.0.0.100"),)
STORM = 100  # effects of one event: far more than three routers have to say
who = st.sampled_from(ROUTERS)


@dataclass
class Lan:
    """Delivers at once and in order what is not lost."""

    routers: dict[IPv4Address, VirtualRouter]
    now: float = 0.0
    deaf: set[tuple[IPv4Address, IPv4Address]] = field(
        default_factory=set
    )  # speaker, hearer
    holders: set[IPv4Address] = field(default_factory=set)

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.now + seconds
        while (first := self._first_deadline()) and first[0] <= end:
            self.now = max(self.now, first[0])
            self.carry_out(first[1], self.routers[first[1]].tick(self.now))
        self.now = end

    def carry_out(self, actor: IPv4Address, effects: list[Effect]) -> None:
        """Do what ``actor`` wants done, and what follows from it."""
        waiting = deque((actor, effect) for effect in effects)
        for _ in range(STORM):
            if not waiting:
                return
            source, effect = waiting.popleft()
            if isinstance(effect, Take):
                self.holders.add(source)
            if isinstance(effect, Release):
                self.holders.discard(source)
            if not isinstance(effect, Send):
                continue
            for address, router in self.routers.items():
                if address != source and (source, address) not in self.deaf:
                    said = router.receive(effect.advertisement, source, self.now)
                    waiting.extend((address, each) for each in said)
        raise AssertionError("they answer each other without end")

    def _first_deadline(self) -> tuple[float, IPv4Address] | None:
        due = (
            (router.deadline, address)
            for address, router in self.routers.items()
            if router.deadline is not None
        )
        return min(due, default=None)


class Election(RuleBasedStateMachine):
    """Faults of every kind, in every order."""

    @initialize(
        priorities=st.tuples(*[st.sampled_from([1, 99, 100, 101, 254, 255])] * 3),
        intervals=st.tuples(*[st.sampled_from([0.01, 0.1, 1.0])] * 3),
        preempt=st.tuples(*[st.booleans()] * 3),
    )
    def build(
        self,
        priorities: tuple[int, ...],
        intervals: tuple[float, ...],
        preempt: tuple[bool, ...],
    ) -> None:
        self.configs = {
            address: Config(7, VIRTUAL, priority, interval, may)
            for address, priority, interval, may in zip(
                ROUTERS, priorities, intervals, preempt, strict=True
            )
        }
        self.lan = Lan({address: VirtualRouter(c) for address, c in self.configs.items()})

    @rule(address=who)
    def a_router_starts(self, address: IPv4Address) -> None:
        router = self.lan.routers[address]
        if router.state is State.INITIALIZE:
            self.lan.carry_out(address, router.start(address, self.lan.now))

    @rule(address=who)
    def a_router_stops(self, address: IPv4Address) -> None:
        self.lan.carry_out(address, self.lan.routers[address].stop())

    @rule(address=who)
    def a_router_is_killed(self, address: IPv4Address) -> None:
        self.lan.routers[address] = VirtualRouter(self.configs[address])
        self.lan.holders.discard(address)  # the next run removes what this one left

    @rule(speaker=who, hearer=who)
    def somebody_no_longer_hears_somebody(
        self, speaker: IPv4Address, hearer: IPv4Address
    ) -> None:
        self.lan.deaf.add((speaker, hearer))

    @rule()
    def everybody_hears_everybody(self) -> None:
        self.lan.deaf.clear()

    @rule(seconds=st.floats(0.001, 5.0))
    def time_passes(self, seconds: float) -> None:
        self.lan.advance(seconds)

    @rule()
    def faults_end_and_one_is_active(self) -> None:
        self.lan.deaf.clear()
        running = [r for r in self.lan.routers.values() if r.state is not State.INITIALIZE]
        slowest = max(config.interval for config in self.configs.values())
        down_interval = 3 * slowest + 255 / 256 * slowest

        self.lan.advance(down_interval + slowest)

        active = [router for router in running if router.state is State.ACTIVE]
        assert len(active) == min(1, len(running))
        assert all(router.active == active[0].active for router in running)
        if running and all(router.config.preempt for router in running):
            highest = max(router.config.priority for router in running)
            assert active[0].config.priority == highest

    @invariant()
    def the_active_routers_have_the_addresses_and_nobody_else(self) -> None:
        active = {a for a, r in self.lan.routers.items() if r.state is State.ACTIVE}
        assert self.lan.holders == active

    @invariant()
    def a_running_router_waits_for_something(self) -> None:
        for router in self.lan.routers.values():
            assert (router.deadline is None) == (router.state is State.INITIALIZE)


ElectionTest = Election.TestCase
ElectionTest.settings = settings(max_examples=200, stateful_step_count=40)
