"""IP addresses of either family: the types, reading them, and writing them with a port."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

IpAddress: TypeAlias = IPv4Address | IPv6Address
IpNetwork: TypeAlias = IPv4Network | IPv6Network
MAX_PORT: Final = 65535


def parse_address(text: str) -> IpAddress:
    """Return the address that ``text`` is; raise ValueError with a sentence."""
    try:
        return ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IP address{_meant(text)}") from error


def _meant(text: str) -> str:
    """Return what is to be said of an address that has more with it; "": nothing."""
    address, port = split_port(text.partition("/")[0])
    try:
        ip_address(address)
    except ValueError:
        return ""
    if port:
        return f"; give the port apart from it: {address!r} and {port!r}"
    return f"; write it as {address!r}"


def with_port(address: IpAddress | str, port: int | str) -> str:
    """Return address and port as one word (RFC 5952, section 6).

    >>> with_port("192.0.2.10", 80), with_port("2001:db8::10", 80)
    ('192.0.2.10:80', '[2001:db8::10]:80')
    """
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def endpoint(address: IpAddress | str, port: int | str) -> str:
    """Return what a service or backend is reached at, for people; port 0 is every port.

    >>> endpoint("192.0.2.10", 80), endpoint("2001:db8::10", 0)
    ('192.0.2.10:80', '[2001:db8::10]:*')
    """
    return with_port(address, "*" if port in (0, "0") else port)


def split_port(text: str) -> tuple[str, str | None]:
    """Return the address and the port, None if there is none, that ``text`` joins.

    An IPv6 address needs its brackets only if a port follows. Whether the parts are an
    address and a port, the caller has to see.
    """
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if bracket and not rest:
            return address, None
        if bracket and rest.startswith(":"):
            return address, rest[1:]
        return text, None
    if text.count(":") > 1:
        return text, None
    address, colon, port = text.partition(":")
    return address, port if colon else None
