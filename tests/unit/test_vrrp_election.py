"""Three routers on a simulated LAN, with a simulated clock.

The LAN loses packets, delays them and falls apart; routers start, stop, die, and stall as a
process does that gets no processor; an Active hands over. Whatever happened: once it is
over, there is exactly one Active after one down interval and one advertisement, and it
alone has the addresses. On a LAN that is in order no two are Active for longer than an
advertisement takes. And nobody speaks as the holder of the addresses who was silent for so
long that another may have them.
"""

import heapq
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vrrp.machine import Config, Effect, Release, Send, State, Take, VirtualRouter
from vrrp.packet import Advertisement, IpAddress

ROUTERS: tuple[IpAddress, ...] = tuple(IPv4Address(f"10.0.0.{n}") for n in (1, 2, 3))
VIRTUAL = (IPv4Address("10.0.0.100"),)
INTERVALS = (0.01, 0.1, 1.0)
LONGEST_DELAY = INTERVALS[0] / 4  # seconds; what a LAN that is in order needs for a packet
STORM = 2000  # events at one instant: far more than three routers have to say
who = st.sampled_from(ROUTERS)


@dataclass(order=True)
class Packet:
    """An advertisement on its way to one router."""

    arrives: float
    number: int  # no two packets are equal
    source: IpAddress = field(compare=False)
    to: IpAddress = field(compare=False)
    said: Advertisement = field(compare=False)


@dataclass
class Lan:
    """Delivers what is not lost, after some time."""

    routers: dict[IpAddress, VirtualRouter]
    longest: float  # seconds of the longest interval
    random: Random
    now: float = 0.0
    loss: float = 0.0  # share of the packets
    delay: float = 0.0  # seconds at most
    deaf: set[tuple[IpAddress, IpAddress]] = field(default_factory=set)  # speaker, hearer
    stalled: dict[IpAddress, float] = field(default_factory=dict)  # until when
    holders: set[IpAddress] = field(default_factory=set)
    flying: list[Packet] = field(default_factory=list)
    spoke: dict[IpAddress, float] = field(default_factory=dict)  # when last
    sent: int = 0
    two_since: float | None = None  # since when more than one is Active

    def advance(self, seconds: float) -> None:
        """Let time pass, event by event."""
        end = self.now + seconds
        at_once = 0
        while (event := self._next_event()) and event[0] <= end:
            at_once = 0 if event[0] > self.now else at_once + 1
            assert at_once < STORM, "they answer each other without end"
            self.now = max(self.now, event[0])
            self._happen(event[1])
            self._watch()
        self.now = end
        self._watch()

    def carry_out(self, actor: IpAddress, effects: list[Effect]) -> None:
        """Do what ``actor`` wants done."""
        for effect in effects:
            if isinstance(effect, Take):
                self.holders.add(actor)
            if isinstance(effect, Release):
                self.holders.discard(actor)
            if isinstance(effect, Send):
                self._check_silence(actor)
                self._send(actor, effect.advertisement)
        self._watch()

    def heal(self) -> None:
        """End every fault."""
        self.loss, self.delay = 0.0, LONGEST_DELAY
        self.deaf.clear()
        for address in list(self.stalled):
            self._wake(address)
        self.two_since = None
        self._watch()

    def active(self) -> list[VirtualRouter]:
        return [r for r in self.routers.values() if r.state is State.ACTIVE]

    def _in_order(self) -> bool:
        return not (self.loss or self.deaf or self.stalled or self.delay > LONGEST_DELAY)

    def _watch(self) -> None:
        """Fail if two are Active for too long where there is no reason for it."""
        wanted = any(router.hands_over for router in self.active())
        if len(self.active()) < 2 or wanted or not self._in_order():
            self.two_since = None
        elif self.two_since is None:
            self.two_since = self.now
        else:
            lasted = self.now - self.two_since
            assert lasted <= self.longest + 2 * LONGEST_DELAY, "two are Active"

    def _check_silence(self, actor: IpAddress) -> None:
        silence = self.now - self.spoke.get(actor, self.now)
        may_be = (3 + 2 / 256) * self.routers[actor].config.interval
        stops = self.routers[actor].state is State.INITIALIZE
        assert stops or actor not in self.holders or silence < may_be, "it was too late"
        self.spoke[actor] = self.now

    def _send(self, source: IpAddress, said: Advertisement) -> None:
        for to in self.routers:
            lost = (source, to) in self.deaf or self.random.random() < self.loss
            if to != source and not lost:
                self.sent += 1
                arrives = self.now + self.random.random() * self.delay
                heapq.heappush(self.flying, Packet(arrives, self.sent, source, to, said))

    def _next_event(self) -> tuple[float, IpAddress | None] | None:
        """When what is next happens: to whom, or None for the first packet's arrival."""
        events: list[tuple[float, IpAddress | None]] = [
            (self.stalled.get(address, router.deadline), address)
            for address, router in self.routers.items()
            if router.deadline is not None
        ]
        first = next((p for p in sorted(self.flying) if p.to not in self.stalled), None)
        if first:
            events.append((first.arrives, None))
        return min(events, key=lambda event: event[0], default=None)

    def _happen(self, address: IpAddress | None) -> None:
        if address is None:
            first = min(p for p in self.flying if p.to not in self.stalled)
            self._deliver(first)
        elif address in self.stalled:
            self._wake(address)
        else:
            self.carry_out(address, self.routers[address].tick(self.now))

    def _deliver(self, packet: Packet) -> None:
        self.flying.remove(packet)
        heapq.heapify(self.flying)
        router = self.routers[packet.to]
        self.carry_out(packet.to, router.receive(packet.said, packet.source, self.now))

    def _wake(self, address: IpAddress) -> None:
        """End a stall: as the daemon does, first hear what waits, then look at timers."""
        del self.stalled[address]
        router = self.routers[address]
        waiting = sorted(p for p in self.flying if p.to == address)
        for packet in waiting:
            if packet.arrives <= self.now:
                self._deliver(packet)
        self.carry_out(address, router.tick(self.now))


