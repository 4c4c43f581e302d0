"""The interface that stand-ins are behind, its routes, and filters on it and others.

All of it is the kernel's: what was there before is taken over, what is missing is made.
"""

import errno
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.ifinfmsg import IFF_NOARP, IFF_UP

from dataplane.errors import LoadError
from dataplane.stand_ins import Prefixes

_INGRESS: Final = 0xFFFFFFF2  # linux/pkt_sched.h: TC_H_CLSACT, with TC_H_MIN_INGRESS
_EGRESS: Final = 0xFFFFFFF3
# Behind the filters of others, who mostly let packets go on, as ours does with all others.
_PREFERENCE: Final = 26487
_NO_IPV6: Final = "/proc/sys/net/ipv6/conf/{}/disable_ipv6"
_MTU: Final = 1280  # bytes; what goes by IPv6 goes by every interface


@dataclass(frozen=True, slots=True)
class Device:
    """The interface, there and up."""

    ifindex: int
    mac: bytes


class ProbeDevice:
    """What one instance has in the kernel for its probes of VIPs."""

    def __init__(self, prefixes: Prefixes) -> None:
        """Look after that of an instance; nothing is made yet."""
        self._prefixes = prefixes
        self._label = f"guideway:{prefixes.name}"

    def make(self, versions: Collection[int]) -> Device:
        """Have the interface there, up, with routes for these IP versions.

        Raises LoadError.
        """
        prefixes = self._prefixes
        with _netlink() as ip:
            link = _find(ip, prefixes.name)
            if link is None:
                # Of two ends, packets leave by this one, and never get as far as the other.
                peer = {"ifname": _peer(prefixes.name)}
                ip.link("add", ifname=prefixes.name, kind="veth", peer=peer, mtu=_MTU)
                link = _find(ip, prefixes.name)
            if link is None or link.get(("linkinfo", "kind")) != "veth":
                raise LoadError(
                    f"interface {prefixes.name} is not guideway's: give it another name"
                )
            index = link["index"]
            if not link["flags"] & IFF_NOARP or not link["flags"] & IFF_UP:
                self._raise(ip, index)
            for version in versions:
                _route(ip, index, prefixes.name, prefixes.of_version(version))
            mac = bytes.fromhex(link.get("address").replace(":", ""))
            return Device(index, mac)

    def attach(self, program: int, device: int, ways: frozenset[int]) -> None:
        """Let packets out of ``device`` and into ``ways`` through ``program``.

        These are indices; other interfaces have no filter of ours afterwards. Raises
        LoadError.
        """
        with _netlink() as ip:
            self._filter(ip, device, _EGRESS, program)
            for index in ways:
                with _suppress_gone():
                    self._filter(ip, index, _INGRESS, program)
            self._clear(ip, ways | {device})

    def is_whole(
        self, device: int, ways: frozenset[int], versions: Collection[int]
    ) -> bool:
        """Tell whether interface, routes and filters are there. Raises LoadError."""
        with _netlink() as ip:
            link = _find(ip, self._prefixes.name)
            if link is None or link["index"] != device or not link["flags"] & IFF_UP:
                return False
            routed = all(
                _is_routed(ip, device, self._prefixes.of_version(version))
                for version in versions
            )
            return (
                routed
                and self._has_filter(ip, device, _EGRESS)
                and all(self._has_filter(ip, index, _INGRESS) for index in ways)
            )

    def remove(self) -> bool:
        """Take interface, routes and filters away; False if there were none.

        Raises LoadError.
        """
        with _netlink() as ip:
            link = _find(ip, self._prefixes.name)
            cleared = self._clear(ip, frozenset())
            if link is None or link.get(("linkinfo", "kind")) != "veth":
                return cleared
            with _suppress_gone():
                ip.link("del", index=link["index"])
            return True

    def _raise(self, ip: IPRoute, index: int) -> None:
        ip.link("set", index=index, flags=IFF_NOARP, change=IFF_NOARP)
        ip.link("set", index=index, state="up")
        if (other := _find(ip, _peer(self._prefixes.name))) is not None:
            ip.link("set", index=other["index"], state="up")

    def _filter(self, ip: IPRoute, index: int, parent: int, program: int) -> None:
        """Have the filter there, with this program: packets meet the one before or it."""
        try:
            ip.tc("add", "clsact", index)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise
        ip.tc(
            "replace-filter",
            "bpf",
            index,
            self._prefixes.handle,
            fd=program,
            name=self._label,
            parent=parent,
            prio=_PREFERENCE,
            direct_action=True,
        )

    def _clear(self, ip: IPRoute, kept: frozenset[int]) -> bool:
        """Take our filters off all interfaces but ``kept``; tell whether there was one."""
        found = False
        clsacts = [qdisc for qdisc in ip.get_qdiscs() if qdisc.get("kind") == "clsact"]
        for index in {qdisc["index"] for qdisc in clsacts} - kept:
            if not self._has_filter(ip, index, _INGRESS):
                continue
            found = True
            with _suppress_gone():
                ip.tc(
                    "del-filter",
                    "bpf",
                    index,
                    self._prefixes.handle,
                    parent=_INGRESS,
                    prio=_PREFERENCE,
                )
                if not _filters(ip, index, _INGRESS) and not _filters(ip, index, _EGRESS):
                    ip.tc("del", "clsact", index)
        return found

    def _has_filter(self, ip: IPRoute, index: int, parent: int) -> bool:
        handle = self._prefixes.handle
        return any(
            one["handle"] == handle
            and one.get("kind") == "bpf"
            and one.get_nested("TCA_OPTIONS", "TCA_BPF_NAME") == self._label
            for one in _filters(ip, index, parent)
        )


