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

_WHY: Final = {
    errno.EBUSY: "carries another XDP program already: detach that one first "
    "(`ip link set dev {0} xdp off`), or leave the interface out",
    errno.EEXIST: "carries another XDP program in the other mode: detach that one first",
    errno.EOPNOTSUPP: "its driver has no native XDP: set `xdp_mode: generic`",
    errno.ERANGE: "its MTU, or its peer's, is too large for native XDP: at most 3506 bytes",
    errno.ENODEV: "is gone",
}


def ifindex(interface: str) -> int:
    """Return the index of an interface of this namespace, or raise AttachError."""
    try:
        return socket.if_nametoindex(interface)
    except OSError as error:
        raise AttachError(interface, "no such interface here: see `ip link`") from error


class Links:
    """The attachments of one data plane, pinned below one directory."""

    def __init__(self, directory: Path) -> None:
        """Take over what is pinned in ``directory``; it may not exist yet."""
        self._directory = directory

    def attached(self) -> frozenset[int]:
        """Return the indices of the interfaces with a living link of ours."""
        return frozenset(index for index in self._pinned() if self._alive(index))

    def attach(self, program: int, interfaces: Iterable[str], *, native: bool) -> None:
        """Attach ``program`` to these interfaces, and to no others.

        An interface that has a link gets the program swapped in; a link to an interface
        that is not wanted any more is taken away last. If one interface refuses, those
        attached by this call are detached again and AttachError is raised.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        wanted = {ifindex(name): name for name in interfaces}
        new: list[int] = []
        try:
            for index, name in wanted.items():
                if self._alive(index):
                    self._swap(index, program)
                else:
                    self._create(index, name, program, native=native)
                    new.append(index)
        except AttachError:
            for index in new:
                self._path(index).unlink()
            raise
        for index in self._pinned() - wanted.keys():
            self._path(index).unlink()

    def detach(self) -> None:
        """Take all links away."""
        for index in self._pinned():
            self._path(index).unlink()

    def _path(self, index: int) -> Path:
        # Not by name: bpffs allows no dot, and VLAN interfaces have one.
        return self._directory / f"ifindex-{index}"

    def _pinned(self) -> frozenset[int]:
        paths = self._directory.glob("ifindex-*") if self._directory.exists() else ()
        return frozenset(int(path.name.removeprefix("ifindex-")) for path in paths)

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
        self._path(index).unlink(missing_ok=True)
        try:
            link = libbpf.link_create(program, index, native=native)
        except KernelError as error:
            why = _WHY.get(error.code, f"XDP cannot be attached: {error}").format(name)
            raise AttachError(name, why) from error
        try:
            libbpf.pin(link, self._path(index))
        finally:
            os.close(link)
