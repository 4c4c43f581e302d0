"""Every error that the lab raises on purpose.

LabError
├── CommandError      a command on a host failed
├── NotInTimeError    a condition did not come true before its deadline
├── UnreachableError  nobody answers where a daemon should
├── BusyError         another process is using the lab of that name
└── HostError         this machine lacks something that a lab needs
"""

from dataclasses import dataclass


class LabError(Exception):
    """Base of all errors; never raised itself."""


@dataclass(eq=False)  # by identity: an exception has to stay hashable
class CommandError(LabError):
    """A command on a host failed."""

    host: str
    command: tuple[str, ...]
    code: int  # exit code; negative: the signal that ended it
    output: str  # what it printed, standard error last

    def __str__(self) -> str:
        said = self.output.strip() or "it said nothing"
        return f"on {self.host}: {' '.join(self.command)}: exit code {self.code}: {said}"


@dataclass(eq=False)
class NotInTimeError(LabError):
    """A condition did not come true before its deadline."""

    what: str
    within: float  # seconds
    detail: str = ""  # what may explain it, such as the end of a log

    def __str__(self) -> str:
        sentence = f"not within {self.within:g} s: {self.what}"
        return f"{sentence}\n{self.detail}" if self.detail else sentence


@dataclass(eq=False)
class UnreachableError(LabError):
    """Nobody answers where a daemon should."""

    place: str

    def __str__(self) -> str:
        return f"nobody answers at {self.place}"


@dataclass(eq=False)
class BusyError(LabError):
    """Another process is using the lab of that name."""

    name: str

    def __str__(self) -> str:
        return (
            f"another process is using the lab {self.name!r}; "
            "let it finish, or stop it, and try again"
        )


@dataclass(eq=False)
class HostError(LabError):
    """Something that a lab needs is not on this machine."""

    problem: str

    def __str__(self) -> str:
        return self.problem
