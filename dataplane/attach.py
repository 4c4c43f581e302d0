"""XDP attachments: one pinned bpf_link for each interface.

A pinned link outlives the process and swaps its program atomically. What somebody else has
attached to an interface is never replaced.
"""

import errno
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from dataplane import libbpf
from dataplane.errors import AttachError, KernelError
from dataplane.pins import make_directory, stranger, unpin
from dataplane.records import port_index

_PREFIX: Final = "ifindex-"
_WHY: Final = {
    errno.EBUSY: "carries another XDP program already: take that one away first "
    "(`bpftool net` shows it), or leave the interface out",
    errno.EEXIST: "carries another XDP program in the other mode: take that one away first "
    "(`bpftool net` shows it), or leave the interface out",
    errno.EOPNOTSUPP: "its driver has no native XDP: set `xdp_mode: generic`",
    errno.ERANGE: "its MTU, or its peer's, is too large for its driver's native XDP: "
    "lower it, or set `xdp_mode: generic`",
    errno.ENODEV: "is gone",
}


def _index_of(path: Path) -> int:
    index = path.name.removeprefix(_PREFIX)
    if not path.name.startswith(_PREFIX) or not index.isdecimal():
        raise stranger(path)
    return int(index)


def ifindex(interface: str) -> int:
    """Return the index of an interface of this namespace, or raise AttachError."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise AttachError(interface, "no such interface here: see `ip link`") from error


def check_interfaces(interfaces: Iterable[str]) -> frozenset[int]:
    """Return the interfaces' indices.

    Raises AttachError if one is missing, or two share a place in ``ports``.
    """
    indices = set[int]()
    places: dict[int, str] = {}
    for name in interfaces:
        index = ifindex(name)
        indices.add(index)
        other = places.setdefault(port_index(index).number, name)
        if other != name:
            raise AttachError(
                name,
                f"its index {index} falls together with that of {other}: delete and add "
                "one of the two, so that it gets another index",
            )
    return frozenset(indices)


class Links:
    """The attachments of one data plane, pinned below one directory."""

    def __init__(self, directory: Path) -> None:
        """Take over what is pinned in ``directory``; it may not exist yet."""
        self._directory = directory

    def claim(
        self, program: int, interfaces: Iterable[str], *, native: bool
    ) -> frozenset[int]:
        """Attach ``program`` to those of these interfaces that have no link of ours.

        Return the indices of these. If one interface refuses, those attached by this call
        are detached again and AttachError is raised.
        """
        make_directory(self._directory)
        new: set[int] = set()
        try:
            for name in interfaces:
                index = ifindex(name)
                if not self._alive(index):
                    self._create(index, name, program, native=native)
                    new.add(index)
        except AttachError:
            self.detach(new)
            raise
        return frozenset(new)

    def swap(self, program: int) -> None:
        """Let all living links run ``program``; no packet sees neither the old nor it."""
        for index in self.pinned():
            if self._alive(index):
                self._swap(index, program)

    def keep(self, indices: Iterable[int]) -> None:
        """Take the links of all other interfaces away."""
        self.detach(self.pinned().difference(indices))

    def programs(self) -> frozenset[int]:
        """Return the numbers of the programs that living links run.

        Raises PinError if something is pinned here that is not a link of ours.
        """
        found = set()
        for index in self.pinned():
            link = libbpf.get(self._path(index))
            try:
                if libbpf.object_kind(link) != "link":
                    raise stranger(self._path(index), "is not a link")
                if libbpf.link_ifindex(link) == index:
                    found.add(libbpf.link_program(link))
            finally:
                os.close(link)
        return frozenset(found)

    def detach(self, indices: Iterable[int]) -> None:
        """Take the links of these interfaces away."""
        for index in indices:
            unpin(self._path(index))

    def holds(self, name: str) -> bool:
        """Tell whether a living link of ours is on the interface ``name``."""
        try:
            return self._alive(ifindex(name))
        except AttachError:
            return False

    def pinned(self) -> frozenset[int]:
        """Return the indices of the interfaces with a link of ours, living or not.

        Raises PinError if something is pinned here that is not guideway's.
        """
        paths = self._directory.iterdir() if self._directory.exists() else ()
        return frozenset(map(_index_of, paths))

    def _path(self, index: int) -> Path:
        # Not by name: bpffs allows no dot, and VLAN interfaces have one.
        return self._directory / f"{_PREFIX}{index}"

    def _alive(self, index: int) -> bool:
        """Whether our link still holds the interface; that may have gone and come again."""
        path = self._path(index)
        if not path.exists():
            return False
        link = libbpf.get(path)
        try:
            return libbpf.link_ifindex(link) == index
        finally:
            os.close(link)

    def _swap(self, index: int, program: int) -> None:
        link = libbpf.get(self._path(index))
        try:
            libbpf.link_update(link, program)
        finally:
            os.close(link)

    def _create(self, index: int, name: str, program: int, *, native: bool) -> None:
        unpin(self._path(index))
        try:
            link = libbpf.link_create(program, index, native=native)
        except KernelError as error:
            why = _WHY.get(error.code, f"XDP cannot be attached: {error}")
            raise AttachError(name, why) from error
        try:
            libbpf.pin(link, self._path(index))
        finally:
            os.close(link)
