"""The program's text as BCC gets it.

BCC translates ``map.lookup()`` in the main file only, so quoted includes are pasted in
place, with ``#line`` so that errors still name the header. The text is also what makes two
programs the same: its digest names the pins.
"""

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

BPF_DIRECTORY: Final = Path(__file__).parent / "bpf"
_MAIN: Final = "balancer.c"
_PROBES: Final = "probes.c"
SPARE_ENDPOINTS: Final = 1024
# So that not even in a full directory a key finds the 8 places of its search taken.
_SPARSITY: Final = 32
_INCLUDE: Final = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
_VERSION: Final = re.compile(r"^#define GW_ABI_VERSION (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many entries the maps have."""

    services: int = 1024
    backends: int = 16384
    slots: int = 8_388_608
    records: int = 1_048_576
    replies: int = 65_536

    @property
    def endpoints(self) -> int:
        """Entries of the directory: VIPs, services, NAT backends, and spare ones.

        What changes gets a new place. When there is none left, old ones are waited for.
        """
        return 2 * self.services + self.backends + SPARE_ENDPOINTS

    @property
    def directory(self) -> int:
        """Words of the directory, a power of two; so sparse that searches are short."""
        return 1 << (_SPARSITY * self.endpoints - 1).bit_length()


def source(limits: Limits, *, dry_run: bool = False) -> str:
    """Return the whole program for maps of these sizes.

    A ``dry_run`` of it decides likewise, but leaves no trace in the maps, and notes what it
    decided in one that the other does not have (``bpf/dry_run.h``). It is for the maps of
    the other: those that it declares itself are as small as can be.
    """
    sizes = dict.fromkeys(asdict(limits), 1) if dry_run else asdict(limits)
    sizes |= {"endpoints": 1 if dry_run else limits.endpoints}
    sizes |= {"directory": limits.directory}  # it goes by that
    defines = "".join(
        f"#define LIMIT_{name.upper()} {value}\n" for name, value in sizes.items()
    )
    return f"{defines}#define DRY_RUN {dry_run:d}\n{_paste(_MAIN)}"


def probes_source() -> str:
    """Return the whole program that probes go to VIPs by."""
    return _paste(_PROBES)


def digest(text: str) -> str:
    """Return what names this program among others: 16 hexadecimal digits."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def abi_version(text: str) -> int:
    """Return the GW_ABI_VERSION of a program's text."""
    found = _VERSION.search(text)
    assert found is not None  # noqa: S101 - cffi has read the same header
    return int(found[1])


def _paste(name: str) -> str:
    text = (BPF_DIRECTORY / name).read_text(encoding="utf-8")

    def included(match: re.Match[str]) -> str:
        line = text.count("\n", 0, match.start()) + 2  # the line after the include
        return f'{_paste(match[1])}#line {line} "{name}"'

    return f'#line 1 "{name}"\n{_INCLUDE.sub(included, text)}'
