"""``make test-vm``: guideway on machines with Debian 12's own kernel, emulated by QEMU.

``python -m tests.vm [lab|nodes]`` tries one half.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tests.vm.checkout import package
from tests.vm.image import Image, image, require_tools
from tests.vm.lab import lab
from tests.vm.network import network
from tests.vm.stages import Line, Stage, passed, run_all, table
from tests.vm.walkthrough import walkthrough
from vagrant.lab.errors import LabError
from vagrant.lab.hosts import PROJECT
from vagrant.lab.signals import unwind_on_signals

HALVES = ("nodes", "lab")


def main(arguments: list[str]) -> int:
    if not set(arguments) <= set(HALVES):
        sys.stderr.write(f"test-vm: {' '.join(arguments)}: it has {' and '.join(HALVES)}\n")
        return 2
    unwind_on_signals()
    cache = Path(os.environ.get("GUIDEWAY_VM_CACHE", PROJECT / ".cache" / "vm"))
    console = Console(highlight=False)
    try:
        require_tools()
        lines = list(tried(arguments or list(HALVES), cache, console))
    except LabError as error:
        sys.stderr.write(f"test-vm: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("test-vm: interrupted; everything has been removed\n")
        return 130
    console.print(table(lines))
    console.print(f"Logs: {cache / 'logs'}", markup=False, soft_wrap=True)
    return 0 if passed(lines) else 1


def tried(halves: list[str], cache: Path, console: Console) -> Iterator[Line]:
    """Yield what came of every stage."""
    logs = cache / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    made: list[Image] = []

    def have() -> str:
        got, how = image(cache)
        made.append(got)
        return how

    begun = run_all([Stage("Debian 12's root file system", have)], console)
    yield from begun
    if not passed(begun):
        return
    with network(f"guideway-vm-{os.getpid()}") as segments:
        if "nodes" in halves:
            with walkthrough(made[0], segments, logs, package()) as nodes:
                yield from run_all(nodes.stages(), console)
        if "lab" in halves:
            with lab(made[0], segments, logs) as one:
                yield from run_all(one.stages(), console)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
