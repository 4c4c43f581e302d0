"""What people are told: that something is not what it was said to be last. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from control.events import (
    BackendChanged,
    DataPlaneChanged,
    Event,
    PlaneChange,
    ServingChanged,
    VrrpChanged,
)
from control.model import Backend, Service
from control.notifying.settings import Occasion, Program, Severity
from control.status import Health

UP: Final = "up"
DOWN: Final = "down"
_MAX_REASON: Final = 200  # characters


class Kind(StrEnum):
    """What may become something else."""

    BACKEND = "backend"
    SERVICE = "service"
    VRRP = "vrrp"
    DATA_PLANE = "data-plane"


@dataclass(frozen=True, slots=True)
class Subject:
    """What has become something else."""

    kind: Kind
    service: str = ""  # of a service or backend
    name: str = ""  # of a backend, or of an instance of VRRP

    @property
    def title(self) -> str:
        """What people call it."""
        match self.kind:
            case Kind.BACKEND:
                return f"{self.service}/{self.name}"
            case Kind.SERVICE:
                return self.service
            case Kind.VRRP:
                return f"VRRP {self.name}"
            case Kind.DATA_PLANE:
                return "the data plane"


@dataclass(frozen=True, slots=True)
class Change:
    """That it was one thing and is another now."""

    subject: Subject
    before: str  # "up" or "down"; of VRRP, as its status file has it
    after: str
    reason: str
    time: float  # Unix time
    version: int = 0  # of the desired state
    changes: int = 1  # how many there were from the one to the other
    service: Service | None = None  # None: it is gone, or there is none to it
    backend: Backend | None = None
    priority: int = 0  # of VRRP

    @property
    def occasion(self) -> Occasion:
        """What a program has to ask for to be told of it."""
        match self.subject.kind, self.after:
            case Kind.BACKEND, "up":
                return Occasion.BACKEND_UP
            case Kind.BACKEND, _:
                return Occasion.BACKEND_DOWN
            case Kind.SERVICE, "up":
                return Occasion.SERVICE_UP
            case Kind.SERVICE, _:
                return Occasion.SERVICE_DOWN
            case Kind.VRRP, _:
                return Occasion.VRRP
            case _:
                return Occasion.DATA_PLANE

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        every = self.subject.kind in (Kind.SERVICE, Kind.DATA_PLANE)
        return Severity.CRITICAL if every else Severity.WARNING

    def followed_by(self, later: Self) -> Self:
        """Return this and a later one of the same subject as one."""
        return replace(later, before=self.before, changes=self.changes + later.changes)


def concerns(program: Program, subject: Subject) -> bool:
    """Tell whether a program may want to know of a subject."""
    if not program.services and not program.backends:
        return True
    if program.services and subject.service not in program.services:
        return False
    if program.backends and subject.kind is Kind.BACKEND:
        return subject.name in program.backends
    return bool(subject.service)


class Known:
    """What everything was said to be last; what nothing was said of is up."""

    def __init__(self, states: Mapping[Subject, str] | None = None) -> None:
        self.states = dict(states or {})  # of VRRP, and of what is not up

    def learn(self, event: Event) -> Change | None:
        """Return what is news of an event, if anything is."""
        match event.what:
            case BackendChanged(health=Health.UP | Health.DOWN) as what:
                subject = Subject(Kind.BACKEND, what.service, what.backend)
                return self._news(event, subject, what.health.value, what.reason)
            case ServingChanged() as what:
                subject = Subject(Kind.SERVICE, what.service)
                return self._news(event, subject, UP if what.serves else DOWN, what.reason)
            case DataPlaneChanged() as what:
                bad = what.change in (PlaneChange.DETACHED, PlaneChange.FAILING)
                detached = what.change is PlaneChange.DETACHED
                reason = "it is detached: nothing is balanced" if detached else what.reason
                subject = Subject(Kind.DATA_PLANE)
                return self._news(event, subject, DOWN if bad else UP, reason)
            case VrrpChanged() as what:
                subject = Subject(Kind.VRRP, name=what.instance)
                after = what.state or "gone"
                change = self._news(event, subject, after, what.reason)
                return replace(change, priority=what.priority) if change else None
            case _:
                return None

    def untell(self, change: Change) -> None:
        """Take back that this was said: whoever compares next says it again."""
        if change.before == UP:
            self.states.pop(change.subject, None)
        else:
            self.states[change.subject] = change.before

    def forget(self, services: Mapping[str, Collection[str]]) -> None:
        """Keep nothing of services and backends that are not there any more."""
        for subject in [s for s in self.states if s.service]:
            backends = services.get(subject.service)
            if backends is None or (subject.name and subject.name not in backends):
                del self.states[subject]

    def _news(
        self, event: Event, subject: Subject, after: str, reason: str
    ) -> Change | None:
        vrrp = subject.kind is Kind.VRRP
        before = self.states.get(subject, after if vrrp else UP)
        if after == UP:
            self.states.pop(subject, None)
        else:
            self.states[subject] = after
        if after == before:
            return None
        return Change(subject, before, after, reason[:_MAX_REASON], event.time)
