"""Addresses, prefixes and places to listen at, as the file of guidewayd has them.

What is wrong is a ValueError that names the key: msgspec adds where in the file.
"""

import re
from ipaddress import IPv6Network, ip_network
from typing import Final

from control.addresses import MAX_PORT, IpAddress, IpNetwork, parse_address, split_port

_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses, as the maps hold them


def address_of(key: str, text: str) -> IpAddress:
    """Return the address that stands at ``key``."""
    try:
        return parse_address(text)
    except ValueError as error:  # msgspec adds where in the file
        raise ValueError(f"`{key}`: {error}") from error


def listen_of(text: str, key: str = "listen") -> tuple[IpAddress, int]:
    """Return the address and the port that stand at ``key``."""
    host, port = split_port(text)
    if (
        port is None
        or not re.fullmatch("[0-9]{1,5}", port)
        or not 1 <= int(port) <= MAX_PORT
    ):
        raise ValueError(
            f"`{key}`: {text!r} is not ADDRESS:PORT, such as 127.0.0.1:9475 or "
            "[2001:db8::1]:7007"
        )
    if not host:
        raise ValueError(f"`{key}`: {text!r} has no address; 0.0.0.0 and [::] are all")
    return address_of(key, host), int(port)


def network_of(text: str) -> IpNetwork:
    """Return a prefix of ``direct``."""
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f"`direct`: {_prefix_problem(text)}") from error
    if network.overlaps(_MAPPED) or "%" in text:
        raise ValueError(f"`direct`: {_prefix_problem(text)}")
    return network


def _prefix_problem(text: str) -> str:
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        return f"{text!r} is not a prefix such as 10.0.0.0/8 or 2001:db8::/32"
    if "%" in text:
        return f"{text!r} is one interface's; a prefix counts on all of them"
    if meant.overlaps(_MAPPED):
        return (
            f"{text!r} has IPv4 addresses in it, in the form of IPv6; write an IPv4 "
            "prefix, or for all of IPv6 both 2000::/3 and fc00::/7"
        )
    return f"{text!r} has host bits set; did you mean {meant}?"
