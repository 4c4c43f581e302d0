"""A place of its own for the real program: a BPF file system, a network namespace.

    client 192.0.2.10, 2001:db8:1::10 ──── out ┐
                                               ├ balancer
    backends 10.0.0.0/24, 2001:db8:2::/64 ─ lo ┘

A test run has its packets come in by loopback, so `lo` (index 1) plays the interface that
clients and backends are behind; `out` is where the route to the client leads.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pyroute2 import IPRoute, netns
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD

from dataplane import libbpf
from dataplane.instance import Instance, open_instance
from dataplane.source import Limits
from tests.packet.balancer import OUT, OUT_MAC, ROUTER_MAC, VLANS
from tests.packet.families import V4, V6

LIMITS = Limits(services=64, backends=256, slots=65536, records=65536)


@contextmanager
def mounted_bpffs(path: Path) -> Iterator[None]:
    """Have a file system to pin things on at ``path``, an empty directory."""
    subprocess.run(["mount", "-t", "bpf", "bpf", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@contextmanager
def loaded_program(bpffs: Path, cache: Path | None = None) -> Iterator[Instance]:
    """Load the program, with empty maps; ``cache`` keeps what was compiled."""
    opened = open_instance(bpffs / "guideway" / "test", LIMITS, cache)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def opened_map(bpffs: Path, instance: Instance, name: str) -> Iterator[int]:
    """Open a map that the program fills by itself."""
    (pin,) = bpffs.glob(f"guideway/test/*-{instance.digest}/{name}")
    fd = libbpf.get(pin)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def network() -> Iterator[None]:
    """Move this thread into a new network namespace, and back at the end."""
    name = f"gwpacket{os.getpid()}"
    with ExitStack() as cleanup:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        cleanup.callback(os.close, home)
        netns.create(name)
        cleanup.callback(netns.remove, name)
        netns.setns(name)
        cleanup.callback(netns.setns, home)
        _set_up_network()
        yield


def _set_up_network() -> None:
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")
        ip.link("add", index=OUT, ifname="out", kind="veth", peer="wire", address=OUT_MAC)
        ip.link("set", ifname="wire", state="up")
        ip.link("set", index=OUT, state="up")
        for index in VLANS:  # the kernel's routing minds them, and the program their tags
            ip.link("add", index=index, ifname=f"v{index}", kind="veth", peer=f"p{index}")
            ip.link("set", index=index, state="up")
        ip.addr("add", index=OUT, address="192.0.2.1", prefixlen=24)
        ip.addr("add", index=OUT, address="2001:db8:1::1", prefixlen=64, flags=IFA_F_NODAD)
        for family in (V4, V6):
            ip.neigh(
                "add", index=OUT, dst=family.client, lladdr=ROUTER_MAC, state="permanent"
            )
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", switch).write_text("1", encoding="ascii")
