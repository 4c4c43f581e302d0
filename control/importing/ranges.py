"""The ranges of addresses that a virtual_server_group may have."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Final

from control.addresses import IpAddress

MAX_ADDRESSES: Final = 1024  # of one range


def addresses(text: str) -> Iterator[IpAddress]:
    """Yield ``192.0.2.1``, ``192.0.2.1-10``, ``192.0.2.1-192.0.3.4`` or ``192.0.2.8/29``.

    Raises ValueError with a clause that says what is wrong.
    """
    first, last = _ends(text)
    if first.version != last.version or int(last) < int(first):
        raise ValueError(f"{text!r} ends before it begins")
    count = int(last) - int(first) + 1
    if count > MAX_ADDRESSES:
        raise ValueError(f"{text!r} has {count} addresses, more than {MAX_ADDRESSES}")
    yield from (first + number for number in range(count))


def _ends(text: str) -> tuple[IpAddress, IpAddress]:
    if "%" in text:
        raise ValueError(f"{text!r} is not an address or a range of them")
    try:
        if "/" in text:
            network = ip_network(text, strict=False)
            return network[0], network[-1]
        begin, _, end = text.partition("-")
        first = ip_address(begin)
        if not end:
            return first, first
        separator = ":" if first.version == 6 else "."  # noqa: PLR2004 - IPv6
        if separator not in end:
            end = begin[: begin.rindex(separator) + 1] + end
        return first, ip_address(end)
    except ValueError:
        raise ValueError(f"{text!r} is not an address or a range of them") from None
