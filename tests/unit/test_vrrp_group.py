"""Sync groups: two nodes, each with two instances, on two LANs with a simulated clock."""

from collections import deque
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from vrrp.group import Group
from vrrp.machine import Config, Effect, Release, Send, State, Take, VirtualRouter
from vrrp.packet import IpAddress

DOWN = 3 + 156 / 256  # seconds, of priority 100


@dataclass
class Instance:
    """One virtual router of one node on one LAN."""

    node: "Node"
    lan: str
    router: VirtualRouter
    fit: bool = True
    known: bool = True
    holds: bool = False

    @property
    def name(self) -> str:
        return self.lan

    def start(self) -> None:
        self.carry_out(self.router.start(self.node.address, self.node.world.now))

    def lead(self) -> None:
        self.carry_out(self.router.lead(self.node.world.now))

    def follow(self, why: str) -> None:
        self.carry_out(self.router.follow(self.node.world.now, why))

    def hand_over(self) -> None:
        if self.router.state is State.ACTIVE:
            self.carry_out(self.router.hand_over(self.node.world.now))

    def look_around(self) -> None:
        rests = not self.fit or bool(self.node.group.problem_of(self))
        if rests and self.router.state is not State.INITIALIZE:
            self.carry_out(self.router.stop())
        elif not rests and self.router.state is State.INITIALIZE:
            self.start()

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self.node.world.wire.append((self, effect))
                case Take():
                    self.holds = True
                case Release():
                    self.holds = False
                    self.node.group.yielded(self)
                case _:
                    pass
        self.node.group.settle()


@dataclass
class Node:
    """Two instances in one group."""

    world: "World"
    address: IpAddress
    group: Group = field(default_factory=lambda: Group("both"))
    instances: list[Instance] = field(default_factory=list)

    def state(self) -> set[State]:
        return {each.router.state for each in self.instances}

    def fail(self, number: int, *, fit: bool = False) -> None:
        self.instances[number].fit = fit
        self.group.fitness_changed()
        self.world.deliver()


@dataclass
class World:
    """Two LANs without faults, unless one is cut."""

    now: float = 0.0
    nodes: list[Node] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)
    # Who hears an advertisement answers after its sender has done all that it was about to.
    wire: deque[tuple[Instance, Send]] = field(default_factory=deque)

    def add(self, priority: int, *lans: str) -> Node:
        node = Node(self, IPv4Address(f"10.0.0.{len(self.nodes) + 1}"))
        self.nodes.append(node)
        for number, lan in enumerate(lans):
            config = Config(number + 1, (IPv4Address("10.0.0.100"),), priority)
            router = VirtualRouter(config, together=True)
            node.instances.append(Instance(node, lan, router))
        node.group.join(node.instances)
        for each in node.instances:
            each.start()
        self.deliver()
        return node

    def deliver(self) -> None:
        while self.wire:
            source, sent = self.wire.popleft()
            for node in self.nodes:
                for each in node.instances:
                    if node is not source.node and each.lan == source.lan not in self.cut:
                        address = source.node.address
                        effects = each.router.receive(sent.advertisement, address, self.now)
                        each.carry_out(effects)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        every = [each for node in self.nodes for each in node.instances]
        while True:
            due = [(e.router.deadline, i) for i, e in enumerate(every) if e.router.deadline]
            if not due or min(due)[0] > end:
                break
            self.now, first = min(due)
            every[first].carry_out(every[first].router.tick(self.now))
            self.deliver()
            for node in self.nodes:
                held = {each.holds for each in node.instances}
                assert len(held) == 1, "one has the addresses, the other has not"
        self.now = end


def pair() -> tuple[World, Node, Node]:
    world = World()
    one = world.add(150, "front", "back")
    two = world.add(100, "front", "back")
    world.advance(10)
    assert one.state() == {State.ACTIVE}
    assert two.state() == {State.BACKUP}
    return world, one, two


def test_a_group_leads_on_both_lans() -> None:
    pair()


def test_a_member_at_rest_lets_the_whole_group_rest_and_the_other_node_lead() -> None:
    world, one, two = pair()

    one.fail(1)
    world.advance(1)  # both resigned: the skew is enough

    assert one.state() == {State.INITIALIZE}
    assert two.state() == {State.ACTIVE}
    one.fail(1, fit=True)
    world.advance(DOWN + 1)
    assert one.state() == {State.ACTIVE}
    assert two.state() == {State.BACKUP}


