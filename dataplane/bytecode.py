"""A compiled program as a value: instructions, and the maps that they name.

The kernel wants maps named by file descriptors, which mean something in one process only.
Here an instruction that loads a map names it by its place in a list.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dataplane.libbpf import MapShape

_INSTRUCTION: Final = struct.Struct("<BBhi")  # struct bpf_insn: code, registers, off, imm
_LOAD_64: Final = 0x18  # BPF_LD | BPF_DW | BPF_IMM, of two instructions
_BY_DESCRIPTOR: Final = 1  # BPF_PSEUDO_MAP_FD, as its source register


@dataclass(frozen=True, slots=True)
class Bytecode:
    """One program; ``instructions`` name a map by its place in ``maps``."""

    instructions: bytes
    maps: tuple[tuple[str, MapShape], ...]

    @property
    def shapes(self) -> dict[str, MapShape]:
        """What its maps have to be, by name."""
        return dict(self.maps)

    def linked(self, descriptors: Mapping[str, int]) -> bytes:
        """Return the instructions for the maps behind these descriptors, by name."""
        names = enumerate(self.shapes)
        return _renamed(self.instructions, {at: descriptors[name] for at, name in names})


def unlinked(
    instructions: bytes, descriptors: Mapping[str, int], shapes: Mapping[str, MapShape]
) -> Bytecode:
    """Return the program whose ``instructions`` name maps by ``descriptors``."""
    names = sorted(descriptors)
    places = {descriptors[name]: place for place, name in enumerate(names)}
    maps = tuple((name, shapes[name]) for name in names)
    return Bytecode(_renamed(instructions, places), maps)


def _renamed(instructions: bytes, numbers: Mapping[int, int]) -> bytes:
    """Return ``instructions`` with each number of a map replaced by another."""
    renamed = bytearray(instructions)
    for at in _map_loads(instructions):
        code, registers, offset, number = _INSTRUCTION.unpack_from(instructions, at)
        _INSTRUCTION.pack_into(renamed, at, code, registers, offset, numbers[number])
    return bytes(renamed)


def _map_loads(instructions: bytes) -> Iterator[int]:
    """Yield where instructions load a map."""
    at = 0
    while at < len(instructions):
        code, registers, _, _ = _INSTRUCTION.unpack_from(instructions, at)
        if code == _LOAD_64 and registers >> 4 == _BY_DESCRIPTOR:
            yield at
        at += _INSTRUCTION.size * (2 if code == _LOAD_64 else 1)
