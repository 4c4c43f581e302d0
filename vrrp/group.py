"""Sync groups: instances that are Active together or not at all. No sockets, no tasks."""

from collections.abc import Iterable
from typing import Protocol

from vrrp.machine import State, VirtualRouter


class Member(Protocol):
    """An instance, as its group sees it."""

    @property
    def name(self) -> str:
        """What the operator calls it."""

    @property
    def router(self) -> VirtualRouter:
        """Its state machine."""

    @property
    def fit(self) -> bool:
        """Whether nothing of its own keeps it from taking part."""

    @property
    def known(self) -> bool:
        """Whether it has been found out if it is fit."""

    def lead(self) -> None:
        """Become Active now."""

    def follow(self, why: str) -> None:
        """Give the addresses up now; ``why`` is for people."""

    def look_around(self) -> None:
        """Ask the group whether to rest: somebody's fitness has changed."""


class Group:
    """The members' agreement.

    One that has to rest lets all rest; one that yields lets all yield; and one that would
    take over waits until all would.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._members: list[Member] = []
        self._yielding = False

    def join(self, members: Iterable[Member]) -> None:
        """Let these be the members."""
        self._members = list(members)

    def problem_of(self, one: Member) -> str:
        """Return why ``one`` has to rest for the others' sake; empty: it need not."""
        unfit = [each.name for each in self._members if each is not one and not each.fit]
        return f"sync group {self.name}: {', '.join(unfit)} at rest" if unfit else ""

    @property
    def known(self) -> bool:
        """Whether it has been found out of everybody if he is fit."""
        return all(each.known for each in self._members)

    def fitness_changed(self) -> None:
        """Let everybody draw the consequence."""
        for each in self._members:
            each.look_around()

    def yielded(self, one: Member) -> None:
        """Let the others give up their addresses as well."""
        if self._yielding:
            return  # it does so for the sake of another
        why = f"along with {one.name}: {one.router.reason or 'it takes part no more'}"
        self._yielding = True
        for each in self._members:
            if each is not one and each.router.state is State.ACTIVE:
                each.follow(why)
        self._yielding = False

    def settle(self) -> None:
        """Let those lead who want to, if nobody stands back."""
        ready = all(
            each.router.state is State.ACTIVE or each.router.wants for each in self._members
        )
        if ready:
            for each in self._members:
                if each.router.wants:
                    each.lead()