class Election(RuleBasedStateMachine):
    """Faults of every kind, in every order."""

    @initialize(
        priorities=st.tuples(*[st.sampled_from([1, 99, 100, 101, 254, 255])] * 3),
        intervals=st.tuples(*[st.sampled_from(INTERVALS)] * 3),
        preempt=st.tuples(*[st.booleans()] * 3),
        delays=st.tuples(*[st.sampled_from([0.0, 0.0, 3.0])] * 3),
        seed=st.integers(0, 2**32 - 1),
    )
    def build(
        self,
        priorities: tuple[int, ...],
        intervals: tuple[float, ...],
        preempt: tuple[bool, ...],
        delays: tuple[float, ...],
        seed: int,
    ) -> None:
        self.configs = {
            address: Config(7, VIRTUAL, priority, interval, may, delay)
            for address, priority, interval, may, delay in zip(
                ROUTERS, priorities, intervals, preempt, delays, strict=True
            )
        }
        routers = {address: VirtualRouter(c) for address, c in self.configs.items()}
        self.lan = Lan(routers, max(intervals), Random(seed))
        for address in ROUTERS:
            self._start(address)

    @rule(address=who)
    def a_router_stops_or_starts(self, address: IpAddress) -> None:
        router = self.lan.routers[address]
        if router.state is State.INITIALIZE:
            self._start(address)
        elif address not in self.lan.stalled:
            self.lan.carry_out(address, router.stop())

    @rule(address=who)
    def a_router_is_killed(self, address: IpAddress) -> None:
        self.lan.routers[address] = VirtualRouter(self.configs[address])
        self.lan.stalled.pop(address, None)
        self.lan.holders.discard(address)  # the next run removes what this one left

    @rule(address=who, intervals=st.floats(0.5, 20.0))
    def a_router_stalls(self, address: IpAddress, intervals: float) -> None:
        router = self.lan.routers[address]
        if router.state is not State.INITIALIZE:
            until = self.lan.now + intervals * router.config.interval
            self.lan.stalled[address] = until

    @rule(address=who)
    def an_active_hands_over(self, address: IpAddress) -> None:
        router = self.lan.routers[address]
        if router.state is State.ACTIVE and address not in self.lan.stalled:
            self.lan.carry_out(address, router.hand_over(self.lan.now))

    def _start(self, address: IpAddress) -> None:
        router = self.lan.routers[address]
        self.lan.carry_out(address, router.start(address, self.lan.now))

    @rule(speaker=who, hearer=who)
    def somebody_no_longer_hears_somebody(
        self, speaker: IpAddress, hearer: IpAddress
    ) -> None:
        self.lan.deaf.add((speaker, hearer))

    @rule(lonely=who)
    def the_lan_falls_apart(self, lonely: IpAddress) -> None:
        for other in ROUTERS:
            self.lan.deaf |= {(lonely, other), (other, lonely)}

    @rule()
    def everybody_hears_everybody(self) -> None:
        self.lan.deaf.clear()

    @rule(loss=st.floats(0.1, 0.9), delay=st.floats(0.0, 2.0))
    def packets_get_lost_and_late(self, loss: float, delay: float) -> None:
        self.lan.loss, self.lan.delay = loss, delay

    @rule(seconds=st.floats(0.001, 10.0))
    def time_passes(self, seconds: float) -> None:
        self.lan.advance(seconds)

    @rule()
    def faults_end_and_one_is_active(self) -> None:
        self.lan.heal()
        # What was under way for long is the last of the faults.
        late = max((packet.arrives for packet in self.lan.flying), default=0.0)
        self.lan.advance(max(0.0, late - self.lan.now))
        self.lan.two_since = None
        running = [r for r in self.lan.routers.values() if r.state is not State.INITIALIZE]
        slowest = self.lan.longest
        down_interval = 3 * slowest + 255 / 256 * slowest

        self.lan.advance(down_interval + slowest + 2 * LONGEST_DELAY)

        active = self.lan.active()
        assert len(active) == min(1, len(running))
        assert all(router.active == active[0].active for router in running)
        if running and all(
            r.config.preempt and not r.config.preempt_delay and not r.stands_back
            for r in running
        ):
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
ElectionTest.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
# A busy machine may take a minute, and who is interrupted says nothing of elections.
ElectionTest = pytest.mark.timeout(300)(ElectionTest)
