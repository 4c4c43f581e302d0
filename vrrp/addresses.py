"""Virtual addresses on this host's interfaces. Blocking: not for an event loop.

What we add bears a mark (IFA_PROTO, as routes bear the name of the daemon that made them).
So what a killed run left can be told from what the administrator has configured, and an
owner's own address, which was there before us, stays when we go.

An IPv6 address comes as deprecated, so that what this host says by itself, such as health
checks, keeps an address to which the answers find their way; and without duplicate address
detection, which would make it useless for a second, and for ever if the former Active is
still there.
"""

import errno
from collections.abc import Iterable, Iterator
from socket import AF_INET, AF_INET6
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

from vrrp import present
from vrrp.instance import IpInterface, VirtualAddress
from vrrp.packet import IPV6

MARK: Final = 112  # VRRP's number among the IP protocols; nobody in rt_protos(5) has it
_IFA_F_NODAD: Final = 0x02  # linux/if_addr.h
_IFA_F_NOPREFIXROUTE: Final = 0x200
_Place = tuple[bytes, int]  # an address, packed, and the bits of its prefix


def hold(ip: Any, wanted: Iterable[VirtualAddress]) -> tuple[VirtualAddress, ...]:
    """Add the addresses that are missing; return those that were.

    An interface that is not there has none: whoever watches the links will say so.
    """
    added = []
    for index, here in _by_interface(ip, wanted):
        already = _present(index)
        harmless = {errno.EEXIST, errno.ENODEV}
        added += [
            each
            for each in here
            if _place(each) not in already
            and _order(
                ip, "add", each.address, index, harmless, proto=MARK, **_manner(each)
            )
        ]
    return tuple(added)


def release(ip: Any, unwanted: Iterable[VirtualAddress]) -> tuple[VirtualAddress, ...]:
    """Remove the addresses that are there and bear our mark; return those that were."""
    removed = []
    for index, here in _by_interface(ip, unwanted):
        already = _present(index)
        # One that has gone already may have gone with the primary address of its subnet.
        harmless = {errno.EADDRNOTAVAIL, errno.ENODEV}
        removed += [
            each
            for each in here
            if already.get(_place(each)) == MARK
            and _order(ip, "del", each.address, index, harmless)
        ]
    return tuple(removed)


def _by_interface(
    ip: Any, addresses: Iterable[VirtualAddress]
) -> Iterator[tuple[int, list[VirtualAddress]]]:
    """Yield the index of each interface that is there, and what belongs on it.

    The kernel is asked once for an interface, not once for an address.
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
    address: IpInterface,
    index: int,
    harmless: set[int],
    **more: int | str,
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


def _manner(virtual: VirtualAddress) -> dict[str, int | str]:
    """Return how an address is to be added besides."""
    flags = 0 if virtual.routed else _IFA_F_NOPREFIXROUTE
    if virtual.address.version == IPV6:
        return {"flags": flags | _IFA_F_NODAD, "preferred": 0}
    manner: dict[str, int | str] = {"flags": flags} if flags else {}
    return manner | ({"label": virtual.label} if virtual.label else {})


def _present(index: int) -> dict[_Place, int]:
    """Return the addresses of an interface and their marks; 0: none."""
    return {
        (found.packed, found.prefix): found.mark
        for family in (AF_INET, AF_INET6)
        for found in present.read(index, family)
    }


def _place(virtual: VirtualAddress) -> _Place:
    address = virtual.address
    return address.packed, address.network.prefixlen
