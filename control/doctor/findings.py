"""What an examination finds. Pure."""

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad it is; greater is worse."""

    NOTE = 1  # good to know
    WARNING = 2  # it works, and may not for long, or not for everybody
    ERROR = 3  # something does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    code: str  # stable, for programs
    severity: Severity
    problem: str  # what is wrong, and where
    remedy: str  # what to do about it


def worst(findings: tuple[Finding, ...]) -> Severity | None:
    """Return how bad it is altogether; None: nothing was found."""
    return max((finding.severity for finding in findings), default=None)
