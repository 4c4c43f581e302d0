"""What the kernel says about interfaces. Blocking: not for an event loop."""

import errno
from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

from vrrp import present
from vrrp.addresses import MARK
from vrrp.errors import HostError
from vrrp.instance import Instance
from vrrp.machine import OWNER_PRIORITY
from vrrp.packet import IPV4, IpAddress

_IFF_UP: Final = 0x1  # linux/if.h
_IFF_LOOPBACK: Final = 0x8
_IFF_RUNNING: Final = 0x40
_IFF_NOARP: Final = 0x80
_ARPHRD_ETHER: Final = 1  # linux/if_arp.h


@dataclass(frozen=True, slots=True)
class Link:
    """An interface at one moment."""

    index: int
    mac: bytes
    up: bool  # by the administrator and by the carrier
    speaks_arp: bool  # over Ethernet


@dataclass(frozen=True, slots=True)
class Footing:
    """What an instance stands on: it starts anew when this changes."""

    index: int  # of its interface
    address: IpAddress  # the interface's own, source of advertisements
    down: tuple[str, ...]  # which of its interfaces are down; with any of them it rests


def read_link(ip: Any, name: str) -> Link | None:
    """Return the interface ``name`` as ``ip`` (an IPRoute) sees it; None: there is none."""
    try:
        found = ip.link("get", ifname=name)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise
    flags, mac = found["flags"], found.get("address") or ""
    return Link(
        index=found["index"],
        mac=bytes.fromhex(mac.replace(":", "")),
        up=flags & _IFF_UP != 0 and flags & _IFF_RUNNING != 0,
        speaks_arp=found["ifi_type"] == _ARPHRD_ETHER
        and flags & (_IFF_LOOPBACK | _IFF_NOARP) == 0,
    )


def read_footing(ip: Any, instance: Instance) -> Footing:
    """Return what ``instance`` stands on, or raise HostError that says what it lacks."""
    links = {name: read_link(ip, name) for name in sorted(instance.interfaces)}
    for name, link in links.items():
        if link is None:
            raise HostError(
                f"there is no interface {name}, which instance {instance.name} needs"
            )
    down = tuple(name for name, link in links.items() if link and not link.up)
    own = links[instance.interface]
    address = _own_address(own.index, instance) if own else None
    if own is None or address is None:
        raise HostError(
            f"interface {instance.interface} has no {_wanted(instance)} of its own, "
            f"from which instance {instance.name} could advertise: give it one"
        )
    return Footing(own.index, address, down)


def _own_address(index: int, instance: Instance) -> IpAddress | None:
    """Return the first address of the right kind that does not move between routers.

    A deprecated one may be somebody's virtual address: it is the last resort.
    The owner is the exception: its own address is the one that the others take over.
    """
    owner = instance.router.priority == OWNER_PRIORITY
    last_resort: IpAddress | None = None
    kind = AF_INET if instance.dialect.family == IPV4 else AF_INET6
    for packed, _, mark, deprecated in present.read(index, kind):
        address = ip_address(packed)
        ours = mark == MARK
        fits = instance.source in (None, address) and (
            address.version == IPV4 or address.is_link_local == instance.link_local
        )
        if fits and (owner or not (ours or address in instance.virtual)):
            if not deprecated:
                return address
            last_resort = last_resort or address
    return last_resort


def _wanted(instance: Instance) -> str:
    if instance.source:
        return f"address {instance.source}"
    if instance.dialect.family == IPV4:
        return "IPv4 address"
    return "link-local IPv6 address" if instance.link_local else "global IPv6 address"
