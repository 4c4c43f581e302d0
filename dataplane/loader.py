"""Compile the program by BCC, load it, and pin it with its maps.

A process of its own (``python -m dataplane.loader``; ``child.py`` says why). It ends when
everything is pinned; the caller opens the pins. The only importer of ``bcc``.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec

from dataplane import child, headers, libbpf
from dataplane.abi import KEPT_MAPS, MAPS, PROGRAM
from dataplane.errors import DataplaneError, LoadError
from dataplane.source import Limits, source

_TIMEOUT: Final = 60.0  # seconds; compiling takes 0.3 s natively and 5 s in an emulator
_ATTACH_TYPE: Final = libbpf.BPF_XDP  # links can swap programs of one attach type only


def load(
    directory: Path, limits: Limits, lock: int, predecessor: Path | None = None
) -> None:
    """Compile, load and pin into the existing directory ``directory`` of a bpffs.

    The program is pinned last: if it is there, everything is. What the program itself
    writes (``KEPT_MAPS``) it shares with what is pinned in ``predecessor``, except for maps
    of another shape. The loader holds the file descriptor ``lock`` open as long as it
    lives, and dies with us. Raises LoadError.
    """
    arguments = [str(directory), str(os.getpid())]
    if predecessor:
        arguments.append(str(predecessor))
    child.run(
        "dataplane.loader",
        *arguments,
        said=msgspec.json.encode(asdict(limits)),
        descriptors=(lock,),
        timeout=_TIMEOUT,
    )


def compiled(text: str) -> Any:
    """Return BCC's module of a program's text, with new maps; in a child only.

    Raises LoadError.
    """
    try:
        from bcc import BPF  # noqa: PLC0415 - only this process may pay for it
    except ImportError as error:
        raise LoadError(
            "BCC is missing: install Debian's package python3-bpfcc (not PyPI's bcc)"
        ) from error
    with headers.tree() as tree:
        os.environ["BCC_KERNEL_SOURCE"] = str(tree)
        try:
            return BPF(text=text)
        except Exception as error:  # BCC raises bare Exceptions
            raise LoadError(f"the program does not compile: {error}") from error


def loaded(module: Any) -> int:
    """Load the program of :func:`compiled`; return its descriptor. Raises LoadError."""
    try:
        program = module.load_func(
            PROGRAM.encode(), libbpf.PROGRAM_XDP, attach_type=_ATTACH_TYPE
        )
    except Exception as error:
        raise LoadError(f"the kernel refuses the program: {error}") from error
    return int(program.fd)


def _load_and_pin(directory: Path, limits: Limits, predecessor: Path | None) -> None:
    module = compiled(source(limits))
    if predecessor:
        for name in KEPT_MAPS:
            _share(predecessor / name, module[name.encode()].map_fd)
    program = loaded(module)
    for name in MAPS:
        libbpf.pin(module[name.encode()].map_fd, directory / name)
    libbpf.pin(program, directory / PROGRAM)


def _share(pinned: Path, fd: int) -> None:
    """Let the descriptor ``fd``, by which the bytecode names a map, name the pinned one."""
    kept = libbpf.get(pinned)
    if libbpf.map_shape(kept) == libbpf.map_shape(fd):
        os.dup2(kept, fd)
    os.close(kept)


def _main() -> int:
    directory, parent = Path(sys.argv[1]), int(sys.argv[2])
    child.die_with(parent)
    limits = msgspec.json.decode(sys.stdin.buffer.read(), type=Limits)
    try:
        _load_and_pin(directory, limits, next(map(Path, sys.argv[3:]), None))
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
