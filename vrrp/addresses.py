"""Virtual addresses on this host's interfaces. Blocking: not for an event loop.

What we add bears a mark (IFA_PROTO, as routes bear the name of the daemon that made them).
So what a killed run left can be told from what the administrator has configured, and an
owner's own address, which was there before us, stays when we go.
"""

import errno
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Interface
from socket import AF_INET
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

from vrrp.config import VirtualAddress

MARK: Final = 112  # VRRP's number among the IP protocols; nobody in rt_protos(5) has it


def hold(ip: Any, wanted: Iterable[VirtualAddress]) -> tuple[VirtualAddress, ...]:
    """Add the addresses that are missing; return those that were.

    An interface that is not there has none: whoever watches the links will say so.
    """
    added = []
    for index, here in _by_interface(ip, wanted):
        present = _present(ip, index)
        harmless = {errno.EEXIST, errno.ENODEV}
        added += [
            each
            for each in here
            if each.address not in present
            and _order(ip, "add", each.address, index, harmless, proto=MARK)
        ]
    return tuple(added)


def release(ip: Any, unwanted: Iterable[VirtualAddress]) -> tuple[VirtualAddress, ...]:
    """Remove the addresses that are there and bear our mark; return those that were."""
    removed = []
    for index, here in _by_interface(ip, unwanted):
        present = _present(ip, index)
        # One that has gone already may have gone with the primary address of its subnet.
        harmless = {errno.EADDRNOTAVAIL, errno.ENODEV}
        removed += [
            each
            for each in here
            if present.get(each.address) == MARK
            and _order(ip, "del", each.address, index, harmless)
        ]
    return tuple(removed)


def _by_interface(
    ip: Any, addresses: Iterable[VirtualAddress]
) -> Iterator[tuple[int, list[VirtualAddress]]]:
    """Yield the index of each interface that is there, and what belongs on it.

    The kernel is asked once for an interface, not once for an address: Python takes 50 µs
    to read one, and time in which it reads is time in which it may not advertise.
    """
    of_interface: dict[str, list[VirtualAddress]] = {}
    for each in addresses:
        of_interface.setdefault(each.interface, []).append(each)
    for interface, here in of_interface.items():
        index = _index(ip, interface)
        if index is not None:
            yield index, here


def _order(
    ip: Any,
    verb: str,
    address: IPv4Interface,
    index: int,
    harmless: set[int],
    **more: int,
) -> bool:
    """Tell the kernel; False if somebody was quicker and there is nothing left to do."""
    try:
        ip.addr(
            verb,
            index=index,
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            **more,
        )
    except NetlinkError as error:
        if error.code in harmless:
            return False
        raise
    return True


def _index(ip: Any, interface: str) -> int | None:
    try:
        return int(ip.link("get", ifname=interface)[0]["index"])
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _present(ip: Any, index: int) -> dict[IPv4Interface, int]:
    """Return the addresses of an interface and their marks; 0: none."""
    return {
        IPv4Interface((found.get("IFA_LOCAL"), found["prefixlen"])): found.get("IFA_PROTO")
        or 0
        for found in ip.addr("dump", index=index, family=AF_INET)
    }
