"""The program and a model of it in Python agree on whatever comes in."""

from ipaddress import ip_address

import pytest

from tests.packet import model as model_of
from tests.packet import world
from tests.packet.balancer import Balancer
from tests.packet.fuzz import main
from tests.packet.fuzzer import DisagreementError, Fuzzer
from tests.packet.generate import FLOWS

ROUNDS = 16  # some 18,000 packets; `make fuzz` goes on for longer
AT_LEAST = 10

pytestmark = pytest.mark.timeout(600)  # making a disagreement small takes its time


@pytest.fixture
def fuzzer(
    balancer: Balancer, records: int, fragments: int, replies: int, handshakes: int
) -> Fuzzer:
    maps = records, fragments, replies, handshakes
    return Fuzzer(balancer, world.make(balancer), *maps)


def test_the_program_does_what_the_model_says(fuzzer: Fuzzer) -> None:
    fuzzer.run(ROUNDS)

    assert fuzzer.seldom(AT_LEAST) == {}  # what is not reached is not compared
    assert fuzzer.shaken.all()


def test_every_slot_of_every_service_is_met_by_a_flow(fuzzer: Fuzzer) -> None:
    model = fuzzer.model
    met = {service.id: set() for service in model.services.values() if service.ring_size}
    for flow in FLOWS:
        client, vip = (ip_address(each).packed for each in (flow.client, flow.vip))
        service = model.service_of(vip, flow.protocol, flow.port)
        if service and service.ring_size:
            of_service = model_of.Flow(client, service.id, flow.client_port, flow.port)
            met[service.id].add(model_of.slot_of(service, of_service, vip))

    assert {id_: len(slots) for id_, slots in met.items()} == {
        service.id: service.ring_size
        for service in model.services.values()
        if service.ring_size
    }


def test_a_disagreement_is_found_and_made_small(
    fuzzer: Fuzzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_of, "ECHO_TTL", 63)

    with pytest.raises(DisagreementError) as found:
        fuzzer.run(ROUNDS)

    (ping,), said, did = found.value.args
    assert len(ping) < 80
    assert said != did
    assert f"on       {ping.hex()}" in str(found.value)


def test_a_disagreement_on_what_is_remembered_is_found(
    fuzzer: Fuzzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_of, "FRAGMENT_SECONDS", 15)

    with pytest.raises(DisagreementError) as found:
        fuzzer.run(ROUNDS)

    first, seconds, later = found.value.args[0]
    assert seconds == 20
    assert isinstance(first, bytes)
    assert isinstance(later, bytes)


@pytest.mark.parametrize("seconds", ["abc", "", "0", "-1", "nan", "inf", "5 minutes"])
def test_a_time_that_is_none_gets_one_sentence(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([seconds]) == 2
    assert capsys.readouterr() == (
        "",
        f"fuzz: SECONDS={seconds} is no number above 0; try SECONDS=60\n",
    )
