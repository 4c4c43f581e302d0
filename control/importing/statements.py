"""keepalived's configuration as a tree: keywords, arguments, and what is in braces."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from control.importing.lines import Line
from control.importing.notes import Place, RefusedError
from control.importing.tokens import QuoteError, Token, tokens

MAX_NESTING: Final = 16


@dataclass(frozen=True, slots=True)
class Statement:
    """A keyword; a block has a body, if only an empty one."""

    place: Place
    keyword: str
    arguments: tuple[str, ...] = ()
    body: tuple["Statement", ...] | None = None


@dataclass(slots=True)
class _Open:
    place: Place
    words: list[str]
    body: list["_Open"] | None = None

    def closed(self) -> Statement:
        body = None if self.body is None else tuple(one.closed() for one in self.body)
        return Statement(self.place, self.words[0], tuple(self.words[1:]), body)


def statements(lines: Iterable[Line]) -> tuple[Statement, ...]:
    """Return the tree of a whole configuration; raise RefusedError."""
    root: list[_Open] = []
    blocks: list[tuple[_Open, list[_Open]]] = []  # that are open, with what they are in
    inside = root
    for line in lines:
        current: _Open | None = None
        for token in _tokens(line):
            if not token.brace:
                if current is None:
                    current = _Open(line.place, [])
                    inside.append(current)
                current.words.append(token.text)
            elif token.text == "{":
                owner = _owner(inside, line.place)
                if len(blocks) == MAX_NESTING:
                    raise RefusedError(
                        line.place, f"blocks are more than {MAX_NESTING} deep"
                    )
                blocks.append((owner, inside))
                owner.body = inside = []
                current = None
            else:
                if not blocks:
                    raise RefusedError(line.place, "a } closes nothing")
                inside = blocks.pop()[1]
                current = None
    if blocks:
        raise RefusedError(blocks[-1][0].place, "the block that begins here has no end")
    return tuple(one.closed() for one in root)


def _owner(inside: list[_Open], place: Place) -> _Open:
    """Return what a { belongs to: the statement before, if that has no body yet."""
    if not inside or inside[-1].body is not None:
        raise RefusedError(place, "a { has no keyword before it")
    return inside[-1]


def _tokens(line: Line) -> list[Token]:
    try:
        return list(tokens(line.text))
    except QuoteError:
        raise RefusedError(line.place, "a quote is not closed") from None
