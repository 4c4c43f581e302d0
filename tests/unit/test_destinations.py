"""Whose next hops are looked for."""

from ipaddress import IPv4Address

from control.desired import DesiredState
from control.model import Backend, BackendState, Mode, Protocol, Service
from control.network import Destinations


def service(number: int, *hosts: int) -> Service:
    backends = tuple(Backend(f"b{h}", IPv4Address(f"10.0.0.{h}"), 80) for h in hosts)
    vip = IPv4Address(f"192.0.2.{number}")
    return Service(f"s{number}", vip, Protocol.TCP, 80, Mode.DR, backends)


def addresses(*hosts: int) -> frozenset[IPv4Address]:
    return frozenset(IPv4Address(f"10.0.0.{host}") for host in hosts)


def test_they_are_the_addresses_of_all_backends_of_the_state_that_is_asked_about() -> None:
    destinations = Destinations()
    state = DesiredState((service(1, 1, 2), service(2, 2, 3)))

    assert destinations.of(state) == addresses(1, 2, 3)
    assert destinations.of(state.without_service("s1")) == addresses(2, 3)
    assert destinations.of(state.with_service(service(2, 9))) == addresses(1, 2, 9)


def test_where_they_are_the_same_it_is_the_same_object() -> None:
    destinations = Destinations()
    state = DesiredState((service(1, 1, 2),))
    before = destinations.of(state)

    disabled = state.with_changed_backend("s1", "b1", state=BackendState.DISABLED)

    assert destinations.of(disabled) is before
