"""The one way by which the API changes the desired state, or says what that would do.

A change itself does not wait for anything, so that none comes between what was expected of
the state and what is made of it. What it does to flows is computed in a thread.
"""

import asyncio
from dataclasses import dataclass

from control.api.claims import source_of
from control.api.convert_difference import difference_to_pb
from control.api.identity import author_of
from control.api.status_codes import Context
from control.api.v1 import difference_pb2 as pb
from control.desired import DesiredState
from control.difference import foresee
from control.status import Observer
from control.store import Change, Store


@dataclass(frozen=True, slots=True)
class Terms:
    """How a change is to be made."""

    comment: str  # for the history
    dry_run: bool = False  # not at all: only say what it would do
    expected: int | None = None  # the version that it is made for; None: whichever
    confirm: float | None = None  # seconds, 1 to 86400, within which it is to be confirmed


@dataclass(frozen=True, slots=True)
class Step:
    """What a change made of the desired state, or would."""

    version: int  # now
    before: DesiredState
    after: DesiredState

    @property
    def is_none(self) -> bool:
        """Tell whether all was so already."""
        return self.before == self.after


class Changing:
    """Changes a store, or looks what would come of it."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store = store
        self._observer = observer

    def make(self, change: Change, terms: Terms, context: Context) -> Step:
        """Make a change that ``context`` asks for; raise as Store.update does."""
        before = self._store.state
        if terms.dry_run:
            after = self._store.preview(
                change, expected=terms.expected, confirm=terms.confirm
            )
            return Step(self._store.version, before, after)
        version = self._store.update(
            change,
            source=source_of(context),
            author=author_of(context),
            comment=terms.comment,
            expected=terms.expected,
            confirm=terms.confirm,
        )
        return Step(version, before, self._store.state)

    async def foresee(self, before: DesiredState, after: DesiredState) -> pb.Difference:
        """Return what differs, and what the step does to flows as things are now."""
        standing = self._observer.standing()
        return await asyncio.to_thread(
            lambda: difference_to_pb(foresee(before, after, standing))
        )
