"""What an import has to say of single lines, and why it may stop."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file; of an included one, by its own name."""

    file: str
    line: int  # from 1 on

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Note:
    """That a line has no equivalent, or means something else here."""

    place: Place
    keyword: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {printable(self.keyword)}: {printable(self.sentence)}"


class RefusedError(Exception):
    """There is nothing to import; the message is one sentence."""

    def __init__(self, place: Place | str, problem: str) -> None:
        super().__init__(f"{place}: {printable(problem)}")


@dataclass(slots=True)
class Notes:
    """Notes in the order of the file; the same one is kept once."""

    _kept: dict[Note, None] = field(default_factory=dict)

    def add(self, place: Place, keyword: str, sentence: str) -> None:
        """Keep a note of ``place``."""
        self._kept[Note(place, keyword, sentence)] = None

    def __iter__(self) -> Iterator[Note]:
        return iter(sorted(self._kept, key=lambda note: note.place))


def printable(text: str) -> str:
    """Return ``text`` on one line that does nothing to a terminal."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
