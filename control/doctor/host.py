"""Looking at the host itself."""

import ctypes
import os
import platform
import re
import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

from control.addresses import IpAddress
from control.doctor.facts import Host, Search
from control.facts import Network
from control.links import read_addresses, read_links
from control.netlink import read_neighbours
from control.network import nat_warnings, survey
from dataplane.bpffs import is_on_bpffs
from dataplane.errors import DataplaneError

_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")
_JIT: Final = Path("/proc/sys/net/core/bpf_jit_enable")
_DEVICES: Final = Path("/sys/class/net")
_PATIENCE: Final = 0.5  # seconds that a neighbour may take to answer
_UNSYNCHRONIZED: Final = 5  # TIME_ERROR, sys/timex.h
_TIMEX_SIZE: Final = 512  # more than struct timex takes anywhere


def look(search: Search) -> Host:
    """Return what the host tells. Takes up to a second; raises OSError, NetlinkError."""
    with IPRoute() as netlink:
        links, own = read_links(netlink), read_addresses(netlink)
    network = _network(search.interfaces, search.neighbours)
    return Host(
        kernel=_kernel(platform.release()),
        is_root=os.geteuid() == 0,
        has_bcc=find_spec("bcc") is not None,
        has_bpffs=is_on_bpffs(Path(search.bpffs)),
        has_jit=_has_jit(),
        cpus=len(os.sched_getaffinity(0)),
        clock_is_set=_clock_is_set(),
        free=_free(Path(search.state_directory)),
        links={link.name: link for link in links.values()},
        addresses={
            link.name: tuple(one.address for one in own if one.ifindex == index)
            for index, link in links.items()
        },
        physical=frozenset(path.parent.name for path in _DEVICES.glob("*/device")),
        network=network,
        attached=_attached(search, [link.name for link in links.values()]),
        settings=nat_warnings(
            {
                (backend.version, hop.interface)
                for backend in search.translated
                if (hop := network.next_hops.get(backend))
            }
        ),
        neighbours=_neighbours(),
    )


def _network(interfaces: Collection[str], neighbours: Collection[IpAddress]) -> Network:
    network = survey(interfaces, neighbours, (), Network())
    if any(hop.mac is None for hop in network.next_hops.values()):
        time.sleep(_PATIENCE)  # who has just been asked may answer
        network = survey(interfaces, neighbours, (), network)
    return network


def _attached(search: Search, there: Collection[str]) -> Mapping[str, bool]:
    """Return whether the program is ours, of interfaces that are there.

    Empty if nobody knows: the pins are root's, and libbpf, which reads them, may be absent.
    """
    if not search.pins:
        return {}
    try:
        from dataplane.attach import Links  # noqa: PLC0415 - opens libbpf

        links = Links(Path(search.pins))
        return {name: links.holds(name) for name in search.interfaces if name in there}
    except (DataplaneError, PermissionError):
        return {}


def _neighbours() -> Mapping[bytes, frozenset[IpAddress]]:
    """Return who has which addresses, by MAC, as far as the kernel knows."""
    found: dict[bytes, set[IpAddress]] = {}
    with suppress(NetlinkDumpInterrupted):
        for (_, address), neighbour in read_neighbours().items():
            found.setdefault(neighbour.mac, set()).add(address)
    return {mac: frozenset(addresses) for mac, addresses in found.items()}


def _kernel(release: str) -> tuple[int, int]:
    numbers = _RELEASE.match(release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _has_jit() -> bool:
    try:
        return _JIT.read_text(encoding="ascii").strip() != "0"
    except OSError:  # root's alone; a kernel that has no other way has no such file
        return True


def _free(path: Path) -> int:
    while True:
        try:
            return shutil.disk_usage(path).free
        except (FileNotFoundError, PermissionError):
            if path == path.parent:
                raise
            path = path.parent


def _clock_is_set() -> bool:
    """Ask adjtimex(2), changing nothing."""
    timex = ctypes.create_string_buffer(_TIMEX_SIZE)  # modes, the first field, is 0
    state: int = ctypes.CDLL(None).adjtimex(timex)
    return state != _UNSYNCHRONIZED
