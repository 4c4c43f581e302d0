"""What keepalived does to lines before it looks at their words.

Comments go, ``@id`` lines stay or go, ``$NAME=`` defines and ``$NAME`` is replaced, and
``include`` brings other files. All of it has bounds: the text is anybody's.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from posixpath import dirname
from typing import Final

from control.importing.notes import Notes, Place, RefusedError
from control.importing.tokens import uncommented

Include = Callable[[str, str], list[tuple[str, str]]]  # pattern, by whom: names and texts

MAX_LINES: Final = 200_000  # after replacing
MAX_LINE: Final = 65_536  # characters
MAX_DEPTH: Final = 16  # of files that include files
_MOST_REPLACED: Final = 1000  # in a line
_MOST_WORK: Final = 32 << 20  # characters that were looked at to replace some
_DEFINITION: Final = re.compile(r"\s*\$([A-Za-z_]\w*)=(.*)", re.DOTALL)
_CONDITION: Final = re.compile(r"\s*@(\^?)(\S+)\s*(.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r"\$\{(\w+)\}|\$(\w+)(?=\s|\Z)")
_INCLUDE: Final = re.compile(r"\s*(include[abmrw]*)\s+(.+?)\s*", re.DOTALL)
_BLOCKS: Final = ("~SEQ", "~LST")


@dataclass(frozen=True, slots=True)
class Line:
    """A line as keepalived sees it."""

    place: Place
    text: str


@dataclass(slots=True)
class Lines:
    """Reads one configuration."""

    include: Include
    identity: str  # what ``@id`` is compared with
    notes: Notes
    _defined: dict[str, str] = field(default_factory=dict)
    _count: int = 0
    _work: int = 0

    def of(self, name: str, text: str, depth: int = 0) -> Iterator[Line]:
        """Yield the lines of a file called ``name``; raise RefusedError."""
        if depth > MAX_DEPTH:
            raise RefusedError(name, f"is included more than {MAX_DEPTH} files deep")
        collecting, value = "", list[str]()
        for number, raw in enumerate(text.splitlines(), 1):
            place = Place(name, number)
            line = uncommented(raw).rstrip()
            if len(line) > MAX_LINE:
                raise RefusedError(place, f"the line has more than {MAX_LINE} characters")
            if not line.strip():
                continue
            if not collecting:
                found = _DEFINITION.fullmatch(line)
                if not found or found[2].strip() != "\\":
                    yield from self._expanded(Line(place, line), depth)
                    continue
                collecting, value = found[1], []
                continue
            value.append(line.removesuffix("\\").rstrip())
            if not line.endswith("\\"):
                self._defined[collecting] = "\n".join(value)
                collecting = ""
        if collecting:
            self._defined[collecting] = "\n".join(value)

    def _expanded(self, line: Line, depth: int) -> Iterator[Line]:
        """Yield what becomes of a line: nothing, itself, or many."""
        pending = [line.text]
        while pending:
            text = pending.pop()
            self._count += 1
            if self._count > MAX_LINES:
                raise RefusedError(line.place, f"this makes more than {MAX_LINES} lines")
            if found := _CONDITION.fullmatch(text):
                if (found[2] == self.identity) != bool(found[1]):
                    pending.append(found[3])
            elif found := _DEFINITION.fullmatch(text):
                self._defined[found[1]] = found[2].strip()
            elif (replaced := self._replaced(line.place, text)) != text:
                pending.extend(reversed(replaced.split("\n")))
            elif text.lstrip().startswith(_BLOCKS):
                why = "such blocks are not expanded: write the lines out; left out"
                self.notes.add(line.place, text.split()[0], why)
            elif found := _INCLUDE.fullmatch(text):
                yield from self._included(line.place, found[1], found[2], depth)
            else:
                yield Line(line.place, text)

    def _replaced(self, place: Place, text: str) -> str:
        if "$" not in text:
            return text
        known = self._defined | {
            "_PWD": dirname(place.file) or ".",
            "_INSTANCE": self.identity,
        }
        for _ in range(_MOST_REPLACED):
            found = next((f for f in _PARAMETER.finditer(text) if _name(f) in known), None)
            if found is None:
                return text
            text = text[: found.start()] + known[_name(found)] + text[found.end() :]
            self._work += len(text)
            if len(text) > MAX_LINE or self._work > _MOST_WORK:
                break
            if "\n" in text:
                return text  # the parameters in it are replaced line by line
        raise RefusedError(place, "replacing its parameters does not come to an end")

    def _included(
        self, place: Place, keyword: str, pattern: str, depth: int
    ) -> Iterator[Line]:
        files = self.include(pattern.strip("\"'"), place.file)
        if not files:
            self.notes.add(place, keyword, f"{pattern} names no file")
        for name, text in files:
            yield from self.of(name, text, depth + 1)


def _name(found: re.Match[str]) -> str:
    return found[1] or found[2]
