"""Feeding a program with packets that are all new to it: feeder.c from Python."""

import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

from bench.packet_cost.layout import ETHERNET_BYTES, WORD_BYTES, Layout, Template
from bench.xdp_programs import Programs
from dataplane import libbpf
from dataplane.libbpf import ProgRun

_SOURCE: Final = Path(__file__).with_name("feeder.c")
_FEED: Final = struct.Struct(f"=4I{ETHERNET_BYTES}s2x")  # struct feed, but for its words


class Feeder:
    """A loaded feeder, for frames of one layout."""

    def __init__(self, layout: Layout) -> None:
        defines = {name.upper(): value for name, value in asdict(layout).items()}
        self._programs = Programs(_SOURCE, **defines)
        self._program = self._programs.load("feeder")
        self._header_bytes = ETHERNET_BYTES + layout.words * WORD_BYTES

    def feed(self, program: int, template: Template, *, flows: int, vips: int) -> None:
        """Let the next run begin with flow 0 of so many, and call ``program``.

        ``vips``, a power of two, says how many VIPs the flows go to in turn.
        """
        frame = template.frame
        feed = _FEED.pack(0, flows, len(frame), vips - 1, frame[:ETHERNET_BYTES])
        words = frame[ETHERNET_BYTES : self._header_bytes]
        self._programs.put("feeds", {0: feed + words})
        self._programs.put("under_test", {0: program.to_bytes(4, sys.byteorder)})

    def run(self, frame: bytes, repeat: int) -> ProgRun:
        """Run on so many packets; what returns is the last one."""
        return libbpf.prog_run(self._program, frame, repeat=repeat)


class Feeders:
    """Feeders for frames of every layout, made when they are asked for."""

    def __init__(self) -> None:
        self._made: dict[Layout, Feeder] = {}

    def of(self, layout: Layout) -> Feeder:
        """Return the feeder for ``layout``; compiling it takes 0.3 s, the first time."""
        if layout not in self._made:
            self._made[layout] = Feeder(layout)
        return self._made[layout]
