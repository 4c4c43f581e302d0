"""Where in a YAML text a value stands, for a sentence about it. Pure.

It is asked for when something is wrong with a text that has been read before: reading it
once more costs nobody anything then, and keeps lines out of everything else.
"""

import re
from dataclasses import dataclass
from typing import Final

import yaml

_Loader = yaml.CSafeLoader | yaml.SafeLoader
_STEP: Final = re.compile(r"(\w+)|\[(\d+)\]")
_KEY: Final = re.compile(r"`(\w+)`")  # as sentences have one that is in the file
_LABELS: Final = ("name", "address", "type")  # by which an operator knows an entry
_LONGEST: Final = 63  # characters of a label


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a text."""

    line: int  # from 1 on; 0: the text as a whole
    words: str = ""  # such as services[3] (web), backends[0] (b1), port; "": likewise

    def within(self, name: str) -> str:
        """Return the place as compilers spell it; ``name`` is the text's."""
        return f"{name}:{self.line}" if self.line else name


def located(
    text: str,
    name: str,
    path: str,
    problem: str,
    loader: type[_Loader] = yaml.CSafeLoader,
) -> tuple[str, str]:
    """Return where the value at ``path`` of a text called ``name`` is, and a sentence.

    That is ``problem`` with the place in words; a key that it names is where the line is.
    See :func:`place_of`.
    """
    key = _KEY.search(problem)
    place = place_of(text, path, key[1] if key else "", loader)
    return place.within(name), f"{place.words}: {problem}" if place.words else problem


def place_of(
    text: str, path: str, key: str = "", loader: type[_Loader] = yaml.CSafeLoader
) -> Place:
    """Return the place at ``path``, such as ``services[3].port``, of a text that is YAML.

    If ``key`` is a key there, the line is that one's. Where the path leads to nothing, the
    line is that of the last value on the way. Who must not stand still meanwhile has a
    ``loader`` in Python, which is slower.
    """
    node: yaml.Node | None = yaml.compose(text, Loader=loader)
    line, words = 0, list[str]()
    for step in _STEP.finditer(path):
        name, number = step.groups()
        if number is None:
            words.append(name)
            line, node = _member(node, name, line)
        elif words:
            line, node = _item(node, int(number), line)
            words[-1] += f"[{number}]{_label(node)}"
    if key:
        line, _ = _member(node, key, line)
    return Place(line, ", ".join(words))


def _member(
    node: yaml.Node | None, name: str, otherwise: int
) -> tuple[int, yaml.Node | None]:
    """Return the line of a mapping's key and its value; ``otherwise``, if it has none."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == name:
            return _line(key), value
    return otherwise, None


def _item(
    node: yaml.Node | None, number: int, otherwise: int
) -> tuple[int, yaml.Node | None]:
    """Return the line of a sequence's item and the item; ``otherwise``, if it has none."""
    if isinstance(node, yaml.SequenceNode) and number < len(node.value):
        return _line(node.value[number]), node.value[number]
    return otherwise, None


def _label(node: yaml.Node | None) -> str:
    for label in _LABELS:
        match _member(node, label, 0)[1]:
            case yaml.ScalarNode(value=str(said)) if said.isprintable() and said:
                return f" ({said[:_LONGEST]})"
    return ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
