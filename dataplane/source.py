"""The program's text as BCC gets it.

BCC translates ``map.lookup()`` in the main file only, so quoted includes are pasted in
place, with ``#line`` so that errors still name the header. The text is also what makes two
programs the same: its digest names the pins.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

BPF_DIRECTORY: Final = Path(__file__).parent / "bpf"
# Maps that packets fill: what these have taught is to outlive the program.
LEARNT: Final = ("records", "fragments")
_MAIN: Final = "balancer.c"
_INCLUDE: Final = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many entries the maps have."""

    services: int = 1024
    backends: int = 16384
    slots: int = 8_388_608
    records: int = 1_048_576


def source(limits: Limits, shared: Mapping[str, Path] | None = None) -> str:
    """Return the whole program for maps of these sizes.

    ``shared`` says where maps of ``LEARNT`` are pinned that this program is to share with
    another one; it gets new ones of the others.
    """
    defines = [
        f"#define LIMIT_{name.upper()} {value}" for name, value in asdict(limits).items()
    ]
    for name in LEARNT:
        # BCC opens what is pinned at the path behind the colon.
        pinned = f":{shared[name]}" if shared and name in shared else ""
        defines.append(f"#define TYPE_{name.upper()} {_quoted(f'lru_hash{pinned}')}")
    return "\n".join((*defines, _paste(_MAIN)))


def digest(text: str) -> str:
    """Return what names this program among others: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _quoted(text: str) -> str:
    """Return a string literal of C."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _paste(name: str) -> str:
    text = (BPF_DIRECTORY / name).read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 2  # the line after the include
        return f'{_paste(match[1])}#line {line} "{name}"'

    return f'#line 1 "{name}"\n{_INCLUDE.sub(included, text)}'