def test_a_backup_that_hears_nobody_on_one_lan_only_does_not_lead_there() -> None:
    world, one, two = pair()

    world.cut.add("front")
    world.advance(30)

    assert one.state() == {State.ACTIVE}
    assert two.state() == {State.BACKUP}
    deaf, hears = two.instances[0].router, two.instances[1].router
    assert (deaf.wants, deaf.active) == (True, None)
    assert (hears.wants, hears.active) == (False, one.address)


def test_all_that_follow_say_whom_and_why() -> None:
    world = World()
    one = world.add(100, "front", "back", "side")
    world.advance(10)
    world.add(150, "front", "back", "side")
    world.advance(10)

    assert one.state() == {State.BACKUP}
    assert sorted(each.router.reason for each in one.instances) == [
        "10.0.0.2 is superior, with priority 150",
        "along with front: 10.0.0.2 is superior, with priority 150",
        "along with front: 10.0.0.2 is superior, with priority 150",
    ]


def test_both_lans_cut_make_both_lead_and_healing_them_leaves_one() -> None:
    world, one, two = pair()
    world.cut |= {"front", "back"}
    world.advance(10)
    assert one.state() == two.state() == {State.ACTIVE}

    world.cut.clear()
    world.advance(1.5)

    assert one.state() == {State.ACTIVE}
    assert two.state() == {State.BACKUP}


def test_one_healed_lan_is_enough_for_the_inferior_group_to_yield_on_both() -> None:
    world, one, two = pair()
    world.cut |= {"front", "back"}
    world.advance(10)

    world.cut.remove("back")
    world.advance(1.5)

    assert one.state() == {State.ACTIVE}
    assert two.state() == {State.BACKUP}


def test_a_group_hands_over_as_a_whole_and_stands_back() -> None:
    world, one, two = pair()

    for each in one.instances:
        each.hand_over()
    world.deliver()
    assert one.state() == {State.ACTIVE}
    world.advance(1)

    assert one.state() == {State.BACKUP}
    assert two.state() == {State.ACTIVE}
    world.advance(30)
    assert two.state() == {State.ACTIVE}


class Together(RuleBasedStateMachine):
    """LANs are cut and members fail, in every order; ``World.advance`` checks the rest."""

    @initialize(priorities=st.sampled_from([(150, 100), (100, 101), (254, 1)]))
    def build(self, priorities: tuple[int, int]) -> None:
        self.world = World()
        for priority in priorities:
            self.world.add(priority, "front", "back")

    @rule(lan=st.sampled_from(["front", "back"]))
    def a_lan_is_cut_or_mended(self, lan: str) -> None:
        self.world.cut ^= {lan}

    @rule(node=st.integers(0, 1), member=st.integers(0, 1), fit=st.booleans())
    def a_member_fails_or_recovers(self, node: int, member: int, fit: bool) -> None:
        self.world.nodes[node].fail(member, fit=fit)

    @rule(node=st.integers(0, 1))
    def a_node_hands_over(self, node: int) -> None:
        for each in self.world.nodes[node].instances:
            each.hand_over()
        self.world.deliver()

    @rule(seconds=st.floats(0.01, 15.0))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule()
    def faults_end_and_the_superior_node_leads_on_both_lans(self) -> None:
        self.world.cut.clear()
        for node in self.world.nodes:
            for member in (0, 1):
                node.fail(member, fit=True)

        self.world.advance(2 * DOWN + 2)

        states = [node.state() for node in self.world.nodes]
        best = max(range(2), key=lambda i: self.world.nodes[i].instances[0].router.priority)
        if any(each.router.stands_back for each in self.world.nodes[best].instances):
            best = 1 - best
        assert states[best] == {State.ACTIVE}
        assert states[1 - best] == {State.BACKUP}


TogetherTest = Together.TestCase
TogetherTest.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


def test_owners_lead_together() -> None:
    world = World()

    node = world.add(255, "front", "back")

    assert node.state() == {State.ACTIVE}