@contextmanager
def _suppress_gone() -> Iterator[None]:
    """Be content if an interface, or what is on it, is gone."""
    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.ENODEV, errno.ENOENT, errno.EINVAL):
            raise


@contextmanager
def _netlink() -> Iterator[IPRoute]:
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise LoadError(f"the way of probes to VIPs cannot be made: {error}") from error


def _peer(name: str) -> str:
    return name.replace("gwp-", "gwe-")


def _find(ip: IPRoute, name: str) -> Any:
    with suppress(NetlinkError):
        return next(iter(ip.link("get", ifname=name)), None)
    return None


def _filters(ip: IPRoute, index: int, parent: int) -> list[Any]:
    with _suppress_gone():
        return [one for one in ip.get_filters(index=index, parent=parent) if one["handle"]]
    return []


def _route(ip: IPRoute, index: int, name: str, prefix: IPv4Network | IPv6Network) -> None:
    if _is_routed(ip, index, prefix):
        return
    with suppress(OSError):  # where new interfaces have no IPv6, and we may change that
        if prefix.version == 6:  # noqa: PLR2004
            Path(_NO_IPV6.format(name)).write_text("0", encoding="ascii")
    family = AF_INET if prefix.version == 4 else AF_INET6  # noqa: PLR2004
    try:
        ip.route("add", dst=str(prefix), oif=index, family=family, scope="link")
    except NetlinkError as error:
        if error.code == errno.EEXIST:
            raise LoadError(
                f"{prefix}, which probes of VIPs use on this host, is routed elsewhere: "
                "take that route away, or leave `via: vip` out"
            ) from error
        if prefix.version == 6 and error.code == errno.EACCES:  # noqa: PLR2004
            raise LoadError(
                f"interface {name} has no IPv6: `sysctl -w net.ipv6.conf.{name}"
                ".disable_ipv6=0`"
            ) from error
        raise


def _is_routed(ip: IPRoute, index: int, prefix: IPv4Network | IPv6Network) -> bool:
    family = AF_INET if prefix.version == 4 else AF_INET6  # noqa: PLR2004
    return any(
        route.get("dst") == str(prefix.network_address)
        and route["dst_len"] == prefix.prefixlen
        for route in ip.get_routes(family=family, oif=index)
    )
