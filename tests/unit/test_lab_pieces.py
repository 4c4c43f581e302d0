"""Small pieces of the lab that need no network."""

import itertools
from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.support.wait import eventually
from vagrant.lab import cleanup
from vagrant.lab.errors import LabError, NotInTimeError
from vagrant.lab.segment import ipv6_of, mac_of
from vagrant.lab.webserver import write_large_file


def test_eventually_returns_the_first_true_value():
    numbers = itertools.count()

    assert eventually(lambda: next(numbers), within=5, what="a number", every=0) == 1


def test_eventually_says_what_did_not_happen_and_why():
    with pytest.raises(NotInTimeError, match=r"not within 0 s: it rains\nthe sky is clear"):
        eventually(
            lambda: False, within=0, what="it rains", explain=lambda: "the sky is clear"
        )


@pytest.mark.parametrize("name", ["", "a-b", "../etc", "a/b", "A", "x" * 17, "ü"])
def test_what_could_mean_something_else_is_no_name_for_a_lab(name):
    with pytest.raises(LabError, match="is not a name for a lab"):
        cleanup.directory(name)


def test_a_mac_shows_the_address_of_its_interface():
    assert mac_of(IPv4Address("10.20.0.21")) == "02:00:0a:14:00:15"


def test_an_ipv6_address_shows_the_ipv4_address_beside_it():
    assert ipv6_of(IPv4Address("10.20.0.21")) == IPv6Address("2001:db8:20::21")


def test_the_large_file_is_the_same_every_time_and_exactly_as_large_as_asked(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"

    write_large_file(one, 3_000_001)
    write_large_file(other, 3_000_001)

    assert one.stat().st_size == 3_000_001
    assert one.read_bytes() == other.read_bytes()
