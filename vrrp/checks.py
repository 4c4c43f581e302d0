"""The checks that instances track: each looks at one thing of this host, now and again."""

import asyncio
import fcntl
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, if_nametoindex, socket
from threading import Event, Thread
from typing import Final, Protocol

import msgspec
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from programs import run
from vrrp.realtime import start_ordinary_programs
from vrrp.tracking import Finding, Tally

_log: Final[FilteringBoundLogger] = get_logger()

_SIOCGIFFLAGS: Final = 0x8913  # linux/sockios.h
_IFREQ: Final = struct.Struct("@16sh22x")
_IFF_UP: Final = 0x1  # linux/if.h
_IFF_RUNNING: Final = 0x40
_LONGEST_NUMBER: Final = 32  # bytes of a file that holds a number
_COMM_BYTES: Final = 15  # what the kernel keeps of a process's name


class Probe(Protocol):
    """Looks once. Blocking: not for an event loop; raises nothing.

    It ends soon when ``stopping`` is set.
    """

    def look(self, stopping: Event) -> Finding:
        """Return what there is to see."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check as the file describes it."""

    name: str
    probe: Probe
    interval: float = 1.0  # seconds from one look to the next
    rise: int = 1  # good results in a row that end a failure
    fall: int = 1  # bad ones that make one


@dataclass(frozen=True, slots=True)
class InterfaceProbe:
    """Whether an interface is up and has its carrier."""

    interface: str

    def look(self, stopping: Event) -> Finding:
        """Ask the kernel for its flags."""
        request = _IFREQ.pack(self.interface.encode(), 0)
        try:
            with socket(AF_INET, SOCK_DGRAM) as any_socket:
                _, flags = _IFREQ.unpack(fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        except OSError as error:
            return Finding(f"interface {self.interface}: {error.strerror}")
        up = flags & _IFF_UP and flags & _IFF_RUNNING
        return Finding() if up else Finding(f"interface {self.interface} is down")


@dataclass(frozen=True, slots=True)
class ScriptProbe:
    """Whether a command ends with exit code 0."""

    command: tuple[str, ...]
    timeout: float  # seconds; whoever takes longer is killed with all its children
    user: str | None = None

    def look(self, stopping: Event) -> Finding:
        """Run it."""
        return Finding(run(self.command, self.timeout, self.user, stopping))


@dataclass(frozen=True, slots=True)
class FileProbe:
    """The number in a file; no file is 0, and 0 is well."""

    path: Path

    def look(self, stopping: Event) -> Finding:
        """Read it."""
        try:
            with self.path.open("rb") as file:
                text = file.read(_LONGEST_NUMBER)
        except FileNotFoundError:
            return Finding(points=0)
        except OSError as error:
            return Finding(f"{self.path}: {error.strerror}")
        try:
            points = int(text.strip() or b"0")
        except ValueError:
            return Finding(f"{self.path} does not hold a number")
        return Finding(f"{self.path} says {points}" if points else "", points)


@dataclass(frozen=True, slots=True)
class ProcessProbe:
    """Whether enough processes of a name are running."""

    name: str
    quorum: int = 1

    def look(self, stopping: Event) -> Finding:
        """Read the names of all processes."""
        wanted = self.name.encode()[:_COMM_BYTES] + b"\n"
        found = 0
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError):  # it has ended meanwhile
                    found += Path(entry.path, "comm").read_bytes() == wanted
        if found >= self.quorum:
            return Finding()
        return Finding(f"{found} processes are called {self.name}, not {self.quorum}")


class DataPlane(msgspec.Struct, frozen=True):
    """What guidewayd says of itself in its status file; it may say more."""

    interfaces: tuple[str, ...]  # where packets are to come in
    links: str  # the directory in which their bpf_links are pinned
    services: int
    serving: int  # services of which at least one backend gets traffic
    synced: bool = True  # what its peers know of flows is here


@dataclass(frozen=True, slots=True)
class DataPlaneProbe:
    """Whether this host would balance what it is sent.

    guidewayd itself may have ended: packets keep flowing then, and what it said last holds.
    """

    status_file: Path
    backends: bool = True  # whether a service has to have one

    def look(self, stopping: Event) -> Finding:
        """Read what guidewayd said, and ask the kernel whether its program is there."""
        try:
            said = msgspec.json.decode(self.status_file.read_bytes(), type=DataPlane)
        except FileNotFoundError:
            return Finding(f"guidewayd has not served: there is no {self.status_file}")
        except OSError as error:
            return Finding(f"{self.status_file}: {error.strerror}")
        except msgspec.MsgspecError as error:
            return Finding(f"{self.status_file} is not guidewayd's: {error}")
        for interface in said.interfaces:
            if not _attached(interface, Path(said.links)):
                return Finding(f"the data plane is not attached to {interface}")
        return Finding(self._lack(said))

    def _lack(self, said: DataPlane) -> str:
        if not said.synced:
            return "guidewayd has not heard of its peers' flows yet"
        if self.backends and said.services and not said.serving:
            return "no service has a backend"
        return ""


def _attached(interface: str, links: Path) -> bool:
    """Whether the link that is pinned for ``interface`` is alive.

    While it is, nobody else can attach a program; if the kernel ended it, there is none.
    """
    try:
        index = if_nametoindex(interface)
        (links / f"ifindex-{index}").stat()
        with IPRoute(strict_check=True) as ip:
            xdp = ip.link("get", index=index)[0].get("IFLA_XDP")
    except (OSError, NetlinkError):
        return False
    return bool(xdp and xdp.get("IFLA_XDP_ATTACHED"))


class Checker:
    """Looks again and again, in a thread of its own, and says when it finds something else.

    A script has no part in real-time scheduling, whatever the process has: it must not
    compete with advertisements.
    """

    def __init__(self, check: Check, changed: Callable[[str, Finding], None]) -> None:
        """Call ``changed`` on the event loop that is running now."""
        self.check = check
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._tally = Tally(check.rise, check.fall)
        self._wake, self._stopping = Event(), Event()
        self._thread = Thread(target=self._run, name=f"check {check.name}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def look(self) -> None:
        """Look soon: something about links may have changed."""
        if isinstance(self.check.probe, InterfaceProbe):
            self._wake.set()

    def stop(self) -> None:
        """Look no more, and end what is under way. Blocking, for no longer than 0.2 s."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        start_ordinary_programs()
        while not self._stopping.is_set():
            self._wake.clear()
            found = self.check.probe.look(self._stopping)
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know
                self._loop.call_soon_threadsafe(self._note, found)
            self._wake.wait(self.check.interval)

    def _note(self, found: Finding) -> None:
        if self._stopping.is_set() or not self._tally.add(found):
            return
        finding = self._tally.finding
        say = _log.info if finding.well else _log.warning
        say("check changed", check=self.check.name, problem=finding.problem)
        self._changed(self.check.name, finding)
