"""How probes get to VIPs through one backend: an interface, a program for tc, its maps.

Nothing is pinned. The interface, and the filters that hold the program, outlive us and are
taken over by the next guidewayd, with maps of its own: probes do not outlive their process.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dataplane import libbpf
from dataplane.errors import KernelError, LoadError
from dataplane.probe_compiler import PROGRAM, compile_probes
from dataplane.probe_device import ProbeDevice
from dataplane.records import Index
from dataplane.stand_ins import Prefixes, Target, pack_device

_NOTHING: Final[Mapping[int, Target]] = MappingProxyType({})


class ProbePath:
    """The way of one instance's probes to VIPs; used by one thread at a time."""

    def __init__(self, instance: str, cache: Path | None = None) -> None:
        """Make nothing yet; ``cache`` is a directory with what was compiled before."""
        self.prefixes = Prefixes.of(instance)
        self._cache = cache
        self._device = ProbeDevice(self.prefixes)
        self._program: int | None = None
        self._maps: dict[str, int] = {}
        self._index = 0  # of the interface that the program knows
        self._ways: frozenset[int] = frozenset()
        self._targets: Mapping[int, Target] = _NOTHING

    def follow(self, targets: Mapping[int, Target]) -> None:
        """Let packets to the stand-ins of these numbers become those to VIPs.

        Raises LoadError.
        """
        try:
            program = self._load() if self._program is None else self._program
            ways = frozenset(target.ifindex for target in targets.values())
            versions = {target.vip.version for target in targets.values()}
            if ways != self._ways or not self._device.is_whole(self._index, ways, versions):
                self._join(program, ways, versions)
            self._write(targets)
        except KernelError as error:
            raise LoadError(f"the way of probes to VIPs cannot be made: {error}") from error

    def remove(self) -> bool:
        """Take it all out of the kernel; False if there was nothing. Raises LoadError."""
        found = self._device.remove()
        self.close()
        return found

    def close(self) -> None:
        """Let go of it; the kernel keeps it."""
        for fd in (self._program, *self._maps.values()):
            if fd is not None:
                os.close(fd)
        self._program, self._maps = None, {}
        self._ways, self._targets = frozenset(), _NOTHING

    def _load(self) -> int:
        code = compile_probes(self._cache)
        try:
            for name, shape in code.shapes.items():
                self._maps[name] = libbpf.map_create(name, shape)
            linked = code.linked(self._maps)
            self._program = libbpf.program_load(PROGRAM, linked, kind=libbpf.PROGRAM_TC)
        except BaseException:
            self.close()
            raise
        return self._program

    def _join(self, program: int, ways: frozenset[int], versions: Collection[int]) -> None:
        device = self._device.make(versions)
        known = pack_device(device.ifindex, device.mac)
        libbpf.map_update(self._maps["device"], Index(0).pack(), known)
        self._device.attach(program, device.ifindex, ways)
        self._index, self._ways = device.ifindex, ways

    def _write(self, targets: Mapping[int, Target]) -> None:
        for number in self._targets.keys() - targets.keys():
            libbpf.map_delete(self._maps["targets"], Index(number).pack())
        for number, target in targets.items():
            if self._targets.get(number) != target:
                libbpf.map_update(
                    self._maps["targets"], Index(number).pack(), target.pack()
                )
        self._targets = dict(targets)
