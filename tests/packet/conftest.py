"""The real program, fed with packets by BPF_PROG_TEST_RUN; needs root and BCC.

    client 192.0.2.10, 2001:db8:1::10 ──── out ┐
                                               ├ balancer
    backends 10.0.0.0/24, 2001:db8:2::/64 ─ lo ┘

A test run has its packets come in by loopback, so `lo` (index 1) plays the interface that
clients and backends are behind; `out` is where the route to the client leads.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pyroute2 import IPRoute, netns
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD

from dataplane import libbpf
from dataplane.instance import Instance, open_instance
from dataplane.records import Index
from dataplane.source import Limits
from tests.packet.balancer import OUT, OUT_MAC, ROUTER_MAC, Balancer
from tests.packet.families import V4, V6, Family
from tests.support.requirements import require

LIMITS = Limits(services=64, backends=256, slots=65536, records=65536)


@pytest.fixture(scope="session", autouse=True)
def _machine():
    require("packet", None if os.geteuid() == 0 else "it needs root")


@pytest.fixture(scope="session")
def bpffs(_machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a file system to pin things on."""
    path = tmp_path_factory.mktemp("bpf")
    subprocess.run(["mount", "-t", "bpf", "bpf", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.fixture(scope="session")
def instance(bpffs: Path) -> Iterator[Instance]:
    """Return the program, compiled and loaded once for all tests."""
    opened = open_instance(bpffs / "guideway" / "test", LIMITS)
    yield opened
    opened.close()


@pytest.fixture
def fragments(bpffs: Path, balancer: Balancer) -> Iterator[int]:
    """Return the map of fragmented datagrams."""
    yield from opened(bpffs, balancer, "fragments")


@pytest.fixture
def records(bpffs: Path, balancer: Balancer) -> Iterator[int]:
    """Return the map of recorded flows, empty."""
    for fd in opened(bpffs, balancer, "records"):
        for key, _ in list(libbpf.map_items(fd)):
            libbpf.map_delete(fd, key)
        yield fd


def opened(bpffs: Path, balancer: Balancer, name: str) -> Iterator[int]:
    """Yield a map that the program fills by itself."""
    (pin,) = bpffs.glob(f"guideway/test/*-{balancer.instance.digest}/{name}")
    fd = libbpf.get(pin)
    yield fd
    os.close(fd)


@pytest.fixture
def balancer(
    instance: Instance, _network: None, forget_ways: Callable[[], None]
) -> Iterator[Balancer]:
    """Return the program with empty maps."""
    made = Balancer(instance)
    yield made
    made.clear()
    made.reset_counters()
    forget_ways()


@pytest.fixture(scope="session")
def forget_ways(bpffs: Path, instance: Instance) -> Iterator[Callable[[], None]]:
    """Return what makes the program ask the kernel for ways anew."""
    (pin,) = bpffs.glob(f"guideway/test/*-{instance.digest}/ways")
    fd = libbpf.get(pin)

    def forget() -> None:
        values = libbpf.array_read(fd, per_cpu=True)
        size = len(values) // libbpf.map_shape(fd).max_entries
        for index in range(len(values) // size):
            if any(values[index * size : (index + 1) * size]):
                libbpf.map_update(fd, Index(index).pack(), bytes(size))

    yield forget
    os.close(fd)


@pytest.fixture(params=[V4, V6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> Family:
    """Return one family of addresses after the other."""
    return request.param


@pytest.fixture(scope="module")
def _network() -> Iterator[None]:
    """Move this thread into a new network namespace, and back when the module is done."""
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
        ip.addr("add", index=OUT, address="192.0.2.1", prefixlen=24)
        ip.addr("add", index=OUT, address="2001:db8:1::1", prefixlen=64, flags=IFA_F_NODAD)
        for family in (V4, V6):
            ip.neigh(
                "add", index=OUT, dst=family.client, lladdr=ROUTER_MAC, state="permanent"
            )
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", switch).write_text("1", encoding="ascii")
