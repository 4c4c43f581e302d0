"""What health checks have in common: how often, how many, from where, by what way.

Times are seconds; the names of the fields are the keys in files, commands and messages.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, ClassVar, Final

from control.addresses import MAX_PORT
from control.check_rules import is_source

MIN_SECONDS: Final = 0.01
MAX_SECONDS: Final = 3600.0
MAX_COUNT: Final = 1000  # of rise and fall
MAX_JITTER: Final = 0.5
_INTERFACE: Final = re.compile(r"(?!\.{1,2}\Z)[^/:\s\0]{1,15}")  # linux: dev_valid_name()


class Initial(StrEnum):
    """What a backend counts as before anything has been asked of it."""

    FIRST = "first"  # nothing: the first result decides alone
    UP = "up"
    DOWN = "down"
    BEFORE = "before"  # what the kernel's tables took it for when guidewayd started


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDefaults:
    """What all kinds have in common and a service may say once for all of its checks.

    ``rise`` successes in a row bring a backend up, ``fall`` failures in a row take it down.
    The defaults find a black hole within ``fall * (interval + timeout)`` = 6 s.
    """

    interval: float = 1.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    retry_interval: float | None = (
        None  # while results contradict the verdict; None: interval
    )
    initial: Initial = Initial.FIRST
    jitter: float = 0.1  # part of the interval by which it varies, both ways
    damping: float = 0.0  # seconds that a flapping backend is kept down at most; 0: none

    def problems_of_defaults(self) -> Iterator[str]:
        """Say what is wrong with the values, a clause each."""
        for name, seconds in (
            ("interval", self.interval),
            ("timeout", self.timeout),
            ("retry_interval", self.retry_interval),
        ):
            if seconds is None:
                continue
            if not MIN_SECONDS <= seconds <= MAX_SECONDS:  # so written, it refuses NaN too
                yield f"{name} {seconds:g} s is not in {MIN_SECONDS:g}…{MAX_SECONDS:g} s"
        for name, number in (("rise", self.rise), ("fall", self.fall)):
            if not 1 <= number <= MAX_COUNT:
                yield f"{name} {number} is not in 1…{MAX_COUNT}"
        if not 0 <= self.jitter <= MAX_JITTER:
            yield f"jitter {self.jitter:g} is not in 0…{MAX_JITTER:g}"
        if not 0 <= self.damping <= MAX_SECONDS:
            yield f"damping {self.damping:g} s is not in 0…{MAX_SECONDS:g} s"

    def values(self) -> dict[str, Any]:
        """Return the values by their names; of a check those that a service may say."""
        return {field.name: getattr(self, field.name) for field in fields(CheckDefaults)}


BUILT_IN: Final = CheckDefaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(CheckDefaults):
    """What all kinds have in common."""

    kind: ClassVar[str]
    uses_port: ClassVar[bool] = True
    needs_port: ClassVar[bool] = True

    port: int | None = None  # None: the backend's own

    def problems(self) -> Iterator[str]:
        """Say what is wrong with the values, a clause each."""
        yield from self.problems_in_common()

    def problems_in_common(self) -> Iterator[str]:
        """Say what is wrong with the values that are not of this kind alone."""
        if self.port is not None and not 1 <= self.port <= MAX_PORT:
            yield f"port {self.port} is not in 1…65535"
        yield from self.problems_of_defaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCheck(Check):
    """What those kinds have in common that open a socket: where it is from."""

    source: str | None = None  # an address of the node; None: as its routes say
    interface: str | None = None  # that all packets leave and come by; None: likewise

    def problems_in_common(self) -> Iterator[str]:
        """See :meth:`Check.problems_in_common`."""
        yield from Check.problems_in_common(self)
        if self.source is not None and not is_source(self.source):
            yield f"source {self.source!r} is not an address that a host can have"
        name = self.interface
        if name is not None and not (_INTERFACE.fullmatch(name) and name.isprintable()):
            yield f"interface {self.interface!r} is not the name of one, as `ip link` shows"


class Via(StrEnum):
    """By what way a probe gets to its backend."""

    BACKEND = "backend"  # to the backend's own address
    VIP = "vip"  # to the VIP, by the backend's MAC, as clients' packets do by direct return


@dataclass(frozen=True, slots=True, kw_only=True)
class PortCheck(NetworkCheck):
    """What those have in common that ask a port: by what way they get there."""

    via: Via = Via.BACKEND

    def problems_in_common(self) -> Iterator[str]:
        """See :meth:`Check.problems_in_common`."""
        yield from NetworkCheck.problems_in_common(self)
        if self.via is Via.VIP and self.interface is not None:
            yield "interface does not go with via: vip, which goes by the service's own way"
