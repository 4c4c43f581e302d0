"""Plain values as YAML, by libyaml where it is there: listings may be long."""

from typing import Final

import yaml

_DUMPER: Final = type(
    "Dumper",
    (getattr(yaml, "CSafeDumper", yaml.SafeDumper),),
    {"ignore_aliases": lambda *_: True},  # what stands twice is written twice
)


def dump(plain: object) -> str:
    """Return ``plain`` as YAML, keys in their order."""
    return str(yaml.dump(plain, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
