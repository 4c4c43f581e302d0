"""The macvlan of an Active: the host's own way to answer to a second MAC. Blocking.

It is there while the instance is Active, and gone otherwise: a Backup that had it would
take what a switch floods. Mode VEPA and not, as keepalived has it, private: in private mode
the kernel keeps a multicast that bears this MAC as its source from the interface below, and
two Actives that have found each other again would not hear it.

While it is there the interface below may neither answer for our addresses nor ask in their
name, or neighbours would learn its MAC. What was set there before is written on the macvlan
itself, so that whoever takes it away, a successor after a crash for one, can undo it.
"""

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError

_CONF: Final = Path("/proc/sys/net")
_KIND: Final = "macvlan"
_PREFIX: Final = "00:00:5e:00:"  # of virtual routers' MACs
_IFF_UP: Final = 0x1  # linux/if.h
_ALIAS: Final = re.compile(
    r"guideway-vrrpd; before: arp_ignore=([0-8]) arp_announce=([0-2])"
)
_BELOW: Final = {"arp_ignore": 1, "arp_announce": 2}  # at least
_FOUR: Final = {
    "arp_ignore": 1,  # it does not answer for what is below
    "arp_announce": 2,
    "rp_filter": 2,  # the way back to a client is by the interface below
}
_SIX: Final = {
    "accept_ra": 0,  # it is no host of its own, with addresses and routes from routers
    "autoconf": 0,
    "addr_gen_mode": 1,  # no link-local address: all nodes would have the same
}


class MacvlanError(OSError):
    """There is an interface of that name which is not ours."""


def ensure(ip: Any, below: str, index: int, name: str, mac: bytes, *, six: bool) -> None:
    """Have the macvlan ``name`` on the interface ``below`` (its ``index``), and up.

    ``six``: it is to have IPv6 addresses. Raises OSError or NetlinkError.
    """
    found = _find(ip, name)
    if found is not None and not _fits(found, index, mac):
        remove(ip, below, name)
        found = None
    if found is None:
        ip.link(
            "add",
            ifname=name,
            kind=_KIND,
            link=index,
            macvlan_mode="vepa",
            address=mac.hex(":"),
        )
        found = ip.link("get", ifname=name)[0]
        # Not by the order before: the kernel ignores it there.
        ip.link("set", index=found["index"], ifalias=_alias(_before(ip, below, index)))
    _write(_CONF / "ipv4/conf" / name, _FOUR)
    if (_CONF / "ipv6").exists():
        _write(_CONF / "ipv6/conf" / name, {"disable_ipv6": int(not six), **_SIX})
    _write(_CONF / "ipv4/conf" / below, _strictest(below))
    if not found["flags"] & _IFF_UP:
        ip.link("set", index=found["index"], state="up")


def remove(ip: Any, below: str, name: str) -> bool:
    """Take the macvlan away with its addresses; False if there is none.

    The last one on its interface gives it back what it had set before.
    """
    found = _find(ip, name)
    if found is None:
        return False
    if not _is_ours(found):
        raise MacvlanError(
            errno.EEXIST, f"interface {name} is not guideway-vrrpd's: rename or remove it"
        )
    try:
        ip.link("del", index=found["index"])
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise
    conf, before = _CONF / "ipv4/conf" / below, _told(found)
    # Without an interface below it went too; untold, we ended before we changed anything.
    if before and conf.exists() and not _siblings(ip, found.get("link")):
        _write(conf, before)
    return True


def _find(ip: Any, name: str) -> Any:
    try:
        return ip.link("get", ifname=name)[0]
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _fits(found: Any, index: int, mac: bytes) -> bool:
    return (
        found.get("link") == index
        and found.get("address") == mac.hex(":")
        and _told(found) is not None
    )


def _is_ours(found: Any) -> bool:
    """Tell whether nobody else can have made an interface that has such a name."""
    kind = (found.get("linkinfo") or {}).get("IFLA_INFO_KIND")
    address = str(found.get("address"))
    return kind == _KIND and address.startswith(_PREFIX)


def _told(found: Any) -> Mapping[str, int] | None:
    """Return what an interface of ours remembers; None: nothing."""
    match = _ALIAS.fullmatch(found.get("IFLA_IFALIAS") or "")
    if match is None or not _is_ours(found):
        return None
    return {"arp_ignore": int(match[1]), "arp_announce": int(match[2])}


def _alias(before: Mapping[str, int]) -> str:
    facts = " ".join(f"{key}={value}" for key, value in before.items())
    return f"guideway-vrrpd; before: {facts}"


def _siblings(ip: Any, index: int) -> list[Mapping[str, int]]:
    """Return what the macvlans of ours on an interface remember."""
    links = [each for each in ip.link("dump") if each.get("link") == index]
    return [told for each in links if (told := _told(each)) is not None]


def _before(ip: Any, below: str, index: int) -> Mapping[str, int]:
    """Return what the interface had before any of ours was on it."""
    siblings = _siblings(ip, index)
    return siblings[0] if siblings else _read(below)


def _read(below: str) -> Mapping[str, int]:
    conf = _CONF / "ipv4/conf" / below
    return {key: int((conf / key).read_text(encoding="ascii")) for key in _BELOW}


def _strictest(below: str) -> Mapping[str, int]:
    now = _read(below)
    return {key: max(now[key], least) for key, least in _BELOW.items()}


def _write(conf: Path, wanted: Mapping[str, int]) -> None:
    """Set what is not so yet: a write makes the kernel tell everybody."""
    for key, value in wanted.items():
        path = conf / key
        if int(path.read_text(encoding="ascii")) != value:
            path.write_text(str(value), encoding="ascii")
