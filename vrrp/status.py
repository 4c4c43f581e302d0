"""What others may know of us: a small JSON file that is always whole."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import msgspec

from vrrp.errors import Fault, HostError, Oddity
from vrrp.machine import State
from vrrp.packet import IpAddress
from vrrp.tally import Advert

_READABLE_BY_ALL: Final = 0o644
_DIRECTORY: Final = 0o755
_WRITE_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Status:
    """One instance, as the status file shows it."""

    state: State
    since: float  # Unix time
    priority: int
    active: IpAddress | None = None  # the Active router's address, ours included
    transitions: int = 0  # state changes since the instance was started
    discarded: Mapping[Fault, int] = field(default_factory=dict)  # packets, by why
    noticed: Mapping[Oddity, int] = field(default_factory=dict)  # heeded, but strange
    problem: str = ""  # why it rests
    latest: float = 0.0  # seconds by which a timer was late at most
    fenced: int = 0  # how often it gave the addresses up since it was late itself
    stands_back: bool = False  # it has handed over, and leaves an inferior Active alone
    waits: bool = False  # it would take over, but others of its sync group hear an Active
    reason: str = ""  # why it came to its state; of one that rests see ``problem``
    sent: Mapping[Advert, int] = field(default_factory=dict)
    unsent: int = 0  # advertisements that the kernel did not take
    heard: Mapping[Advert, int] = field(default_factory=dict)  # of those that were heeded
    handed_over: int = 0  # how often a peer took over since it was asked to
    late: Mapping[str, int] = field(default_factory=dict)  # timers, by seconds at most
    late_total: float = 0.0  # seconds by which timers were late, altogether
    virtual_mac: str = ""  # that the addresses are on where it is Active; "": the host's

    def moved(
        self, state: State, active: IpAddress | None, now: float, reason: str = ""
    ) -> Self:
        """Return the status after the state machine has said where it is, and why."""
        if state is self.state:
            return replace(self, active=active)
        count = self.transitions + 1
        return replace(
            self, state=state, active=active, since=now, transitions=count, reason=reason
        )


class StatusFile:
    """The file, and the right to write it, which one process has at a time.

    Blocking, but for :meth:`write` on the memory file system where it should be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = -1

    def __enter__(self) -> Self:
        """Take the right; HostError if another process has it, or the place is no good."""
        lock = self._path.with_name(self._path.name + ".lock")
        try:
            self._make_directory()
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._unlock()
            raise HostError(
                f"another guideway-vrrpd is running with status file {self._path}: "
                "stop it, or name another `status_file`"
            ) from error
        except OSError as error:
            self._unlock()
            raise HostError(f"cannot lock {lock}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._unlock()

    def write(self, instances: Mapping[str, Status]) -> None:
        """Replace the file's content at once; OSError."""
        text = msgspec.json.encode(instances, enc_hook=str)  # str: for the addresses
        new = self._path.with_name(self._path.name + ".new")
        with os.fdopen(os.open(new, _WRITE_NEW, _READABLE_BY_ALL), "wb") as file:
            os.fchmod(file.fileno(), _READABLE_BY_ALL)  # whatever the umask
            file.write(msgspec.json.format(text, indent=2) + b"\n")
        new.replace(self._path)

    def remove(self) -> None:
        """Leave no status behind: nobody is there to keep it true.

        The lock file stays: whoever waits for it must not be left with a deleted one.
        """
        self._path.unlink(missing_ok=True)

    def _make_directory(self) -> None:
        if not self._path.parent.is_dir():
            self._path.parent.mkdir(parents=True)
            self._path.parent.chmod(_DIRECTORY)  # whatever the umask

    def _unlock(self) -> None:
        if self._lock != -1:
            os.close(self._lock)
            self._lock = -1
