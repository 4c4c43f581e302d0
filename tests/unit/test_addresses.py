"""Addresses of either family, and how they are written with a port."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.addresses import IpAddress, parse_address, split_port, with_port

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(addresses, st.integers(0, 65535))
def test_what_was_written_with_a_port_is_taken_apart_again(
    address: IpAddress, port: int
) -> None:
    assert split_port(with_port(address, port)) == (str(address), str(port))


@given(addresses)
def test_an_address_alone_has_no_port(address: IpAddress) -> None:
    assert split_port(str(address)) == (str(address), None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[2001:db8::1]", ("2001:db8::1", None)),
        ("[2001:db8::1]:", ("2001:db8::1", "")),
        ("10.0.0.1:", ("10.0.0.1", "")),
        ("10.0.0.1:http", ("10.0.0.1", "http")),
        ("[2001:db8::1", ("[2001:db8::1", None)),
        ("[2001:db8::1]80", ("[2001:db8::1]80", None)),
        ("", ("", None)),
    ],
)
def test_what_is_no_address_or_no_port_is_left_to_be_refused(
    text: str, parts: tuple[str, str | None]
) -> None:
    assert split_port(text) == parts


def test_an_address_of_either_family_is_read_however_it_is_written() -> None:
    assert parse_address("192.0.2.1") == IPv4Address("192.0.2.1")
    assert parse_address("2001:DB8:0::01") == IPv6Address("2001:db8::1")


@pytest.mark.parametrize(
    "text", ["", "web1", "10.0.0", "10.0.0.1/8", "[::1]", "2001:db8:::1"]
)
def test_what_is_no_address_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address") as raised:
        parse_address(text)

    assert str(raised.value).startswith(repr(text))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("[2001:db8::1]", "; write it as '2001:db8::1'"),
        ("[2001:db8::1]:80", "; give the port apart from it: '2001:db8::1' and '80'"),
        ("192.0.2.1:80", "; give the port apart from it: '192.0.2.1' and '80'"),
        ("192.0.2.1:", "; write it as '192.0.2.1'"),
        ("10.0.0.1/24", "; write it as '10.0.0.1'"),
        ("[web]:80", ""),
    ],
)
def test_what_goes_with_a_port_is_told_to_be_written_without(
    text: str, remedy: str
) -> None:
    with pytest.raises(ValueError, match="is not an IP address") as raised:
        parse_address(text)

    assert str(raised.value) == f"{text!r} is not an IP address{remedy}"


@given(st.text(max_size=60) | st.text("0123456789abcdef:.[]%/", max_size=45))
def test_any_text_is_an_address_or_said_to_be_none(text: str) -> None:
    address, port = split_port(text)

    assert address in text
    assert port is None or text.endswith(f":{port}")
    try:
        assert parse_address(address).packed
    except ValueError as error:
        assert str(error).startswith(f"{address!r} is not an IP address")  # noqa: PT017
