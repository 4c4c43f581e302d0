"""Keys that stand twice in a mapping: PyYAML would silently drop the first. Pure."""

from typing import Final

import yaml

_SHOWN: Final = 100  # characters of a key


def refuse_twins(node: yaml.MappingNode) -> None:
    """Raise yaml.constructor.ConstructorError, with its line, if a key stands twice."""
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue  # a list, say, which PyYAML refuses as a key
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"{key.value[:_SHOWN]!r} stands here twice",
                problem_mark=key.start_mark,
            )
        seen.add(key.value)
