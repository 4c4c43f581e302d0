"""Taking what is known out of a block, so that a note remains for everything else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

from control.importing.notes import Notes
from control.importing.statements import Statement

NO_EQUIVALENT: Final = "has no equivalent here; left out"
_TRUE: Final = ("on", "true", "yes")
_FALSE: Final = ("off", "false", "no")


@dataclass(slots=True)
class Body:
    """The statements of a block, each to be taken once."""

    block: Statement
    notes: Notes
    _left: list[Statement] = field(init=False)

    def __post_init__(self) -> None:
        self._left = list(self.block.body or ())

    def every(self, *keywords: str) -> list[Statement]:
        """Take all statements that begin with one of ``keywords``."""
        found = [one for one in self._left if one.keyword in keywords]
        self._left = [one for one in self._left if one.keyword not in keywords]
        return found

    def last(self, *keywords: str) -> Statement | None:
        """Take those statements and return the last one, which counts."""
        return next(reversed(self.every(*keywords)), None)

    def word(self, *keywords: str) -> str | None:
        """Take a setting of one word; None if it is not there."""
        found = self.last(*keywords)
        if found is None:
            return None
        if not found.arguments:
            self.note(found, "has no value; left out")
            return None
        return found.arguments[0]

    def flag(self, *keywords: str) -> bool | None:
        """Take a setting that is on without a value; None if it is not there."""
        found = self.last(*keywords)
        if found is None:
            return None
        said = found.arguments[0].lower() if found.arguments else "on"
        if said not in _TRUE + _FALSE:
            self.note(found, f"{found.arguments[0]!r} is neither on nor off; taken as on")
        return said not in _FALSE

    def number(self, *keywords: str, least: float, most: float) -> float | None:
        """Take a number within bounds, a whole one as such; None if there is none."""
        found = self.last(*keywords)
        if found is None:
            return None
        try:
            value = float(found.arguments[0])
        except (IndexError, ValueError):
            self.note(found, "has no number; left out")
            return None
        if not isfinite(value) or not least <= value <= most:
            self.note(found, f"{value:.10g} is not in {least:.10g}…{most:.10g}; left out")
            return None
        return int(value) if value == int(value) else value

    def whole(self, *keywords: str, least: int, most: int) -> int | None:
        """Take a whole number within bounds; None if there is none."""
        found = next((o for o in reversed(self._left) if o.keyword in keywords), None)
        value = self.number(*keywords, least=least, most=most)
        if found and isinstance(value, float):
            self.note(found, f"{value:g} is cut to {int(value)}")
        return None if value is None else int(value)

    def note(self, statement: Statement, sentence: str) -> None:
        """Keep a note of a statement."""
        self.notes.add(statement.place, statement.keyword, sentence)

    def rest(self, sentences: Mapping[str, str]) -> None:
        """Keep a note of everything that was not taken."""
        for one in self._left:
            self.note(one, sentences.get(one.keyword, NO_EQUIVALENT))
        self._left = []
