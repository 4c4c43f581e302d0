"""Asking the data plane what it would do with a packet."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from types import SimpleNamespace

import pytest

from control.errors import ConfigError, HostError
from control.explainer import Explainer, headers
from control.explanation import Question
from control.facts import Interface, Network, Vlan
from control.model import Protocol
from dataplane.decision import Action, Decision, Outcome, Rule
from dataplane.errors import DetachedError, LoadError
from dataplane.explainer import Probe
from dataplane.frames import ACK, SYN
from dataplane.records import Segment, Tag
from dataplane.source import Limits
from tests.support.explained import reason
from tests.support.wait import eventually

OURS = bytes.fromhex("020000000001")
OUR_VLAN = bytes.fromhex("020000000005")
ETH0, ETH1 = Interface("eth0", 3, OURS), Interface("eth1", 4, OURS)
NETWORK = Network(
    (ETH0, ETH1),
    vlans={9: Vlan("eth1.5", 9, OUR_VLAN, "eth1", Segment(4, (Tag(5),)))},
)
FLOW = Question(
    Protocol.TCP, ip_address("198.51.100.7"), 40000, ip_address("192.0.2.1"), 80
)
PASSED = Decision(reason("not_ours"), None, 0, None, Rule.NONE, 0, 0)


@dataclass
class Plane:
    """A data plane that passes every packet to the host, as slowly as is wanted."""

    unattached_ones: tuple[str, ...] = ()
    problem: Exception | None = None
    detached: bool = False
    asked: list[Probe] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    most: int = 0  # questions at a time, so far
    now: int = 0

    def __post_init__(self) -> None:
        self.go_on.set()

    def unattached(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self.unattached_ones]

    def explain(self, limits: Limits, probes: Sequence[Probe]) -> tuple[Outcome, ...]:
        if self.problem:
            raise self.problem
        self.now += 1
        self.most = max(self.most, self.now)
        self.asked += probes
        assert self.go_on.wait(10)
        self.now -= 1
        return tuple(Outcome(Action.PASS, one.packet, PASSED) for one in probes)


def explainer(plane: Plane, network: Network = NETWORK) -> Explainer:
    config = SimpleNamespace(limits=Limits())
    return Explainer(config, plane, lambda: network, SimpleNamespace(compiled=None))


def ask(plane: Plane, question: Question = FLOW, network: Network = NETWORK):
    return asyncio.run(explainer(plane, network).explain(question))


@pytest.mark.parametrize(
    ("question", "flags"), [(FLOW, SYN), (replace(FLOW, is_established=True), ACK)]
)
def test_the_packet_is_addressed_to_the_first_interface(
    question: Question, flags: int
) -> None:
    plane = Plane()

    said = ask(plane, question)

    received = headers(question, ETH0, NETWORK)
    assert plane.asked == [Probe(received.frame(flags), ETH0.ifindex)]
    assert received.destination_mac == OURS
    assert (said.interface, said.received, said.left) == ("eth0", received, received)
    assert said.summary == "passed to the host: no service has 192.0.2.1:80/tcp"


def test_a_tagged_one_is_addressed_to_the_interface_of_its_vlan() -> None:
    tagged = replace(FLOW, interface="eth1", tags=(Tag(5),))

    assert headers(tagged, ETH1, NETWORK).destination_mac == OUR_VLAN
    assert headers(tagged, ETH0, NETWORK).destination_mac == OURS
    assert ask(Plane(), tagged).interface == "eth1"


def test_an_interface_that_nothing_is_balanced_on_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        ask(Plane(), replace(FLOW, interface="eth7"))

    assert str(caught.value).startswith(
        "interface: packets are not balanced on 'eth7', but on eth0, eth1"
    )


@pytest.mark.parametrize(
    ("plane", "network", "sentence"),
    [
        (Plane(), Network(), "none of `interfaces` is there"),
        (Plane(problem=DetachedError(), detached=True), NETWORK, "is detached: `guideway"),
        (Plane(problem=LoadError("no BCC")), NETWORK, "program cannot be asked: no BCC"),
        (Plane(("eth0",)), NETWORK, "packets of interface eth0 do not come through"),
    ],
)
def test_a_host_that_cannot_answer_says_why(
    plane: Plane, network: Network, sentence: str
) -> None:
    with pytest.raises(HostError, match=sentence):
        ask(plane, network=network)


def test_one_is_answered_at_a_time_and_there_is_an_end_to_waiting() -> None:
    plane = Plane()
    plane.go_on.clear()

    async def crowd() -> list[object]:
        one = explainer(plane)
        waiting = [asyncio.create_task(one.explain(FLOW)) for _ in range(4)]
        await asyncio.to_thread(
            eventually, lambda: plane.asked, within=5, what="it was asked"
        )
        with pytest.raises(HostError, match="4 questions of this kind are under way"):
            await one.explain(FLOW)
        plane.go_on.set()
        answers = await asyncio.gather(*waiting)
        return [*answers, await one.explain(FLOW)]

    answers = asyncio.run(crowd())

    assert (len(answers), len(plane.asked), plane.most) == (5, 5, 1)


def test_who_goes_away_lets_the_next_one_wait_for_the_end_of_its_turn() -> None:
    plane = Plane()
    plane.go_on.clear()

    async def give_up() -> None:
        one = explainer(plane)
        first = asyncio.create_task(one.explain(FLOW))
        await asyncio.to_thread(
            eventually, lambda: plane.asked, within=5, what="it was asked"
        )
        first.cancel()
        second = asyncio.create_task(one.explain(FLOW))
        plane.go_on.set()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(give_up())

    assert (len(plane.asked), plane.most) == (2, 1)
