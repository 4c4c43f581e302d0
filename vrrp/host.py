"""Whether this host can do what the configuration asks. Blocking, and changes nothing."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from programs.users import obstacle
from vrrp.checks import ScriptProbe
from vrrp.errors import HostError
from vrrp.instance import DaemonConfig, Instance
from vrrp.links import read_footing
from vrrp.notify import Program

_CAPABILITIES: Final = (1 << 12) | (1 << 13)  # CAP_NET_ADMIN, CAP_NET_RAW
_OLDEST_KERNEL: Final = (5, 18)  # the first that keeps a mark (IFA_PROTO) with an address


def check_host() -> None:
    """Raise HostError that says what guideway-vrrpd lacks to run here."""
    if own_capabilities() & _CAPABILITIES != _CAPABILITIES:
        raise HostError("CAP_NET_ADMIN and CAP_NET_RAW are needed: run it as root")
    release = os.uname().release
    if kernel_version(release) < _OLDEST_KERNEL:
        oldest = ".".join(map(str, _OLDEST_KERNEL))
        raise HostError(f"Linux {oldest} or later is needed; this is {release}")


def check_footing(instances: Iterable[Instance]) -> None:
    """Raise HostError if an interface of ``instances`` is not there or has no address.

    It may be down: its instance rests until it comes up. A start does not ask: it would
    rest until there is one as well. But who runs already does not let go for a slip.
    """
    try:
        with IPRoute(strict_check=True) as ip:
            for instance in instances:
                read_footing(ip, instance)
    except (NetlinkError, OSError) as error:
        raise HostError(f"the kernel does not tell us its interfaces: {error}") from error


def check_users(config: DaemonConfig) -> None:
    """Raise HostError if a program is to run as a user as whom we cannot run it."""
    users = {
        f"check {check.name}": check.probe.user
        for check in config.checks
        if isinstance(check.probe, ScriptProbe)
    }
    for what, program in _told(config):
        users[f"`notify` of {what}"] = program.user
    for what, user in users.items():
        if user is not None and (problem := obstacle(user, "guideway-vrrpd")):
            raise HostError(f"{what}: {problem}")


def _told(config: DaemonConfig) -> Iterator[tuple[str, Program]]:
    """Yield the programs that are told of something, and of what."""
    for instance in config.instances:
        if instance.notify:
            yield f"instance {instance.name}", instance.notify
    for name, program in config.groups.items():
        yield f"sync group {name}", program


def own_capabilities() -> int:
    """Return the bits of what this process may do."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return effective_capabilities(status)


def effective_capabilities(status: str) -> int:
    """Return the bits of ``CapEff`` in the text of /proc/self/status."""
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["CapEff"], 16)


def kernel_version(release: str) -> tuple[int, int]:
    """Return (6, 1) for "6.1.0-18-amd64"; (0, 0) for what no kernel says."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)
