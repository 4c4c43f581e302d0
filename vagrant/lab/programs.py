"""The XDP programs of a lab: which there are, and waiting until the kernel has let go.

The kernel takes namespaces and pins apart behind our back, some milliseconds after we have
asked for it. Whoever looks right after the lab's end should find nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import IPRoute

from dataplane import libbpf
from dataplane.abi import PROGRAM
from vagrant.lab import namespaces
from vagrant.lab.wait import eventually

_GONE_WITHIN = 10.0  # seconds; it takes 0.1


@contextmanager
def gone_after(prefix: str, bpffs: Path) -> Iterator[None]:
    """Wait, after the block, until the programs that were there before it are gone.

    These are the programs attached in the namespaces whose names start with ``prefix``, and
    those pinned below ``bpffs``.
    """
    there = {*_pinned(bpffs)}
    for namespace in namespaces.named(prefix):
        there.update(attached(namespace))
    yield
    eventually(
        lambda: not any(map(libbpf.program_exists, there)),
        within=_GONE_WITHIN,
        what="the kernel lets go of the lab's XDP programs",
    )


def attached(namespace: str) -> list[int]:
    """Return the numbers of the XDP programs on the interfaces in ``namespace``."""
    with namespaces.inside(namespace):
        netlink = IPRoute()
    with netlink as ip:
        links = [link.get("xdp") for link in ip.get_links()]
    found = (xdp.get_attr("IFLA_XDP_PROG_ID") for xdp in links if xdp is not None)
    return [number for number in found if number]


def _pinned(bpffs: Path) -> Iterator[int]:
    for path in bpffs.rglob(PROGRAM) if bpffs.exists() else ():
        yield libbpf.pinned_program_id(path)
