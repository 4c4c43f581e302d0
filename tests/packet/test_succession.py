"""What a program wrote goes to its successor, whose maps are of other sizes."""

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane import counters, libbpf
from dataplane.abi import KEPT_MAPS, sizeof
from dataplane.instance import Instance, open_instance, remove_instance
from dataplane.records import Counter, Index
from dataplane.source import Limits
from dataplane.succession import Succession

SMALL = Limits(services=8, backends=16, slots=8192, records=2048)
LARGE = Limits(services=16, backends=32, slots=16384, records=4096)


@pytest.fixture
def two(bpffs: Path, compiled: Path) -> Iterator[tuple[Instance, Instance]]:
    """Return a data plane and one of larger limits."""
    roots = [bpffs / "guideway" / name for name in ("old", "new")]
    made = [
        open_instance(root, limits, compiled)
        for root, limits in zip(roots, (SMALL, LARGE), strict=True)
    ]
    yield made[0], made[1]
    for root, instance in zip(roots, made, strict=True):
        instance.discard()
        instance.close()
        remove_instance(root)


def count(instance: Instance, name: str, number: int, *packets: int) -> None:
    """Let a counter have ``packets`` on each of the first CPUs, of 100 bytes each."""
    words = sizeof("gw_counter") // 8
    value = b"".join(
        struct.pack(f"{words}Q", each, 100 * each, *[0] * (words - 2)) for each in packets
    )
    room = sizeof("gw_counter") * libbpf.possible_cpus()
    key = Index(number).pack()
    libbpf.map_update(instance.maps.fd(name), key, value.ljust(room, b"\0")[:room])


def flow(number: int) -> bytes:
    return number.to_bytes(sizeof("gw_flow"), "big")


def record(instance: Instance, number: int, seen_ns: int, backend: int) -> None:
    value = struct.pack("QII", seen_ns, backend, 0)
    libbpf.map_update(instance.maps.fd("records"), flow(number), value)


def recorded(instance: Instance, number: int) -> int | None:
    """Return the backend that a flow is recorded with."""
    fd = instance.maps.fd("records")
    value = libbpf.map_lookup(fd, flow(number), sizeof("gw_record"))
    return None if value is None else struct.unpack("QII", value)[1]


def test_counters_go_on_exactly_where_they_were(two: tuple[Instance, Instance]) -> None:
    old, new = two
    count(old, "service_counters", 3, 70)
    count(old, "backend_counters", 15, 5)
    count(new, "service_counters", 3, 999)  # of a start that was killed half-way
    succession = Succession(old.maps, new.maps)
    assert counters.read(new.maps).services == {3: Counter(70, 7000)}

    count(old, "service_counters", 3, 75)  # packets until the swap
    count(old, "service_counters", 4, 1)
    count(new, "service_counters", 3, 72)  # and after it: two
    succession.finish()

    read = counters.read(new.maps)
    assert read.services == {3: Counter(77, 7700), 4: Counter(1, 100)}
    assert read.backends == {15: Counter(5, 500)}


def test_a_number_that_there_is_no_room_for_is_left_out(
    two: tuple[Instance, Instance],
) -> None:
    new, old = two  # from large to small
    count(old, "backend_counters", 20, 5)
    count(old, "backend_counters", 2, 6)

    Succession(old.maps, new.maps).finish()

    assert counters.read(new.maps).backends == {2: Counter(6, 600)}


def test_records_go_on_and_what_the_successor_saw_itself_counts(
    two: tuple[Instance, Instance],
) -> None:
    old, new = two
    for number in range(1000):
        record(old, number, time.monotonic_ns(), backend=1)
    succession = Succession(old.maps, new.maps)
    assert {recorded(new, number) for number in range(1000)} == {1}

    record(old, 1, time.monotonic_ns(), backend=2)  # begun anew until the swap
    record(old, 2000, time.monotonic_ns(), backend=2)  # begun until the swap
    record(old, 2, time.monotonic_ns(), backend=2)
    record(new, 2, time.monotonic_ns(), backend=3)  # and again after it
    succession.finish()

    assert [recorded(new, number) for number in (0, 1, 2, 2000)] == [1, 2, 3, 2]


def test_maps_of_one_shape_are_shared_and_not_copied(bpffs: Path, compiled: Path) -> None:
    root = bpffs / "guideway" / "renewed"
    instance = open_instance(root, SMALL, compiled)
    before = {name: instance.maps.id(name) for name in KEPT_MAPS}
    record(instance, 7, time.monotonic_ns(), backend=1)
    try:
        instance.renew(SMALL)

        assert {name: instance.maps.id(name) for name in KEPT_MAPS} == before
        assert recorded(instance, 7) == 1
        instance.revert()
        assert recorded(instance, 7) == 1
    finally:
        instance.close()
        remove_instance(root)
