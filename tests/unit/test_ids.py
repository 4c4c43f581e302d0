"""Numbers of services and backends."""

from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from control.ids import BackendPlace, Ids
from dataplane.records import Endpoint
from dataplane.source import Limits

LIMITS = Limits(services=12, backends=12)
known_numbers = st.sets(st.integers(1, 20))


def ids(numbers: set[int]) -> Ids:
    vip = IPv4Address("192.0.2.1")
    return Ids(
        {Endpoint(vip, number, 6): number for number in numbers},
        {BackendPlace(0, vip, number): number for number in numbers},
    ).within(LIMITS)


@given(known_numbers)
def test_all_numbers_within_the_limits_are_had_or_free_and_none_is_both(numbers) -> None:
    known = ids(numbers)

    for had, free, all_of_them in (
        (known.services, list(known.free_services(LIMITS)), range(12)),
        (known.backends, list(known.free_backends(LIMITS)), range(1, 12)),
    ):
        assert sorted([*had.values(), *free]) == list(all_of_them)


@given(known_numbers)
def test_numbers_of_larger_maps_are_nobodys(numbers) -> None:
    kept = {number for number in numbers if number < 12}

    assert set(ids(numbers).services.values()) == kept
    assert set(ids(numbers).backends.values()) == kept
