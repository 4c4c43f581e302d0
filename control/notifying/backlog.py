"""Changes that a program has yet to be told: of each subject one, however many. Pure."""

from typing import Final

from control.notifying.changes import Change, Subject

MAX_WAITING: Final = 20_000  # subjects


class Backlog:
    """A queue in which a later change of a subject joins the one that waits."""

    def __init__(self) -> None:
        self._waiting: dict[Subject, Change] = {}
        self.dropped = 0  # changes that nobody will be told

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, change: Change) -> None:
        """Queue a change. What is again what it was when it was told last is no news."""
        subject = change.subject
        earlier = self._waiting.get(subject)
        if earlier is None:
            if len(self._waiting) >= MAX_WAITING:
                oldest = self._waiting.pop(next(iter(self._waiting)))
                self.dropped += oldest.changes
            self._waiting[subject] = change
            return
        both = earlier.followed_by(change)
        if both.after == both.before:
            del self._waiting[subject]
        else:
            self._waiting[subject] = both

    def put_back(self, change: Change) -> None:
        """Queue first what was taken and not told; what came meanwhile joins it."""
        later = self._waiting.pop(change.subject, None)
        both = change.followed_by(later) if later else change
        if both.after != both.before:
            self._waiting = {change.subject: both, **self._waiting}

    def forget(self, subject: Subject) -> None:
        """Have nothing of a subject wait any more."""
        self._waiting.pop(subject, None)

    def pop(self) -> Change | None:
        """Take the change whose subject waits for longest; None if nothing waits."""
        for subject in self._waiting:
            return self._waiting.pop(subject)
        return None
