"""The networks between machines: bridges in a namespace, with a tap for each card."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vagrant.lab.errors import CommandError

SEGMENTS = ("front", "back")  # of vagrant/provision/network.sh


@dataclass(frozen=True, slots=True)
class Network:
    """A network namespace with a bridge for each segment."""

    namespace: str

    def enter(self) -> tuple[str, ...]:
        """Return the command that runs another one inside."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    def plug(self, tap: str, segment: str) -> None:
        """Make a tap of several queues and put it on the segment."""
        self.ip("tuntap", "add", "name", tap, "mode", "tap", "multi_queue")
        self.ip("link", "set", tap, "master", segment, "up")

    def ip(self, *words: str) -> None:
        _ip("-n", self.namespace, *words)


@contextmanager
def network(namespace: str) -> Iterator[Network]:
    """Make one; at the end it is gone, with its taps."""
    _ip("netns", "add", namespace)
    try:
        made = Network(namespace)
        made.ip("link", "set", "lo", "up")
        for segment in SEGMENTS:
            made.ip("link", "add", segment, "type", "bridge", "mcast_snooping", "0")
            made.ip("link", "set", segment, "up")
        yield made
    finally:
        _ip("netns", "delete", namespace)


def _ip(*words: str) -> None:
    command = ("ip", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0:
        raise CommandError("this host", command, done.returncode, done.stderr)
