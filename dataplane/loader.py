"""Compile the program by BCC, load it, and pin it with its maps.

A process of its own (``python -m dataplane.loader``; ``child.py`` says why). It ends when
everything is pinned; the caller opens the pins. The only importer of ``bcc``.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dataplane import child, headers, libbpf
from dataplane.abi import KEPT_MAPS, MAPS, PROGRAM
from dataplane.bytecode import Bytecode, unlinked
from dataplane.cache import Cache
from dataplane.errors import DataplaneError, KernelError, LoadError
from dataplane.libbpf import MapShape
from dataplane.source import Limits, source


class _Order(msgspec.Struct, frozen=True):
    """What the process is told."""

    directory: str  # of a bpffs, where to pin
    limits: Limits
    predecessor: str | None
    cache: str | None


def load(
    directory: Path,
    limits: Limits,
    lock: int,
    predecessor: Path | None = None,
    cache: Path | None = None,
) -> None:
    """Compile, load and pin into the existing directory ``directory`` of a bpffs.

    The program is pinned last: if it is there, everything is. What the program itself
    writes (``KEPT_MAPS``) it shares with what is pinned in ``predecessor``, except for maps
    of another shape. What was compiled before is found in the directory ``cache``. The
    loader holds the file descriptor ``lock`` open as long as it lives, and dies with us.
    Raises LoadError.
    """
    order = _Order(
        str(directory),
        limits,
        str(predecessor) if predecessor else None,
        str(cache) if cache else None,
    )
    child.run(
        "dataplane.loader",
        str(os.getpid()),
        said=msgspec.json.encode(order),
        descriptors=(lock,),
    )


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program that the kernel has not seen yet; in a child only."""

    code: Bytecode
    made: Mapping[str, int]  # maps that BCC has made on the way, descriptors by name


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in the kernel; descriptors, in a child only."""

    program: int
    maps: Mapping[str, int]  # all of its maps, by name


def compiled(
    text: str, names: Iterable[str], cache: Path | None, *, function: str = PROGRAM
) -> Compiled:
    """Return what the program ``text``, with maps of these names, compiles to.

    It is its ``function``, the only one that is a program.

    Raises LoadError.
    """
    kept = Cache(cache) if cache else None
    if kept and (code := kept.find(text)):
        return Compiled(code, {})
    built = _built(text)
    fds = {name: built[name.encode()].map_fd for name in names}
    shapes = {name: libbpf.map_shape(fd) for name, fd in fds.items()}
    code = unlinked(built.dump_func(function), fds, shapes)
    if kept:
        kept.store(text, code)
    # BCC's own go when its module does.
    return Compiled(code, {name: os.dup(fd) for name, fd in fds.items()})


def loaded(program: Compiled, given: Mapping[str, int]) -> Loaded:
    """Load a program; where ``given`` has no map of its own for it, it gets a new one.

    Raises LoadError.
    """
    made = program.made
    maps = {
        name: given.get(name) or made.get(name) or _make(name, shape)
        for name, shape in program.code.shapes.items()
    }
    return Loaded(libbpf.program_load(PROGRAM, program.code.linked(maps)), maps)


def _built(text: str) -> Any:
    """Return BCC's module of a program's text."""
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


def _make(name: str, shape: MapShape) -> int:
    try:
        return libbpf.map_create(name, shape)
    except KernelError as error:
        raise LoadError(
            f"the kernel does not make the map {name}: {os.strerror(error.code)}; lower "
            "`limits`, or give the machine more memory"
        ) from error


def _load_and_pin(order: _Order) -> None:
    cache = Path(order.cache) if order.cache else None
    program = compiled(source(order.limits), MAPS, cache)
    made = loaded(program, _kept(order.predecessor, program.code))
    directory = Path(order.directory)
    for name in MAPS:
        libbpf.pin(made.maps[name], directory / name)
    libbpf.pin(made.program, directory / PROGRAM)


def _kept(predecessor: str | None, code: Bytecode) -> dict[str, int]:
    """Return the predecessor's maps that the program can go on with."""
    if predecessor is None:
        return {}
    found = {name: libbpf.get(Path(predecessor, name)) for name in KEPT_MAPS}
    fits = {name: libbpf.map_shape(fd) == code.shapes[name] for name, fd in found.items()}
    return {name: fd for name, fd in found.items() if fits[name]}


def _main() -> int:
    child.die_with(int(sys.argv[1]))
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    try:
        _load_and_pin(order)
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
