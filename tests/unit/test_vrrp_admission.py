"""Which packets are for us.

Invariant: whatever arrives from wherever, ``admit`` returns or raises MalformedError.
"""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrrp.admission import Admission, Datagram
from vrrp.errors import Fault, MalformedError
from vrrp.packet import GROUP, Advertisement, Dialect, IpAddress

ME = IPv4Address("10.0.0.1")
PEER = IPv4Address("10.0.0.2")
STRANGER = IPv4Address("10.0.0.3")
V3 = Dialect()
V2 = Dialect(version=2)
SAID = Advertisement(51, 100, 1.0, (IPv4Address("10.0.0.100"),))
BY_MULTICAST = Admission(V3, 51, 1.0)
BY_UNICAST = Admission(V3, 51, 1.0, frozenset({PEER}))


def datagram(
    said: Advertisement = SAID,
    *,
    dialect: Dialect = V3,
    source: IpAddress = PEER,
    destination: IpAddress = GROUP,
    ttl: int = 255,
) -> Datagram:
    payload = dialect.pack(said, source, destination)
    return Datagram(source, destination, ttl, payload)


def fault_of(arrived: Datagram, admission: Admission = BY_MULTICAST) -> Fault:
    with pytest.raises(MalformedError) as caught:
        admission.admit(arrived, ME)
    return caught.value.fault


def test_a_peers_advertisement_is_admitted() -> None:
    assert BY_MULTICAST.admit(datagram(), ME) == SAID
    assert BY_UNICAST.admit(datagram(destination=ME), ME) == SAID


@pytest.mark.parametrize("ttl", [0, 1, 64, 254])
def test_a_packet_that_may_have_been_routed_is_discarded(ttl: int) -> None:
    assert fault_of(datagram(ttl=ttl)) is Fault.TTL


def test_a_peer_may_be_as_far_away_as_the_operator_says() -> None:
    admission = replace(BY_UNICAST, least_ttl=250)

    assert admission.admit(datagram(destination=ME, ttl=250), ME) == SAID
    assert fault_of(datagram(destination=ME, ttl=249), admission) is Fault.TTL


def test_another_virtual_router_is_told_apart_before_anything_else() -> None:
    other = datagram(replace(SAID, vrid=52), ttl=1)

    assert fault_of(other) is Fault.VRID


def test_what_bears_our_own_address_is_discarded() -> None:
    assert fault_of(datagram(source=ME)) is Fault.REFLECTED


def test_a_stranger_does_not_speak_by_unicast() -> None:
    arrived = datagram(source=STRANGER, destination=ME)

    assert fault_of(arrived, BY_UNICAST) is Fault.SOURCE


def test_unicast_and_multicast_do_not_mix() -> None:
    assert fault_of(datagram(destination=ME)) is Fault.DESTINATION
    assert fault_of(datagram(), BY_UNICAST) is Fault.DESTINATION


def test_version_2_wants_equal_intervals_and_says_what_comes_of_others() -> None:
    admission = Admission(V2, 51, 2.0)

    with pytest.raises(MalformedError, match="both routers will be Active") as caught:
        admission.admit(datagram(dialect=V2), ME)
    assert caught.value.fault is Fault.INTERVAL
    said = replace(SAID, interval=2.0)
    assert admission.admit(datagram(said, dialect=V2), ME) == said


def test_version_3_admits_another_interval() -> None:
    said = replace(SAID, interval=0.5)

    assert BY_MULTICAST.admit(datagram(said), ME) == said


@given(
    st.builds(
        Datagram,
        source=st.sampled_from([ME, PEER, STRANGER]),
        destination=st.sampled_from([ME, GROUP]),
        ttl=st.integers(0, 255),
        payload=st.binary(max_size=1100) | st.binary(max_size=30).map(b"\x31\x33".__add__),
    ),
    st.sampled_from([BY_MULTICAST, BY_UNICAST, Admission(V2, 51, 1.0)]),
)
def test_no_datagram_raises_anything_but_malformed_error(
    arrived: Datagram, admission: Admission
) -> None:
    with suppress(MalformedError):
        admission.admit(arrived, ME)
