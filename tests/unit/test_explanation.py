"""What may be asked of a packet, and how the program's answer is put into words."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from control.compile import Compiled, Served
from control.errors import ConfigError
from control.explanation import Question, SlotOwners
from control.facts import Interface, Network
from control.interpret import interpret
from control.model import Backend, Mode, Protocol
from control.pool import Pool
from control.pool_policy import SORRY, PoolPolicy, SorryServer
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.decision import Action, Decision, Outcome, Rule, Slot
from dataplane.image import Image, Ring
from dataplane.records import Tag
from tests.support.explained import WEB, headers, reason

B1, B2 = 1, 2  # ids
SYN = Question(Protocol.TCP, ip_address("198.51.100.7"), 40000, ip_address("192.0.2.1"), 80)
NETWORK = Network((Interface("eth0", 3, bytes(6)), Interface("eth1", 4, bytes(6))))
IDS = {"b1": B1, "b2": B2}
SERVED = Served(WEB, 5, Ring.of([B1, B2], [0, B1]), 0, {}, IDS, {}, frozenset())
DECIDED = Decision(reason("forwarded_nat"), 5, 2, Slot(1, B2, B1), Rule.NOW, B2, 4)
FORWARDED = Outcome(Action.REDIRECT, headers(SYN).frame(), DECIDED)


def explained(outcome: Outcome, question: Question = SYN, served: Served = SERVED):
    compiled = Compiled(Image(), (served,))
    return interpret(question, "eth0", headers(question), outcome, NETWORK, compiled)


def decided(action: Action = Action.REDIRECT, **fields) -> Outcome:
    return Outcome(action, FORWARDED.packet, replace(DECIDED, **fields))


def test_numbers_become_names() -> None:
    said = explained(FORWARDED)

    assert said.summary == (
        "forwarded to backend web/b2 10.0.0.12:8080 by NAT, out of interface eth1"
    )
    assert (said.service, said.backend, said.out) == (WEB, WEB.backends[1], "eth1")
    assert said.slot == SlotOwners(1, 2, "b2", "b1", in_transition=True)
    assert said.ring_in_transition
    assert said.left == headers(SYN)


def test_a_service_of_every_port_has_no_port_to_tell() -> None:
    backend = Backend("b2", ip_address("10.0.0.12"), 0)
    every = replace(WEB, port=0, mode=Mode.DR, backends=(backend,), checks=())
    served = replace(SERVED, service=every)

    said = explained(decided(Action.TX), served=served)

    assert said.summary == (
        "forwarded to backend web/b2 10.0.0.12 by DR, out of interface eth0"
    )


def test_a_sorry_server_is_called_so() -> None:
    policy = PoolPolicy(quorum=2, sorry_server=SorryServer(ip_address("10.0.0.99"), 8081))
    web = replace(WEB, pool=policy)
    ids = {**IDS, SORRY: 3}
    pool = Pool(1, quorum=False, sorry=True, has_sorry=True)
    served = replace(SERVED, service=web, backend_ids=ids, pool=pool)

    said = explained(decided(backend_id=3, slot=Slot(1, 3, B1)), served=served)
    other = explained(FORWARDED, served=served)

    assert said.summary == (
        "forwarded to sorry server web/sorry 10.0.0.99:8081 by NAT, out of interface eth1"
    )
    assert said.backend == web.sorry
    assert said.slot == SlotOwners(1, 2, SORRY, "b1", in_transition=True)
    assert other.summary.startswith("forwarded to backend web/b2 ")


@pytest.mark.parametrize(
    ("name", "action", "service_id", "summary"),
    [
        (
            "not_ours",
            Action.PASS,
            None,
            "passed to the host: no service has 192.0.2.1:80/tcp",
        ),
        (
            "other_station",
            Action.PASS,
            5,
            f"passed to the host: {reason('other_station').meaning} (service web)",
        ),
        (
            "no_backend",
            Action.DROP,
            5,
            "dropped: the service has no backend that can serve (service web)",
        ),
        (
            "replied_nat",
            Action.TX,
            None,
            f"forwarded out of interface eth0: {reason('replied_nat').meaning}",
        ),
    ],
)
def test_what_no_backend_gets_says_why(
    name: str, action: Action, service_id: int | None, summary: str
) -> None:
    said = explained(
        decided(action, reason=reason(name), service_id=service_id, rule=Rule.NONE)
    )

    assert (said.summary, said.backend) == (summary, None)
    assert (said.reason.name, said.left is None) == (name, action is Action.DROP)


def test_numbers_that_nobody_knows_any_more_stay_numbers() -> None:
    said = explained(decided(service_id=9, backend_id=77, slot=Slot(1, 77, 0)))

    assert (said.service, said.backend) == (None, None)
    assert said.slot == SlotOwners(1, 2, "number 77", "", in_transition=False)


ESTABLISHED = replace(SYN, is_established=True)
UDP = replace(SYN, protocol=Protocol.UDP)
NOW = "slot 1 of 2 is b2's"
CHANGING = f"{NOW} now, and was b1's"


@pytest.mark.parametrize(
    ("question", "rule", "owners", "why"),
    [
        (SYN, Rule.SLOT, (B2, NO_BACKEND_ID), NOW),
        (ESTABLISHED, Rule.RECORD, (B2, B1), f"the flow has a record; {CHANGING}"),
        (
            ESTABLISHED,
            Rule.BEFORE,
            (B2, B1),
            f"{CHANGING}; the flow has no record, so it began before",
        ),
        (SYN, Rule.NOW, (B2, B1), f"{CHANGING}; the flow begins"),
        (
            ESTABLISHED,
            Rule.NOW,
            (B2, B1),
            f"{CHANGING}; the flow has no record, and b1 cannot serve",
        ),
        (
            UDP,
            Rule.NOW,
            (B2, RECORDS_ONLY),
            f"{NOW} now, and was another one's; a flow without a record counts as new",
        ),
        (
            UDP,
            Rule.NOW,
            (B2, NO_BACKEND_ID),
            f"{NOW}; the service records all flows, and this one has no record that counts",
        ),
        (SYN, Rule.SLOT, (NO_BACKEND_ID, NO_BACKEND_ID), "slot 1 of 2 is nobody's"),
    ],
)
def test_it_says_how_the_backend_was_chosen(
    question: Question, rule: Rule, owners: tuple[int, int], why: str
) -> None:
    said = explained(decided(rule=rule, slot=Slot(1, *owners)), question)

    assert said.why == why


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"source_port": 0}, "source port: 0 is not in 1…65535"),
        ({"destination_port": 70000}, "destination port: 70000 is not in 1…65535"),
        (
            {"source": ip_address("2001:db8::7")},
            (
                "flow: 2001:db8::7 is IPv6, and 192.0.2.1 is IPv4: both have to be of one "
                "family"
            ),
        ),
        (
            {"protocol": Protocol.UDP, "is_established": True},
            "established: udp has no connections; leave it out",
        ),
        ({"tags": (Tag(1),) * 3}, "VLANs: 3 tags are more than 2"),
        ({"tags": (Tag(4095),)}, "VLAN: 4095 is not in 1…4094"),
    ],
)
def test_what_no_packet_can_be_is_refused(changes, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(SYN, **changes)

    assert str(caught.value) == sentence
