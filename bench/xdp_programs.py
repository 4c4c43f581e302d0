"""Small XDP programs of our own, compiled by BCC and loaded.

They are loaded as dataplane loads the balancer, for the same kind of attachment: a link
swaps, and a program array holds, programs of one kind only.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import finalize

from bcc import BPF

from dataplane import headers, libbpf
from dataplane.records import Index


class Programs:
    """The programs and maps of one source file; they go with this object."""

    def __init__(self, source: Path, **defines: int) -> None:
        """Compile ``source`` with these preprocessor constants."""
        flags = [f"-D{name}={value}" for name, value in defines.items()]
        text = source.read_text(encoding="utf-8")
        with headers.tree() as tree:
            os.environ["BCC_KERNEL_SOURCE"] = str(tree)
            self._module: Any = BPF(text=text, cflags=flags)

    def load(self, name: str) -> int:
        """Return the descriptor of the program that the function ``name`` is."""
        instructions = self._module.dump_func(name.encode())
        program = libbpf.program_load(name, instructions)
        finalize(self, os.close, program)
        return program

    def map(self, name: str) -> int:
        """Return the descriptor of a map."""
        return int(self._module[name.encode()].map_fd)

    def put(self, name: str, entries: Mapping[int, bytes]) -> None:
        """Set entries of an array, or of what is indexed like one."""
        for number, value in entries.items():
            libbpf.map_update(self.map(name), Index(number).pack(), value)
