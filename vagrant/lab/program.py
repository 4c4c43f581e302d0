"""A program of ours on a host of the lab: started, asked to stop, or killed."""

import signal
import subprocess
from pathlib import Path
from typing import Final

from vagrant.lab.errors import LabError
from vagrant.lab.hosts import PROJECT, Host
from vagrant.lab.logs import tail
from vagrant.lab.wait import PATIENCE

_STOPS_WITHIN: Final = 10.0  # seconds


class Program:
    """One of our modules with its arguments; at most one process of it at a time."""

    def __init__(
        self, host: Host, module: str, arguments: tuple[str, ...], log: Path
    ) -> None:
        self.host = host
        self.module = module
        self.log = log
        self.directory = PROJECT  # of a copy of our modules, to start another release
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process that has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while it is running."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> None:
        """Start it; harmless if it is running."""
        if not self.running:
            self._process = self.host.python(
                self.module, *self._arguments, log=self.log, directory=self.directory
            )

    def stop(self) -> int:
        """Ask it to end (SIGTERM), return its exit code; raise LabError if it does not."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        self._end(signal.SIGKILL)

    def wait(self, within: float) -> int:
        """Return its exit code; or raise LabError after ``within`` seconds."""
        if self._process is None:
            raise LabError(f"{self} was never started")
        try:
            return self._process.wait(timeout=within * PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"{self} did not end within {within:g} s\n{self.tail()}"
            ) from error

    def require_running(self) -> None:
        """Raise LabError with the end of the log if it has ended by itself."""
        if not self.running:
            code = (
                "" if self._process is None else f", exit code {self._process.returncode}"
            )
            raise LabError(f"{self} is not running{code}\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of the log."""
        return tail(self.log)

    def __str__(self) -> str:
        return f"{self.module} on {self.host.name}"

    def _end(self, by: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(by)  # does nothing if it has ended
        return self.wait(_STOPS_WITHIN)
