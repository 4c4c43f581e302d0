"""The real program, fed with packets by BPF_PROG_TEST_RUN; needs root and BCC."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataplane import libbpf
from dataplane.instance import Instance
from dataplane.records import Index
from tests.packet.balancer import Balancer
from tests.packet.environment import loaded_program, mounted_bpffs, network, opened_map
from tests.packet.families import V4, V6, Family
from tests.support.requirements import require


@pytest.fixture(scope="session", autouse=True)
def _machine():
    require("packet", None if os.geteuid() == 0 else "it needs root")


@pytest.fixture(scope="session")
def bpffs(_machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a file system to pin things on."""
    path = tmp_path_factory.mktemp("bpf")
    with mounted_bpffs(path):
        yield path


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that keeps what was compiled, for those who compile it again."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def instance(bpffs: Path, compiled: Path) -> Iterator[Instance]:
    """Return the program, compiled and loaded once for all tests."""
    with loaded_program(bpffs, compiled) as opened:
        yield opened


@pytest.fixture
def fragments(bpffs: Path, balancer: Balancer) -> Iterator[int]:
    """Return the map of fragmented datagrams."""
    with opened_map(bpffs, balancer.instance, "fragments") as fd:
        yield fd


@pytest.fixture
def records(bpffs: Path, balancer: Balancer) -> Iterator[int]:
    """Return the map of recorded flows, empty."""
    yield from _emptied(bpffs, balancer, "records")


@pytest.fixture
def replies(bpffs: Path, balancer: Balancer) -> Iterator[int]:
    """Return the map of flows that NAT backends answer to, empty."""
    yield from _emptied(bpffs, balancer, "replies")


@pytest.fixture
def handshakes(bpffs: Path, balancer: Balancer) -> Iterator[int]:
    """Return the map of connections that begin."""
    with opened_map(bpffs, balancer.instance, "handshakes") as fd:
        yield fd


def _emptied(bpffs: Path, balancer: Balancer, name: str) -> Iterator[int]:
    with opened_map(bpffs, balancer.instance, name) as fd:
        for key, _ in list(libbpf.map_items(fd)):
            libbpf.map_delete(fd, key)
        yield fd


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
    with opened_map(bpffs, instance, "ways") as fd:

        def forget() -> None:
            values = libbpf.array_read(fd, per_cpu=True)
            size = len(values) // libbpf.map_shape(fd).max_entries
            for index in range(len(values) // size):
                if any(values[index * size : (index + 1) * size]):
                    libbpf.map_update(fd, Index(index).pack(), bytes(size))

        yield forget


@pytest.fixture(params=[V4, V6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> Family:
    """Return one family of addresses after the other."""
    return request.param


@pytest.fixture(scope="module")
def _network() -> Iterator[None]:
    with network():
        yield
