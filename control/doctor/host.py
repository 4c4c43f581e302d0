"""Looking at the host itself."""

import ctypes
import os
import platform
import re
import shutil
import time
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute

from control.addresses import IpAddress
from control.doctor.facts import Host
from control.facts import Network
from control.links import read_addresses, read_links
from control.network import survey

_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")
_JIT: Final = Path("/proc/sys/net/core/bpf_jit_enable")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_DEVICES: Final = Path("/sys/class/net")
_PATIENCE: Final = 0.5  # seconds that a neighbour may take to answer
_UNSYNCHRONIZED: Final = 5  # TIME_ERROR, sys/timex.h
_TIMEX_SIZE: Final = 512  # more than struct timex takes anywhere


def look(
    interfaces: Collection[str],
    backends: Collection[IpAddress],
    bpffs: str,
    state_directory: str,
) -> Host:
    """Return what the host tells. Takes up to a second; raises OSError, NetlinkError."""
    with IPRoute() as netlink:
        links, own = read_links(netlink), read_addresses(netlink)
    return Host(
        kernel=_kernel(platform.release()),
        is_root=os.geteuid() == 0,
        has_bcc=find_spec("bcc") is not None,
        has_bpffs=_is_bpffs(bpffs),
        has_jit=_has_jit(),
        cpus=len(os.sched_getaffinity(0)),
        clock_is_set=_clock_is_set(),
        free=_free(Path(state_directory)),
        links={link.name: link for link in links.values()},
        addresses={
            link.name: tuple(one.address for one in own if one.ifindex == index)
            for index, link in links.items()
        },
        physical=frozenset(path.parent.name for path in _DEVICES.glob("*/device")),
        network=_network(interfaces, backends),
    )


def _network(interfaces: Collection[str], backends: Collection[IpAddress]) -> Network:
    network = survey(interfaces, backends, (), Network())
    if any(hop.mac is None for hop in network.next_hops.values()):
        time.sleep(_PATIENCE)  # who has just been asked may answer
        network = survey(interfaces, backends, (), network)
    return network


def _kernel(release: str) -> tuple[int, int]:
    numbers = _RELEASE.match(release)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _is_bpffs(path: str) -> bool:
    """Tell whether what is mounted at ``path``, or above it, is a bpffs; proc(5)."""
    place = Path(path).resolve()
    found = ""
    kind = ""
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].replace("\\040", " ")
        # Of what is mounted at one place, the last one counts.
        if place.is_relative_to(point) and len(point) >= len(found):
            found, kind = point, after.split(" ")[0]
    return kind == "bpf"


def _has_jit() -> bool:
    try:
        return _JIT.read_text(encoding="ascii").strip() != "0"
    except OSError:  # root's alone; a kernel that has no other way has no such file
        return True


def _free(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _clock_is_set() -> bool:
    """Ask adjtimex(2), changing nothing."""
    timex = ctypes.create_string_buffer(_TIMEX_SIZE)  # modes, the first field, is 0
    state: int = ctypes.CDLL(None).adjtimex(timex)
    return state != _UNSYNCHRONIZED
