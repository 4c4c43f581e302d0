"""Compile the program that probes go to VIPs by, in a process of its own.

``python -m dataplane.probe_compiler``; ``child.py`` says why. What it says is the bytecode:
maps and program are made by who asked, and live as long as what uses them.
"""

import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from dataplane import child
from dataplane.bytecode import Bytecode
from dataplane.errors import DataplaneError
from dataplane.loader import compiled
from dataplane.source import probes_source

PROGRAM: Final = "probes"
MAPS: Final = ("device", "targets", "flows")


class _Order(msgspec.Struct, frozen=True):
    cache: str | None


def compile_probes(cache: Path | None) -> Bytecode:
    """Return the program; ``cache`` is a directory with what was compiled before.

    Raises LoadError.
    """
    said = child.run(
        "dataplane.probe_compiler",
        str(os.getpid()),
        said=msgspec.json.encode(_Order(str(cache) if cache else None)),
    )
    return msgspec.msgpack.decode(said, type=Bytecode)


def _main() -> int:
    child.die_with(int(sys.argv[1]))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    cache = Path(order.cache) if order.cache else None
    try:
        program = compiled(probes_source(), MAPS, cache, function=PROGRAM)
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.msgpack.encode(program.code))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
