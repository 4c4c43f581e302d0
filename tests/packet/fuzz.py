"""Compare the program with its model for longer: ``make fuzz SECONDS=300``."""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from math import inf
from pathlib import Path

from dataplane.errors import DataplaneError
from tests.packet import world
from tests.packet.balancer import Balancer
from tests.packet.environment import loaded_program, mounted_bpffs, network, opened_map
from tests.packet.fuzzer import REASONS, DisagreementError, Fuzzer

PROGRESS = 10.0  # seconds between two lines


class RefusedError(Exception):
    """It cannot begin, and why."""


def main(arguments: list[str]) -> int:
    try:
        seconds = seconds_of(arguments)
        need_root()
        with ExitStack() as stack:
            return run(new_fuzzer(stack), seconds)
    except (RefusedError, DataplaneError) as error:
        sys.stderr.write(f"fuzz: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("fuzz: interrupted\n")
        return 130


def seconds_of(arguments: list[str]) -> float:
    given = " ".join(arguments)
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise RefusedError(f"SECONDS={given} is no number above 0; try SECONDS=60")
    return seconds


def need_root() -> None:
    if os.geteuid() != 0:
        raise RefusedError("this needs root: it loads the program into the kernel")


def new_fuzzer(stack: ExitStack) -> Fuzzer:
    """Load the program into a network namespace of its own, until the stack is closed."""
    bpffs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="guideway-fuzz-")))
    stack.enter_context(mounted_bpffs(bpffs))
    instance = stack.enter_context(loaded_program(bpffs))
    stack.enter_context(network())
    maps = (
        stack.enter_context(opened_map(bpffs, instance, name))
        for name in ("records", "fragments", "replies", "handshakes")
    )
    balancer = Balancer(instance)
    return Fuzzer(balancer, world.make(balancer), *maps)


def run(fuzzer: Fuzzer, seconds: float) -> int:
    """Fuzz; return 0 if all that can be reached was reached and nothing disagreed."""
    start = said = time.monotonic()
    try:
        while (now := time.monotonic()) < start + seconds:
            fuzzer.run(rounds=1)
            if now >= said + PROGRESS:
                said = now
                tell_progress(fuzzer, now - start)
    except DisagreementError as found:
        sys.stderr.write(f"fuzz: {found}\n")
        return 1
    finally:
        tell_reasons(fuzzer)
        tell_progress(fuzzer, time.monotonic() - start)
    blind = [f"{reason} of IPv{version}" for reason, version in fuzzer.seldom(1)]
    if blind:
        sys.stderr.write(f"fuzz: never reached in so short a time: {', '.join(blind)}\n")
    return 1 if blind else 0


def tell_progress(fuzzer: Fuzzer, seconds: float) -> None:
    rate, paths = fuzzer.packets / seconds, len(fuzzer.known)
    sys.stdout.write(
        f"{seconds:6.0f} s  {fuzzer.packets:9,} packets  {rate:6,.0f}/s  {paths:5} paths\n"
    )
    sys.stdout.flush()


def tell_reasons(fuzzer: Fuzzer) -> None:
    sys.stdout.write(f"{'reason':16} {'IPv4':>9} {'IPv6':>9}\n")
    for reason in REASONS:
        v4, v6 = (fuzzer.reached[reason, version] for version in (4, 6))
        sys.stdout.write(f"{reason:16} {v4:9,} {v6:9,}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
