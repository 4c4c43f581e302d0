"""One data plane: what is pinned of it, opened, loaded if need be, replaced, taken away.

Below ``<bpffs>/guideway/<instance>`` are ``links`` and a directory for each generation of
the program (``generation.py``); usually there is one. The kernel keeps it all running when
we are gone; :func:`open_instance` adopts what it finds.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from dataplane import counters, generation, usage
from dataplane.abi import VERSION
from dataplane.attach import Links, check_interfaces
from dataplane.counters import Counters
from dataplane.decision import Outcome
from dataplane.errors import DetachedError, LoadError
from dataplane.explainer import SHARED_MAPS, Probe, explain
from dataplane.flows import (
    RECORDS,
    REPLIES,
    FlowMap,
    Flows,
    Records,
    ReplyFlows,
    Speakers,
    read_flows,
    read_replies,
    write,
    write_newer,
)
from dataplane.generation import Generation
from dataplane.image import Image
from dataplane.loader import load
from dataplane.maps import Maps
from dataplane.membarrier import wait_for_packets
from dataplane.pins import make_directory
from dataplane.records import Handshakes
from dataplane.root import check_bpffs, lock_root, prune
from dataplane.source import Limits, abi_version, digest, source
from dataplane.succession import Succession
from dataplane.usage import MapUsage


class Instance:
    """An open data plane; close it when done, the kernel keeps it.

    A generation that was loaded gets packets when :meth:`attach` is called, not before:
    fill its maps first. Until then the one before it serves, if there is one.
    """

    def __init__(self, root: Path, lock: int, cache: Path | None = None) -> None:
        """Open what is pinned below ``root``, of which ``lock`` keeps others away.

        ``cache`` is a directory with what was compiled before.
        """
        self._cache = cache
        self._root = root
        self._lock = lock
        self._links = Links(root / "links")
        self._open: Generation | None = None
        self._before: Generation | None = None  # what `_open` is about to replace
        self._foreign_abi: int | None = None  # of what runs, if we cannot read it
        self._reading = Lock()  # held by whoever reads maps, and to close them
        self._claimed: frozenset[int] = frozenset()
        self._in_use = False
        self.adopted = False

    @property
    def maps(self) -> Maps:
        """The maps to be filled. Raises DetachedError."""
        return self._generation.maps

    @property
    def program(self) -> int:
        """The program's file descriptor. Raises DetachedError."""
        return self._generation.program

    @property
    def detached(self) -> bool:
        """Whether everything was taken away by :meth:`detach`."""
        return self._open is None

    @property
    def digest(self) -> str:
        """The program's digest; "" if there is none."""
        return self._open.place.digest if self._open else ""

    @property
    def replaces(self) -> str:
        """What is about to be replaced, in words; "" if there is nothing."""
        if self._foreign_abi is not None:
            return f"a program of ABI {self._foreign_abi}, whose maps cannot be read"
        return f"program {self._before.place.digest}" if self._before else ""

    def age(self) -> float:
        """Return the seconds since the kernel loaded the program; from any thread.

        Raises DetachedError.
        """
        with self._reading:
            return self._generation.age()

    def counters(self) -> Counters:
        """Read the counters; from any thread. Raises DetachedError."""
        with self._reading:
            return counters.read(self.maps)

    def handshakes(self) -> dict[int, Handshakes]:
        """Read what was counted of handshakes; as :meth:`counters`."""
        with self._reading:
            return counters.handshakes(self.maps)

    def usage(self) -> tuple[MapUsage, ...]:
        """Count what is in the maps; from any thread. Raises DetachedError."""
        with self._reading:
            return usage.read_usage(self.maps)

    def flows(self, services: Collection[int]) -> tuple[Flows, Records]:
        """Read the recorded flows of services by id; from any thread.

        Raises DetachedError.
        """
        with self._reading:
            return read_flows(self.maps, services)

    def replies(self) -> tuple[ReplyFlows, Speakers]:
        """Read whose replies are whose, where that is written down; as :meth:`flows`."""
        with self._reading:
            return read_replies(self.maps)

    def record(self, flows: Flows, records: Records, margin_ns: int | None) -> None:
        """Record flows; from any thread. Raises DetachedError.

        With ``margin_ns``, only those that are newer by so much than what is recorded.
        """
        self._write(RECORDS, flows, records, margin_ns)

    def record_replies(
        self, flows: ReplyFlows, speakers: Speakers, margin_ns: int | None
    ) -> None:
        """Write down whose replies are whose; as :meth:`record`."""
        self._write(REPLIES, flows, speakers, margin_ns)

    def _write(self, of: FlowMap, flows: Any, facts: Any, margin_ns: int | None) -> None:
        with self._reading:
            if margin_ns is None:
                write(self.maps, of, flows, facts)
            else:
                write_newer(self.maps, of, flows, facts, margin_ns)

    def explain(self, limits: Limits, probes: Sequence[Probe]) -> tuple[Outcome, ...]:
        """Return what the program that serves would do with ``probes``; from any thread.

        It is asked by a dry run, which changes nothing. Raises DetachedError, or LoadError.
        """
        with self._reading:
            # What is being loaded anew gets no packets yet.
            serving = self._before if not self._in_use else None
            serving = serving or self._generation
            if serving.place.digest != digest(source(limits)):
                raise LoadError(
                    "the program on disk is not the one that runs: restart guidewayd, or "
                    "have it load the new one by `guideway dataplane reload`"
                )
            # Of our own, so that a reload need not wait for the answer.
            maps = {name: os.dup(serving.maps.fd(name)) for name in SHARED_MAPS}
        try:
            return explain(limits, maps, probes, self._cache)
        finally:
            for fd in maps.values():
                os.close(fd)

    def seed(self) -> Image | None:
        """Return what the maps hold that are about to be replaced."""
        return self._before.maps.read() if self._before else None

    def open(self, limits: Limits) -> None:
        """Adopt the generation that fits, or load one. Raises as :func:`open_instance`."""
        places = generation.found(self._root)
        whole = [place for place in places if place.abi == VERSION and place.is_whole()]
        running = self._links.programs()
        serving = [place for place in whole if place.program_id() in running]
        wanted = digest(source(limits))
        fitting = [place for place in whole if place.digest == wanted]
        chosen = next(iter([p for p in fitting if p in serving] or fitting[-1:]), None)
        others = [place for place in serving or whole if place != chosen]
        if others and chosen not in serving:
            self._before = Generation(others[-1])
        foreign = [place for place in places if place.program_id() in running]
        self._foreign_abi = next((p.abi for p in foreign if p.abi != VERSION), None)
        if chosen:
            self._open, self.adopted = Generation(chosen), True
        else:
            for place in places:
                if place.abi == VERSION and place not in whole and place not in foreign:
                    place.remove()  # a killed loader left it
            self._open = self._load(limits, self._before)

    def renew(self, limits: Limits) -> None:
        """Load the program anew, with empty maps but for what it has recorded and counted.

        The one before serves until :meth:`attach`; :meth:`revert` undoes this. Raises
        LoadError, KernelError or PinError (something below the root is not guideway's), and
        then nothing has changed.
        """
        generation.found(self._root)
        if self._open:
            self._open.place.is_whole()
        loaded = self._load(limits, self._open)
        self._before, self._open = self._open, loaded
        self._in_use = self.adopted = False

    def revert(self) -> None:
        """Undo :meth:`renew`: what served before goes on, unless it is gone already."""
        if self._in_use and self._before is None:
            return
        with self._reading:
            new, self._open, self._before = self._open, self._before, None
            if self._open:
                self._links.swap(self._open.program)
                self._in_use = True
            else:
                self._links.detach(self._claimed)
            if new:
                new.close()
                new.place.remove()

    def claim(self, interfaces: Iterable[str], *, native: bool) -> None:
        """Attach to those of these interfaces that carry no program of ours.

        With empty maps that changes nothing for their packets, so it is done first: what
        an interface refuses is known before anything else happens. Raises AttachError, and
        then nothing has changed.
        """
        self._claimed = self._links.claim(self.program, interfaces, native=native)

    def attach(self, interfaces: Iterable[str], *, native: bool) -> None:
        """Let packets of these interfaces, and of no others, through this program.

        Call it when the maps are filled. Programs that ran before are gone then, and what
        they had recorded and counted is ours. Raises AttachError.
        """
        present = list(interfaces)
        indices = check_interfaces(present)
        self._links.claim(self.program, present, native=native)
        succession = Succession(self._before.maps, self.maps) if self._before else None
        self._in_use = True
        self._links.swap(self.program)
        self._links.keep(indices)
        if succession:
            wait_for_packets()
            succession.finish()
        self._retire()

    def unattached(self, interfaces: Iterable[str]) -> list[str]:
        """Return those of these interfaces whose packets do not come through us."""
        return [name for name in interfaces if not self._links.holds(name)]

    def detach(self) -> None:
        """Take program, links and maps out of the kernel; :meth:`renew` loads them again.

        Others are kept away from the instance still. Raises PinError.
        """
        places = generation.found(self._root)
        self._links.detach(self._links.pinned())
        with self._reading:
            self._close_maps()
            for place in places:
                place.remove()
        self.adopted = self._in_use = False

    def discard(self) -> None:
        """Undo opening and claiming, unless packets depend on it since :meth:`attach`."""
        if self._open and not self._in_use:
            self._links.detach(self._claimed)
            if not self.adopted:
                self._open.place.remove()
        prune(self._root)

    def close(self) -> None:
        """Let go of it."""
        self._close_maps()
        os.close(self._lock)

    @property
    def _generation(self) -> Generation:
        if self._open is None:
            raise DetachedError
        return self._open

    def _load(self, limits: Limits, before: Generation | None) -> Generation:
        """Load a generation beside ``before``; with what that one recorded and counted."""
        text = source(limits)
        if (version := abi_version(text)) != VERSION:
            raise LoadError(
                f"the program on disk is of ABI {version}, this guidewayd of {VERSION}: "
                "restart guidewayd"
            )
        place = generation.free_place(self._root, digest(text))
        try:
            make_directory(place.directory)
            old = before.place.directory if before else None
            load(place.directory, limits, self._lock, old, self._cache)
            return Generation(place)
        except BaseException:
            place.remove()
            raise

    def _retire(self) -> None:
        """Close and unpin all generations but the one that is open."""
        with self._reading:
            if self._before:
                self._before.close()
                self._before = None
        self._foreign_abi = None
        for place in generation.found(self._root):
            if place != self._generation.place:
                place.remove()

    def _close_maps(self) -> None:
        for one in (self._open, self._before):
            if one:
                one.close()
        self._open = self._before = None


def open_instance(root: Path, limits: Limits, cache: Path | None = None) -> Instance:
    """Open the data plane pinned below ``root``, loading the program if it is not there.

    What was compiled before is looked for, and kept, in the directory ``cache``.

    Raises PinError (somebody else has it open, for one, or something below ``root`` is not
    guideway's), LoadError or KernelError; what it made itself is gone then.
    """
    check_bpffs(root)
    instance = Instance(root, lock_root(root), cache)
    try:
        instance.open(limits)
    except BaseException:
        instance.close()
        prune(root)
        raise
    return instance


def remove_instance(root: Path) -> bool:
    """Detach and unpin everything below ``root``; False if nothing was there.

    Raises PinError if somebody has it open.
    """
    check_bpffs(root)
    if not root.exists():
        return False
    lock = lock_root(root)
    try:
        links = Links(root / "links")
        places = generation.found(root)
        links.detach(links.pinned())
        for place in places:
            place.remove()
    finally:
        os.close(lock)
    prune(root)
    return True
