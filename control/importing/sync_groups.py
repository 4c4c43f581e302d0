"""keepalived's VRRP sync groups: instances that are made alike where they have to be."""

from collections.abc import Mapping
from typing import Any, Final

from control.importing.body import Body
from control.importing.notes import Notes
from control.importing.routers import SENTENCES, Router, notify_of
from control.importing.statements import Statement
from control.importing.tracked import TRACKS, Checks, plain_name

_SENTENCES: Final[Mapping[str, str]] = {
    "global_tracking": "what one member tracks counts for all here, always; left out",
}


class Group:
    """A vrrp_sync_group."""

    def __init__(self, block: Statement, checks: Checks, notes: Notes) -> None:
        body = Body(block, notes)
        self._block, self._notes = block, notes
        self.weighted = bool(body.flag("sync_group_tracking_weight"))
        self.members = [
            plain_name(word)
            for inner in body.every("group")
            for one in inner.body or ()
            for word in (one.keyword, *one.arguments)
        ]
        self._tracked = checks.tracks(body.every(*TRACKS), weighted=True)
        self._notify = notify_of(body, checks.user)
        body.rest({**SENTENCES, **_SENTENCES})

    def joined(self, routers: Mapping[str, Router]) -> dict[str, Any] | None:
        """Return the group as a file has it, its members made alike where they have to be.

        None if it has less than two.
        """
        members = [
            name
            for name in dict.fromkeys(self.members)
            if name in routers and not routers[name].grouped
        ]
        for name in self.members:
            if name not in members:
                self._note(f"{name} is no instance, or in a group already; left out")
        if len(members) < 2:  # noqa: PLR2004
            self._note("has less than two instances; left out")
            return None
        first = routers[members[0]]
        every = self._tracked | {}
        for name in members:
            for check, weight in routers[name].tracked.items():
                every.setdefault(check, weight)
        for name in members:
            routers[name].grouped = True
            routers[name].tracked = every
            self._align(first, routers[name])
        name = plain_name((self._block.arguments or ("_",))[0])
        group: dict[str, Any] = {"name": name, "instances": members}
        return group | ({"notify": self._notify} if self._notify else {})

    def _align(self, first: Router, other: Router) -> None:
        for key in ("priority", "preempt", "preempt_delay"):
            wanted = first.values.get(key)
            if other.values.get(key) == wanted:
                continue
            other.values.pop(key, None)
            if wanted is not None:
                other.values[key] = wanted
            one, two = (router.values["name"] for router in (first, other))
            self._note(f"instances of a group have equal {key}: {two} gets that of {one}")

    def _note(self, sentence: str) -> None:
        self._notes.add(self._block.place, self._block.keyword, sentence)
