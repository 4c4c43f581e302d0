"""``abi.h`` and ``decision.h`` as Python sees them.

Nothing here repeats a size, an offset or a number.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from cffi import FFI

from dataplane.source import BPF_DIRECTORY

PROGRAM: Final = "balancer"
MAPS: Final = (
    "gates",
    "directory",
    "endpoints",
    "slots",
    "records",
    "replies",
    "backends",
    "fragments",
    "direct",
    "traces",
    "ways",
    "handshakes",
    "ports",
    "vlans",
    "stations",
    "transmit_ports",
    "reason_counters",
    "service_counters",
    "backend_counters",
    "handshake_counters",
)
# What the program writes itself, or guideway-vrrpd, and no controller could fill in again:
# the program's successor goes on with these.
KEPT_MAPS: Final = (
    "stations",
    "records",
    "replies",
    "fragments",
    "reason_counters",
    "service_counters",
    "backend_counters",
    "handshake_counters",
)

_TEXT: Final = (BPF_DIRECTORY / "abi.h").read_text(encoding="utf-8")
# cffi has no type of the wire's byte order; records.py swaps such fields.
_KERNEL_TYPES: Final = """
typedef uint8_t __u8; typedef uint16_t __u16;
typedef uint32_t __u32; typedef uint64_t __u64;
typedef uint16_t __be16; typedef uint32_t __be32;
"""

ffi: Final = FFI()
_DECISION: Final = (BPF_DIRECTORY / "decision.h").read_text(encoding="utf-8")
ffi.cdef(_KERNEL_TYPES + _TEXT + _DECISION)
constants: Final[Any] = ffi.dlopen(None)

VERSION: Final[int] = constants.GW_ABI_VERSION
PORTS: Final[int] = constants.GW_PORTS
VLANS: Final[int] = constants.GW_VLANS
NO_BACKEND_ID: Final[int] = constants.GW_NO_BACKEND_ID
RECORDS_ONLY: Final[int] = constants.GW_RECORDS_ONLY


class Verdict(Enum):
    """What a reason means for the packet."""

    FORWARD = "forward"
    PASS = "pass"  # noqa: S105 - not a password
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a packet left the program: a member of ``enum gw_reason`` and its comment."""

    number: int
    name: str  # in lower case, without the prefix
    verdict: Verdict
    meaning: str  # a sentence for the operator


def _reasons() -> tuple[Reason, ...]:
    body = re.search(r"enum gw_reason \{(.*?)\};", _TEXT, re.DOTALL)
    assert body is not None  # noqa: S101 - cffi has parsed the same text
    lines = re.findall(r"GW_(\w+), +/\* (\w+): (.*?) \*/", body[1])
    return tuple(
        Reason(getattr(constants, f"GW_{name}"), name.lower(), Verdict(verdict), meaning)
        for name, verdict, meaning in lines
    )


REASONS: Final = _reasons()


def sizeof(struct: str) -> int:
    """Return the bytes of ``struct gw_…``."""
    return ffi.sizeof(f"struct {struct}")
