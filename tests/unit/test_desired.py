"""The desired state: services together, and how one state becomes another."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.desired import DesiredState
from control.errors import ConfigError, ConflictError, GuidewayError, NotFoundError
from control.model import Backend, BackendState, Mode, Protocol, Service
from tests.support.desired_states import desired_states

VIP = IPv4Address("192.0.2.10")
A = Backend("a", IPv4Address("10.0.0.1"), 80)
B = Backend("b", IPv4Address("10.0.0.2"), 80)
WEB = Service("web", VIP, Protocol.TCP, 80, Mode.DR, (A, B))
MAIL = Service("mail", VIP, Protocol.TCP, 25, Mode.DR)
BOTH = DesiredState((WEB, MAIL))


def service(**changed: object) -> Service:
    """Return a service like WEB, without backends if it is not said."""
    return replace(WEB, **{"backends": (), **changed})


def refusal(make: object) -> str:
    """Return the sentence against what ``make`` makes."""
    assert callable(make)
    with pytest.raises(GuidewayError) as raised:
        make()
    return str(raised.value)


@pytest.mark.parametrize("order", [1, -1])
def test_a_backend_may_not_be_the_vip_of_another_service(order: int) -> None:
    loop = service(name="loop", vip=A.address, backends=())

    assert refusal(lambda: DesiredState((WEB, loop)[::order])) == (
        "service 'web', backend 'a': 10.0.0.1 is the VIP of service 'loop', and a VIP is "
        "not forwarded to another one; give the servers' own addresses"
    )


def test_two_services_differ_in_name_and_in_what_packets_name() -> None:
    again = service(name="web2")

    assert refusal(lambda: DesiredState((WEB, replace(MAIL, name="web")))) == (
        "services: two services are called 'web'"
    )
    assert refusal(lambda: DesiredState((WEB, again))) == (
        "service 'web2': 192.0.2.10:80/tcp belongs to service 'web' already"
    )
    assert len(DesiredState((WEB, replace(again, protocol=Protocol.UDP))).services) == 2


def test_a_nat_backend_may_belong_to_several_services() -> None:
    web = service(mode=Mode.NAT, backends=(A,))
    other = service(mode=Mode.NAT, backends=(A,), name="web2", port=81)

    assert len(DesiredState((web, other)).services) == 2


def test_a_service_is_added_at_the_end_and_once() -> None:
    assert DesiredState((WEB,)).with_new_service(MAIL) == BOTH
    with pytest.raises(ConflictError, match="service 'mail' exists already"):
        BOTH.with_new_service(MAIL)


def test_a_service_is_changed_in_its_place() -> None:
    changed = replace(WEB, mode=Mode.NAT)

    assert BOTH.with_service(changed) == DesiredState((changed, MAIL))


def test_a_backend_is_changed_in_its_place() -> None:
    changed = BOTH.with_changed_backend("web", "a", weight=7, state=BackendState.DRAINING)

    assert changed.service("web").backends == (
        replace(A, weight=7, state=BackendState.DRAINING),
        B,
    )
    assert BOTH.with_changed_backend("web", "a") == BOTH


def test_what_goes_leaves_the_rest_as_it_was() -> None:
    assert BOTH.without_service("web") == DesiredState((MAIL,))
    assert BOTH.without_backend("web", "a").service("web").backends == (B,)


def test_what_is_not_there_is_not_found() -> None:
    no_service = "no service 'dns'"
    no_backend = "no backend 'c' in service 'web'"

    assert refusal(lambda: BOTH.service("dns")) == no_service
    assert refusal(lambda: BOTH.without_service("dns")) == no_service
    assert refusal(lambda: BOTH.with_service(service(name="dns"))) == no_service
    assert refusal(lambda: BOTH.with_new_backend("dns", A)) == no_service
    assert refusal(lambda: BOTH.with_changed_backend("web", "c", weight=1)) == no_backend
    assert refusal(lambda: BOTH.without_backend("web", "c")) == no_backend
    with pytest.raises(NotFoundError):
        BOTH.without_backend("dns", "a")


def test_a_refused_change_is_refused_as_a_whole() -> None:
    with pytest.raises(ConfigError, match="weight -1"):
        BOTH.with_changed_backend("web", "a", weight=-1, state=BackendState.DRAINING)


@given(desired_states(), st.data())
def test_a_state_taken_apart_and_put_together_is_the_same(
    state: DesiredState, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(state.services))
    apart = state
    for one in order:
        apart = apart.without_service(one.name)

    again = apart
    for one in state:
        again = again.with_new_service(replace(one, backends=()))
        for each in one.backends:
            again = again.with_new_backend(one.name, each)

    assert (apart, again) == (DesiredState(), state)
