"""Lines of keepalived's configuration as words: comments, quotes, escapes, braces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_COMMENT: Final = "!#"
_QUOTES: Final = "\"'"
_ESCAPE: Final = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,6})|c([@-_a-z?])|(.))", re.DOTALL
)
_NAMED: Final = dict(zip("abEfnrtv", "\a\b\x1b\f\n\r\t\v", strict=True))
_HALVES: Final = range(0xD800, 0xE000)  # of characters, in UTF-16
_BEYOND: Final = 0x110000


class QuoteError(Exception):
    """A quote begins and does not end on its line."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word without its quotes, or a brace that stands for itself."""

    text: str
    brace: bool = False


def uncommented(line: str) -> str:
    """Return ``line`` up to its comment, which begins at a ! or # outside of quotes."""
    quote, skip = "", False
    for place, character in enumerate(line):
        if skip:
            skip = False
        elif quote:
            skip = character == "\\"
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character in _COMMENT:
            return line[:place]
    return line


def tokens(line: str) -> Iterator[Token]:
    """Yield the tokens of a line without comment; raise QuoteError."""
    place = 0
    while place < len(line):
        if line[place].isspace():
            place += 1
            continue
        word, quoted, end = _word(line, place)
        yield from [Token(word)] if quoted else _apart(word)
        place = end


def _word(line: str, place: int) -> tuple[str, bool, int]:
    """Return the word from ``place`` on, whether it has quotes, and where it ends."""
    parts: list[str] = []
    quoted = False
    while place < len(line) and not line[place].isspace():
        if line[place] in _QUOTES:
            part, place = _quotation(line, place)
            parts.append(part)
            quoted = True
        else:
            parts.append(line[place])
            place += 1
    return "".join(parts), quoted, place


def _quotation(line: str, start: int) -> tuple[str, int]:
    parts: list[str] = []
    place = start + 1
    while place < len(line):
        if line[place] == line[start]:
            return "".join(parts), place + 1
        found = _ESCAPE.match(line, place)
        parts.append(_escaped(found) if found else line[place])
        place = found.end() if found else place + 1
    raise QuoteError


def _escaped(found: re.Match[str]) -> str:
    octal, hexadecimal, control, other = found.groups()
    if octal:
        return chr(int(octal, 8))
    if hexadecimal:
        return _character(int(hexadecimal, 16))
    if control:
        return chr(ord(control.upper()) ^ 0x40)
    return _NAMED.get(other, other)


def _character(number: int) -> str:
    return "?" if number in _HALVES or number >= _BEYOND else chr(number)


def _apart(word: str) -> Iterator[Token]:
    """Yield a word and the braces that stick to it: ``group{``, ``}``."""
    while word.startswith(("{", "}")):
        yield Token(word[0], brace=True)
        word = word[1:]
    ending = []
    while word.endswith("{"):
        ending.append(Token("{", brace=True))
        word = word[:-1]
    if word:
        yield Token(word)
    yield from ending
