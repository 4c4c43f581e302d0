"""Compile the program by BCC, load it, and pin it with its maps.

A process of its own (``python -m dataplane.loader``), because BCC and its clang cost
100 MB, and because compiling changes the working directory of the whole process for a
while. It ends when everything is pinned; the caller opens the pins. The only importer of
``bcc``.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec

from dataplane import headers, libbpf
from dataplane.abi import KEPT_MAPS, MAPS, PROGRAM
from dataplane.errors import DataplaneError, KernelError, LoadError
from dataplane.source import Limits, source

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_TIMEOUT: Final = 60.0  # seconds; compiling takes 0.3 s natively and 5 s in an emulator
_MAP_REFUSED: Final = re.compile(r"could not open bpf map: (\w+), error: (.+)")


def load(
    directory: Path, limits: Limits, lock: int, predecessor: Path | None = None
) -> None:
    """Compile, load and pin into the existing directory ``directory`` of a bpffs.

    The program is pinned last: if it is there, everything is. What the program itself
    writes (``KEPT_MAPS``) it shares with what is pinned in ``predecessor``, except for maps
    of another shape. The loader holds the file descriptor ``lock`` open as long as it
    lives, and dies with us. Raises LoadError.
    """
    here = (str(directory), str(os.getpid()))
    command = [sys.executable, "-m", "dataplane.loader", *here]
    if predecessor:
        command.append(str(predecessor))
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            input=msgspec.json.encode(asdict(limits)),
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
            pass_fds=(lock,),
            cwd=Path(__file__).parent.parent,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"compiling the program took more than {_TIMEOUT:.0f} s") from error
    if done.returncode != 0:
        # BCC prints the verifier's or clang's log before; the last line is our sentence.
        said = done.stderr.decode(errors="replace").strip()
        if refused := _MAP_REFUSED.search(said):
            remedy = "lower `limits`, or give the machine more memory"
            raise LoadError(
                f"the kernel does not make the map {refused[1]}: {refused[2]}; {remedy}"
            )
        if done.returncode < 0:
            raise LoadError(
                f"the loader was killed by signal {-done.returncode}: is there memory "
                "enough? it needs 150 MB for a second, besides the maps"
            )
        raise LoadError(said.splitlines()[-1] if said else "the loader failed silently")


def _compile(text: str) -> Any:
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


def _load_and_pin(directory: Path, limits: Limits, predecessor: Path | None) -> None:
    module = _compile(source(limits))
    if predecessor:
        for name in KEPT_MAPS:
            _share(predecessor / name, module[name.encode()].map_fd)
    instructions = module.dump_func(PROGRAM.encode())
    try:  # not by BCC, which knows no flag for frames in several buffers
        program = libbpf.load_xdp(PROGRAM, instructions, sys.stderr.write)
    except KernelError as error:
        raise LoadError(f"the kernel refuses the program: {error}") from error
    for name in MAPS:
        libbpf.pin(module[name.encode()].map_fd, directory / name)
    libbpf.pin(program, directory / PROGRAM)


def _share(pinned: Path, fd: int) -> None:
    """Let the descriptor ``fd``, by which the bytecode names a map, name the pinned one."""
    kept = libbpf.get(pinned)
    if libbpf.map_shape(kept) == libbpf.map_shape(fd):
        os.dup2(kept, fd)
    os.close(kept)


def _die_with(parent: int) -> None:
    """Have the kernel kill us when guidewayd is gone: nobody would own what we pin."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went while we were starting
        sys.exit(1)


def _main() -> int:
    directory, parent = Path(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    limits = msgspec.json.decode(sys.stdin.buffer.read(), type=Limits)
    try:
        _load_and_pin(directory, limits, next(map(Path, sys.argv[3:]), None))
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
