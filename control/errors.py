"""Every error that guideway's controller raises on purpose.

GuidewayError
├── ConfigError        the operator's file or request is wrong
├── NotFoundError      the named thing is not in the desired state
├── ConflictError      the request contradicts the desired state
├── StaleError         the request was made for another version of it
├── ConfirmationError  a version waits to be confirmed, or none does
├── ForbiddenError     who asks may not do that
├── BusyError          too much is asked at a time
└── HostError          this host lacks something, or the kernel refused

Facts are fields, and ``str(error)`` is one sentence for an operator. The two edges (API
and command line) turn the class into a gRPC status or an exit code, in one place each.
"""

from dataclasses import dataclass
from typing import Final

_LONGEST_NAME: Final = 63  # what is longer is no slip of the pen


class GuidewayError(Exception):
    """Base of all errors; never raised itself."""


@dataclass(eq=False)  # by identity: an exception has to stay hashable
class ConfigError(GuidewayError):
    """A value is not acceptable."""

    where: str  # a file, a path inside it, or a request field
    problem: str  # what is wrong and what would be right
    # Path of the value in what was to be made, for programs: "vip", "backends[1].port" of a
    # service, "services[0].name" of a state; "": it is about more than one, or a file.
    field: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


@dataclass(eq=False)
class NotFoundError(GuidewayError):
    """The named thing does not exist."""

    kind: str  # "service", "backend" or "version"
    name: str
    within: str = ""  # the service, for a backend
    known: tuple[str, ...] = ()  # what there is, to find out what was meant

    def __str__(self) -> str:
        if self.kind == "version":
            return f"no version {self.name}: `guideway history` lists those that are kept"
        place = f" in service {self.within!r}" if self.within else ""
        return f"no {self.kind} {self.name!r}{place}{self._guess()}"

    def _guess(self) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - the command line starts fast

        meant = get_close_matches(self.name[:_LONGEST_NAME], self.known, n=1)
        return f"; did you mean {meant[0]!r}?" if meant else ""


@dataclass(eq=False)
class ConflictError(GuidewayError):
    """The request contradicts what is there."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class StaleError(GuidewayError):
    """The request says which version it was made for, and that is not the one now."""

    expected: int
    current: int

    def __str__(self) -> str:
        if self.expected > self.current:
            return (
                f"version {self.expected} is expected, and the desired state is only "
                f"version {self.current}: is this another node, or was its state lost?"
            )
        return (
            f"version {self.expected} is expected, and the desired state is version "
            f"{self.current} by now: `guideway diff {self.expected}` shows what is new; if "
            f"the change is still right, expect version {self.current}"
        )


@dataclass(eq=False)
class ConfirmationError(GuidewayError):
    """A version waits to be confirmed and this is not its confirmation, or none waits."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class ForbiddenError(GuidewayError):
    """Who asks may not do that; the sentence says who may."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class BusyError(GuidewayError):
    """As much is under way as this daemon allows at a time; nothing was begun."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class HostError(GuidewayError):
    """The host cannot do what is asked; the sentence says what to do about it."""

    problem: str

    def __str__(self) -> str:
        return self.problem
