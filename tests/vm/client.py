"""The client of the walk-through: the host itself, on the machines' front network."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.vm.network import Network
from vagrant.lab.errors import LabError

_LOAD = Path(__file__).with_name("load.py")
_ENDS_WITHIN = 120.0  # seconds: a request may have to run into its time-out


@dataclass
class Load:
    """What the load generator has told; all zero until it has ended."""

    sent: int = 0  # datagrams
    answered: int = 0
    asked: int = 0  # requests by HTTP
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0  # seconds, of a request
    retransmitted: int = 0  # segments, by the client

    @property
    def lost(self) -> bool:
        """Whether anything was, or there was no load."""
        nothing = not self.sent or not self.asked
        return nothing or self.sent != self.answered or bool(self.failures)


@dataclass(frozen=True, slots=True)
class Client:
    """Someone who has an address on the front network."""

    network: Network

    def ask(self, url: str, times: int) -> list[str]:
        """Return what each request was answered, stripped; "" if it was not."""
        command = (*self.network.enter(), "curl", "-s", "-m", "10", url)
        asked = (
            subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            for _ in range(times)
        )
        return [done.stdout.strip() for done in asked]

    @contextmanager
    def load(self, vip: str, per_second: int) -> Iterator[Load]:
        """Keep the VIP busy for the length of the block, and tell of it afterwards."""
        told = Load()
        words = (sys.executable, str(_LOAD), vip, str(per_second))
        running = subprocess.Popen(
            (*self.network.enter(), *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            yield told
            said, _ = running.communicate(timeout=_ENDS_WITHIN)
        finally:
            running.kill()
        if running.returncode != 0:
            raise LabError(f"the load generator ended with {running.returncode}")
        vars(told).update(json.loads(said))
