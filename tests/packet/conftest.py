"""The real program, fed with packets by BPF_PROG_TEST_RUN; needs root and BCC.

    client 192.0.2.10 ──── out 192.0.2.1 ┐
                                         ├ balancer
    backends 10.0.0.0/24 ──────────── lo ┘

A test run has its packets come in by loopback, so `lo` (index 1) plays the interface that
clients and backends are behind; `out` is where the route to the client leads.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pyroute2 import IPRoute, netns

from dataplane.instance import Instance, open_instance
from dataplane.source import Limits
from tests.packet.balancer import CLIENT, OUT, OUT_MAC, ROUTER_MAC, Balancer
from tests.support.requirements import require

LIMITS = Limits(services=64, backends=256, slots=65536)


@pytest.fixture(scope="session", autouse=True)
def _machine():
    require("packet", None if os.geteuid() == 0 else "it needs root")


@pytest.fixture(scope="session")
def instance(_machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Return the program, compiled and loaded once for all tests."""
    bpffs = tmp_path_factory.mktemp("bpf")
    subprocess.run(["mount", "-t", "bpf", "bpf", bpffs], check=True)
    try:
        opened = open_instance(bpffs / "guideway" / "test", LIMITS)
        yield opened
        opened.close()
    finally:
        subprocess.run(["umount", bpffs], check=True)


@pytest.fixture
def balancer(instance: Instance, _network: None) -> Iterator[Balancer]:
    """Return the program with empty maps."""
    made = Balancer(instance)
    yield made
    made.clear()


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
        ip.neigh("add", index=OUT, dst=CLIENT, lladdr=ROUTER_MAC, state="permanent")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
