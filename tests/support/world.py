"""Machines in namespaces: a process 1 of their own, and commands that are run beside it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vagrant.lab.hosts import Host

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")


@dataclass(frozen=True)
class World:
    """One of them, running."""

    pid: int
    path: str = _PATH  # where commands are looked for

    def enter(self, *command: str) -> tuple[str, ...]:
        """Return the command that runs ``command`` in this world."""
        into = ("nsenter", f"--target={self.pid}", *_NAMESPACES, "--root", "--wd=/")
        return (*into, "env", "-i", f"PATH={self.path}", *command)

    def run(self, *command: str, input_: str | None = None, code: int = 0) -> str:
        """Run a command in this world; return what it prints."""
        done = subprocess.run(
            self.enter(*command),
            input=input_,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{command}: {done.returncode}: {said}"
        return done.stdout

    def works(self, *command: str) -> bool:
        """Tell whether a command ends well."""
        with suppress(AssertionError):
            self.run(*command)
            return True
        return False

    def start(self, *command: str, log: str) -> None:
        """Start a command that runs until this world ends; ``log`` is a file in it."""
        self.run("sh", "-c", f'"$@" >{log} 2>&1 &', "sh", *command)

    def write(self, path: str, text: str) -> None:
        self.run("mkdir", "-p", str(Path(path).parent))
        self.run("tee", path, input_=text)


def child(parent: int, name: str) -> int | None:
    """Return the process called ``name`` that ``parent`` has become the father of."""
    with suppress(OSError):
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        found = next(iter(children), "none")
        if Path(f"/proc/{found}/comm").read_text() == f"{name}\n":
            return int(found)
    return None


@contextmanager
def as_host(world: World, name: str, prefix: str) -> Iterator[Host]:
    """Let ``world`` be a host of the lab for as long: it can be connected to segments."""
    host = Host(name, prefix)
    _ip("netns", "attach", host.namespace, str(world.pid))
    try:
        with host.netlink() as ip:
            ip.link("set", index=1, state="up")
        yield host
    finally:
        _ip("netns", "delete", host.namespace)  # the name; the network is the world's


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, timeout=20)
