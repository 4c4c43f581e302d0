"""Rules of single values: names, ports, addresses, sizes of rings.

``where`` says whose they are, for people; ``field`` is the path, for programs. Each raises
ConfigError.
"""

from ipaddress import IPv4Network, IPv6Address
from itertools import count
from typing import Final

from control.addresses import IpAddress
from control.errors import ConfigError

MAX_NAME: Final = 63  # characters
MAX_RING_SIZE: Final = 8_388_593  # slots; the largest prime below 2²³
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")  # RFC 1122, 3.2.1.3
_NAME_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:"
)


def is_prime(number: int) -> bool:
    """Tell whether ``number`` is prime; by trial division, enough for ring sizes."""
    if number < 4:  # noqa: PLR2004 (the first composite number)
        return number > 1
    return number % 2 != 0 and all(number % d for d in range(3, int(number**0.5) + 1, 2))


def check_ring_size(where: str, ring_size: int, backends: int) -> None:
    """Refuse a ring that Maglev cannot fill, or not for so many backends."""
    if ring_size > MAX_RING_SIZE:
        problem = f"ring size {ring_size} is above {MAX_RING_SIZE}"
        raise ConfigError(where, problem, "ring_size")
    if not is_prime(ring_size):
        above = next(size for size in count(max(ring_size, 1) + 1) if is_prime(size))
        problem = f"ring size {ring_size} is not a prime number; {above} is the next one"
        raise ConfigError(where, problem, "ring_size")
    if ring_size < backends:
        problem = f"ring size {ring_size} leaves no slot for some of {backends} backends"
        raise ConfigError(where, problem, "ring_size")


def check_address(where: str, address: IpAddress, field: str) -> None:
    """Refuse what no host can have, and what is not the same on every interface."""
    if isinstance(address, IPv6Address):
        _check_ipv6(where, address, field)
        impossible = address.is_unspecified
    else:
        impossible = address in _THIS_NETWORK or address.is_reserved
    if impossible or address.is_multicast or address.is_loopback:
        problem = f"{address} is not an address that a host can have"
        raise ConfigError(where, problem, field)


def _check_ipv6(where: str, address: IPv6Address, field: str) -> None:
    if address.ipv4_mapped is not None:
        problem = f"{address} is IPv4 in the form of IPv6; write {address.ipv4_mapped}"
        raise ConfigError(where, problem, field)
    if address.is_link_local or address.scope_id is not None:
        raise ConfigError(
            where,
            f"{address} is an address of one link only; give one that counts everywhere",
            field,
        )


def check_name(what: str, name: str, field: str) -> None:
    """Refuse what is no name; ``what`` is to have it."""
    if not 0 < len(name) <= MAX_NAME or not set(name) <= _NAME_CHARACTERS:
        raise ConfigError(
            what,
            f"{name!r} is not a name: 1…{MAX_NAME} letters, digits and any of . - _ :",
            field,
        )


def check_port(where: str, port: int, field: str) -> None:
    """Refuse what no field of a packet could hold."""
    if not 0 <= port <= 65535:  # noqa: PLR2004
        raise ConfigError(where, f"port {port} is not in 0…65535", field)
