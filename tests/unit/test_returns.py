"""Whose the replies of NAT backends are."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from control.desired import DesiredState
from control.model import Backend, Mode, Protocol, Returns, Service
from control.returns import ALWAYS, returns
from dataplane.records import Endpoint, Return

NOW = 10**12  # ns
PATIENCE = 900 * 10**9  # ns, of TCP
VIP, OTHER = IPv4Address("192.0.2.10"), IPv4Address("192.0.2.11")
BACKEND = Backend("b", IPv4Address("10.0.0.1"), 8080)
PLACE = Endpoint(BACKEND.address, 8080, 6)

WEB = Service("web", VIP, Protocol.TCP, 80, Mode.NAT, (BACKEND,))
MORE = replace(WEB, name="more", vip=OTHER)
TRACKED = replace(WEB, returns=Returns.TRACKED)
STATELESS = Return(VIP, 80)


def of(*services: Service, known: Return | None = None) -> Return:
    before = {} if known is None else {PLACE: known}
    return returns(DesiredState(services), before, NOW)[PLACE]


def test_the_backend_of_one_service_speaks_for_it() -> None:
    assert of(WEB) == STATELESS


def test_the_backend_of_two_services_speaks_for_whom_its_flows_say() -> None:
    assert of(WEB, MORE) == Return(VIP, 80, is_tracked=True, until_ns=ALWAYS)


@pytest.mark.parametrize("services", [(WEB, MORE), (MORE, WEB)])
def test_flows_that_were_there_before_the_second_service_stay_those_of_the_first(
    services: tuple[Service, ...],
) -> None:
    assert of(*services, known=STATELESS).vip == VIP


def test_when_the_second_service_goes_flows_are_not_written_down_any_more() -> None:
    assert of(MORE, known=of(WEB, MORE)) == Return(OTHER, 80)


ALL = replace(
    WEB, name="all", vip=OTHER, port=0, checks=(), backends=(replace(BACKEND, port=0),)
)
EVERY = replace(PLACE, port=0)


def test_the_backend_of_a_service_of_every_port_speaks_for_it_at_every_port() -> None:
    assert returns((ALL,), {}, NOW) == {EVERY: Return(OTHER, 0)}


def test_at_a_port_that_another_service_has_flows_say_whom_it_speaks_for() -> None:
    shared = Return(VIP, 80, is_tracked=True, until_ns=ALWAYS)

    assert returns((ALL, WEB), {}, NOW) == {EVERY: Return(OTHER, 0), PLACE: shared}


def test_flows_of_every_port_stay_those_of_their_service_when_one_gets_another() -> None:
    found = returns((WEB, ALL), {EVERY: Return(OTHER, 0)}, NOW)

    assert found[PLACE] == Return(OTHER, 0, is_tracked=True, until_ns=ALWAYS)
    assert returns((ALL,), found, NOW) == {EVERY: Return(OTHER, 0)}


def test_unknown_flows_of_a_tracked_service_are_not_its_replies() -> None:
    assert of(TRACKED) == Return(VIP, 80, is_tracked=True, until_ns=0)


@pytest.mark.parametrize("known", [STATELESS, of(WEB, MORE)])
def test_flows_from_before_it_was_tracked_are_for_as_long_as_they_may_be_silent(
    known: Return,
) -> None:
    now = of(TRACKED, known=known)

    assert now.until_ns == NOW + PATIENCE
    assert of(TRACKED, known=replace(now, until_ns=NOW + 1)).until_ns == NOW + 1


def test_one_tracked_service_of_a_backend_is_enough() -> None:
    assert of(replace(MORE, returns=Returns.TRACKED), WEB).until_ns == 0


def test_dr_has_no_replies() -> None:
    direct = replace(WEB, mode=Mode.DR, backends=(replace(BACKEND, port=80),))

    assert returns(DesiredState((direct,)), {}, NOW) == {}
