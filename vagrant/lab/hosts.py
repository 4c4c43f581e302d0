"""Hosts of the lab: network namespaces in which programs and sockets can be placed."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute

from control.addresses import IpAddress
from vagrant.lab import namespaces
from vagrant.lab.errors import CommandError
from vagrant.lab.logs import tail
from vagrant.lab.wait import PATIENCE

# Programs run from here, so that `python -m control.daemon` finds the packages also when
# they are not installed.
PROJECT: Final = Path(__file__).resolve().parents[2]
_BY_US: Final = (0, -signal.SIGKILL, -signal.SIGTERM)  # ends that surprise nobody


@dataclass(frozen=True, slots=True)
class Started:
    """A process that was started on a host."""

    process: subprocess.Popen[bytes]
    command: tuple[str, ...]
    log: Path | None

    def story(self) -> str:
        """Return what it logged last, and how it ended if by itself; "" if neither."""
        code = self.process.poll()
        logged = self.log is not None and self.log.is_file() and self.log.stat().st_size
        if not logged and (code is None or code in _BY_US):
            return ""
        fate = "runs" if code is None else f"ended with {code}"
        told = f"{shlex.join(self.command)}: {fate}"
        return f"{told}\n{tail(self.log)}" if self.log else told


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace. Its name holds that of its lab, so that labs never meet."""

    name: str
    prefix: str
    _started: list[Started] = field(default_factory=list, repr=False, compare=False)

    @property
    def namespace(self) -> str:
        """What ``ip netns`` calls this host."""
        return f"{self.prefix}{self.name}"

    def run(self, *command: str, timeout: float = 30) -> str:
        """Run a command on this host and return what it printed; raise CommandError."""
        done = subprocess.run(
            (*self._enter(), *command),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=timeout * PATIENCE,
            check=False,
        )
        if done.returncode != 0:
            said = done.stdout + done.stderr
            raise CommandError(self.name, command, done.returncode, said)
        return done.stdout

    def popen(
        self, *command: str, log: Path | None = None, directory: Path = PROJECT
    ) -> subprocess.Popen[bytes]:
        """Start a command on this host; what it prints is added to ``log``, or dropped.

        It gets a session of its own: Ctrl-C at the terminal is for us, and we end it.
        """
        with ExitStack() as files:
            output = files.enter_context(log.open("ab")) if log else subprocess.DEVNULL
            process = subprocess.Popen(
                (*self._enter(), *command),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(Started(process, command, log))
        return process

    def python(
        self, module: str, *arguments: str, log: Path, directory: Path = PROJECT
    ) -> subprocess.Popen[bytes]:
        """Start one of our modules on this host with the interpreter that runs us.

        ``directory`` is where the module is looked for first: a copy of ours, perhaps.
        """
        command = (sys.executable, "-m", module, *arguments)
        return self.popen(*command, log=log, directory=directory)

    def socket(
        self,
        family: int = socket.AF_INET,
        kind: int = socket.SOCK_STREAM,
        protocol: int = 0,
    ) -> socket.socket:
        """Open a socket that lives on this host, for use in this process."""
        with self.inside():
            return socket.socket(family, kind, protocol)

    def inside(self) -> AbstractContextManager[None]:
        """Put the calling thread on this host for a block: :func:`namespaces.inside`."""
        return namespaces.inside(self.namespace)

    @contextmanager
    def netlink(self) -> Iterator[Any]:
        """Open the host's links, addresses and routes (pyroute2's IPRoute)."""
        # IPRoute(netns=…) would fork this process, threads and all, for its socket.
        with self.inside():
            opened = IPRoute()
        with opened as ip:
            yield ip

    def sysctl(self, name: str, value: int) -> None:
        """Write a ``net.`` key of the kernel, named as the command of that name does.

        A dot in the name of an interface is a slash there.
        """
        parts = (part.replace("/", ".") for part in name.split("."))
        with self.inside():
            Path("/proc/sys", *parts).write_text(f"{value}\n", encoding="ascii")

    def add_address(self, interface: str, address: IPv4Interface | IPv6Interface) -> None:
        """Give ``interface`` an address, and bring it up."""
        if isinstance(address, IPv6Interface):
            self._enable_ipv6(interface)
        with self.netlink() as ip:
            index = link_index(ip, interface)
            ip.addr(
                "add",
                index=index,
                address=str(address.ip),
                prefixlen=address.network.prefixlen,
            )
            ip.link("set", index=index, state="up")

    def remove_addresses_of(self, mark: int) -> None:
        """Remove every address that bears this mark of who added it (IFA_PROTO)."""
        with self.netlink() as ip:
            for found in tuple(ip.get_addr()):
                if found.get("IFA_PROTO") == mark:
                    ip.addr(
                        "del",
                        index=found["index"],
                        address=found.get("address"),
                        prefixlen=found["prefixlen"],
                    )

    def default_route(self, gateway: IpAddress) -> None:
        """Send everything of the gateway's family that is not local to ``gateway``."""
        everywhere = {4: "0.0.0.0/0", 6: "::/0"}[gateway.version]
        with self.netlink() as ip:
            ip.route("add", dst=everywhere, gateway=str(gateway))

    def stories(self) -> str:
        """Return what those who were started here have logged last, and how they ended.

        Of those who share a log, only the last one is told of.
        """
        last = {each.log or each: each for each in self._started}
        told = (each.story() for each in last.values())
        return "\n".join(f"on {self.name}: {story}" for story in told if story)

    def kill_everything(self) -> None:
        """Kill every process on this host, whoever started it."""
        for each in self._started:  # one may be on its way into the namespace yet
            each.process.kill()
        namespaces.kill_inside(self.namespace)
        for each in self._started:  # or they would stay zombies
            each.process.wait(timeout=5 * PATIENCE)
        self._started.clear()

    def remove(self) -> None:
        """Kill what runs here and remove the namespace with all that is in it."""
        self.kill_everything()
        namespaces.remove(self.namespace)

    def _enable_ipv6(self, interface: str) -> None:
        """Let ``interface`` have IPv6 addresses, of use at once and without any noise."""
        keys = f"net.ipv6.conf.{interface.replace('.', '/')}"
        for key, value in (("accept_dad", 0), ("router_solicitations", 0)):
            self.sysctl(f"{keys}.{key}", value)
        self.sysctl(f"{keys}.disable_ipv6", 0)

    def _enter(self) -> tuple[str, ...]:
        # Not `ip netns exec`: that mounts a new /sys, without the bpffs.
        return ("nsenter", f"--net={namespaces.DIRECTORY / self.namespace}", "--")


_there: Final[list[Host]] = []  # all hosts that this process has created, and not removed


def create(name: str, prefix: str, cleanup: ExitStack) -> Host:
    """Create a host with its loopback up; ``cleanup`` will remove it.

    An exception that passes on its way there gets a note of what ran on the host.
    """
    host = Host(name, prefix)
    namespaces.create(host.namespace)
    _there.append(host)

    def remove(_: object, error: BaseException | None, __: object) -> None:
        _there.remove(host)
        if error is not None and (told := host.stories()):
            error.add_note(told)
        host.remove()

    cleanup.push(remove)
    # What IPv6 says by itself would be noise in the counters: an interface has it when it
    # is given an address.
    host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    with host.netlink() as ip:
        ip.link("set", index=1, state="up")
    return host


def stories() -> str:
    """Return what ran on all hosts that are there: :meth:`Host.stories`."""
    return "\n".join(told for host in _there if (told := host.stories()))


@contextmanager
def hosts(*names: str, prefix: str | None = None) -> Iterator[tuple[Host, ...]]:
    """Create hosts, each with its loopback up; remove them whatever happens.

    The default prefix holds our process id, so that two test runs never meet.
    """
    with ExitStack() as cleanup:
        start = f"guideway-p{os.getpid()}-" if prefix is None else prefix
        yield tuple(create(name, start, cleanup) for name in names)


def link_index(ip: Any, interface: str) -> int:
    """Return the index of ``interface`` as ``ip`` (an IPRoute) sees it."""
    found = ip.link_lookup(ifname=interface)
    if not found:
        raise LookupError(f"there is no interface {interface!r}")
    return int(found[0])
