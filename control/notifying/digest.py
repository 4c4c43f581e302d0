"""Changes summed up for one mail, in bounded memory. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Final

from control.notifying.changes import DOWN, Change, Subject
from control.notifying.settings import Severity

MAX_SUBJECTS: Final = 500  # that a mail has a line for


@dataclass(frozen=True, slots=True)
class Course:
    """What became of one subject."""

    first: Change
    last: Change
    changes: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """A mail, but for who writes to whom."""

    subject: str
    body: str


class Digest:
    """All that has changed since a mail was sent."""

    def __init__(self) -> None:
        self.courses: dict[Subject, Course] = {}
        self.others = 0  # changes of subjects that there was no room for

    @property
    def changes(self) -> int:
        """How many there were."""
        return sum(course.changes for course in self.courses.values()) + self.others

    def __bool__(self) -> bool:
        return bool(self.courses)

    def add(self, change: Change) -> None:
        """Sum up one more change."""
        course = Course(change, change, change.changes)
        self._put(change.subject, course)

    def followed_by(self, later: "Digest") -> "Digest":
        """Return this and a later one as one."""
        both = Digest()
        for digest in (self, later):
            for subject, course in digest.courses.items():
                both._put(subject, course)
            both.others += digest.others
        return both

    def text(self, node: str, zone: tzinfo) -> Text:
        """Return the mail from the host ``node``, with times of ``zone``."""
        courses = sorted(self.courses.items(), key=_worst_first)
        times = [c.time for _, one in courses for c in (one.first, one.last)]
        begin, end = (datetime.fromtimestamp(t, zone) for t in (min(times), max(times)))
        days = begin.date() != end.date()
        lines = [_line(subject, course, zone, days=days) for subject, course in courses]
        if self.others:
            lines.append(f"and {_counted(self.others)} of others: see `guideway status`")
        period = f"{begin:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S %Z}"
        head = f"{node}: {_counted(self.changes)}, {period}"
        return Text(self._headline(node, courses), "\n".join([head, "", *lines, ""]))

    def _headline(self, node: str, courses: list[tuple[Subject, Course]]) -> str:
        subject, course = courses[0]
        more = len(courses) - 1
        rest = f", and {more} more" if more or self.others else ""
        if self.others:
            rest = ", and many more"
        return f"[guideway {node}] {subject.title} is {course.last.after}{rest}"

    def _put(self, subject: Subject, course: Course) -> None:
        earlier = self.courses.get(subject)
        if earlier:
            count = earlier.changes + course.changes
            self.courses[subject] = replace(earlier, last=course.last, changes=count)
        elif len(self.courses) < MAX_SUBJECTS:
            self.courses[subject] = course
        else:
            self.others += course.changes


def worth(change: Change, least: Severity) -> bool:
    """Tell whether a change belongs into mails of that severity."""
    return change.severity >= least


def _worst_first(item: tuple[Subject, Course]) -> tuple[bool, int, float]:
    _, course = item
    last = course.last
    return last.after != DOWN, -last.severity, course.first.time


def _line(subject: Subject, course: Course, zone: tzinfo, *, days: bool) -> str:
    parts = list(_parts(course, zone, days=days))
    if course.changes > len(parts):
        parts.append(_counted(course.changes))
    return f"{subject.title}: {', '.join(parts)}"


def _parts(course: Course, zone: tzinfo, *, days: bool) -> Iterator[str]:
    told = [course.first] if course.last is course.first else [course.first, course.last]
    for change in told:
        at = datetime.fromtimestamp(change.time, zone)
        clock = f"{at:%Y-%m-%d %H:%M:%S}" if days else f"{at:%H:%M:%S}"
        reason = f" ({change.reason})" if change.reason else ""
        yield f"{change.after} {clock}{reason}"


def _counted(changes: int) -> str:
    return f"{changes} changes" if changes != 1 else "1 change"
