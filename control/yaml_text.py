"""Reading YAML that nobody vouches for: in bounded time and memory, or refused.

libyaml parses several times as fast as PyYAML does by itself, but deeply nested data would
overflow the stack. So the text's events are counted first, aliases with all that they stand
for; what is refused there has cost next to nothing.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import IO, Any, Final, NoReturn

import yaml

from control.errors import ConfigError
from mistakes.keys import refuse_twins

MAX_BYTES: Final = 8 << 20  # a hundred thousand backends
MAX_DEPTH: Final = 32  # collections within collections; a configuration has 7
MAX_NODES: Final = 2_000_000  # values and keys, those that aliases stand for too
_MAX_NUMBER: Final = 40  # characters; PyYAML computes 1:59:59… in quadratic time


class _StrictLoader(yaml.CSafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT002
    ) -> dict[Hashable, Any]:
        refuse_twins(node)
        return super().construct_mapping(node, deep)


def _int(loader: _StrictLoader, node: yaml.ScalarNode) -> int:
    return loader.construct_yaml_int(_short(node))


def _float(loader: _StrictLoader, node: yaml.ScalarNode) -> float:
    return loader.construct_yaml_float(_short(node))


def _short(node: yaml.ScalarNode) -> yaml.ScalarNode:
    if len(node.value) > _MAX_NUMBER:
        problem = f"a number of {len(node.value)} characters; put text in quotes"
        raise yaml.constructor.ConstructorError(
            problem=problem, problem_mark=node.start_mark
        )
    return node


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _int)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _float)


def read_text(path: Path) -> str:
    """Return what the file at ``path`` has; raise ConfigError if it is no text or long."""
    try:
        with path.open("rb") as file:
            return read_stream(file, str(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(str(path), f"cannot be read: {reason}") from error


def read_stream(file: IO[bytes], name: str) -> str:
    """Return the rest of ``file``, which is called ``name``; as :func:`read_text`."""
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        _refuse_length(name)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(name, "cannot be read: it is not UTF-8") from error


def parse_yaml(text: str, name: str) -> Any:
    """Return the plain values of a YAML text called ``name``; raise ConfigError."""
    if len(text) > MAX_BYTES:
        _refuse_length(name)
    try:
        _check_extent(text, name)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = f"not YAML: {error.problem}{_remedy(str(error.problem))}"
        raise ConfigError(f"{name}{line}", problem) from error
    except yaml.YAMLError as error:
        sentence = " ".join(str(error).split())  # PyYAML writes two lines
        raise ConfigError(name, f"not YAML: {sentence}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # PyYAML's way of saying that a value is not of the kind that it looks like.
        sentence = " ".join(str(error).split())
        raise ConfigError(name, f"not YAML that can be read: {sentence}") from error


class _Extent:
    """How deep and how much a text is, counted by its events."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []  # anchor, and nodes before it
        self._sizes: dict[str | None, int] = {}  # nodes that an anchor stands for
        self._nodes = 0

    def add(self, event: yaml.Event) -> str:
        """Count ``event``; say what is wrong with it, or ""."""
        match event:
            case yaml.AliasEvent(anchor=anchor):
                if any(anchor == one for one, _ in self._open):
                    return f"*{anchor} stands within what it stands for"
                self._nodes += self._sizes.get(anchor, 1)  # the composer misses anchors
            case yaml.ScalarEvent(anchor=anchor):
                self._nodes += 1
                self._sizes[anchor] = 1
            case yaml.CollectionStartEvent(anchor=anchor):
                self._open.append((anchor, self._nodes))
                self._nodes += 1
            case yaml.CollectionEndEvent():
                anchor, before = self._open.pop()
                self._sizes[anchor] = self._nodes - before
            case _:
                pass
        if len(self._open) > MAX_DEPTH:
            return f"is nested more than {MAX_DEPTH} levels deep"
        if self._nodes > MAX_NODES:
            return f"has more than {MAX_NODES:,} values, aliases counted"
        return ""


def _check_extent(text: str, name: str) -> None:
    """Refuse text that would become too deep or too much; raise ConfigError."""
    extent = _Extent()
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if problem := extent.add(event):
            line = f":{event.start_mark.line + 1}" if event.start_mark else ""
            raise ConfigError(f"{name}{line}", problem)


def _refuse_length(name: str) -> NoReturn:
    raise ConfigError(name, f"has more than {MAX_BYTES >> 20} MiB; no configuration does")


def _remedy(problem: str) -> str:
    """Say of PyYAML's and libyaml's sentences about tabs what to do."""
    has_tab = "'\\t'" in problem or "character that cannot start any token" in problem
    return "; indent by spaces" if has_tab else ""
