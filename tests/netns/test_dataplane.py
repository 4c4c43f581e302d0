"""Program and maps are replaced, taken away and put right; packets and memory live on."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

import pytest

from control.model import Protocol
from dataplane import libbpf
from dataplane.abi import KEPT_MAPS, MAPS
from tests.support.connections import Connection, moved
from tests.support.daemon import (
    another_release,
    change,
    edit,
    guideway,
    programs,
    refusal,
    restart,
)
from tests.support.wait import eventually
from vagrant.lab.errors import CommandError
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, DrTopology

CONNECTIONS = 60


@pytest.fixture
def lab(lab_name: str) -> Iterator[Lab]:
    """Return a lab with b1 and b2 in service, and b3 at hand; everything runs."""
    with Lab(lab_name, DrTopology, (DrTopology.service(weights=(1, 1, 0)),)) as made:
        made.start()
        yield made


@pytest.fixture
def node(lab: Lab) -> Node:
    """Return the node that gets the packets."""
    return lab.nodes["lb1"]


@pytest.fixture
def remembered(lab: Lab, node: Node) -> Iterator[list[Connection]]:
    """Return connections to b3, which has no slot any more: only records lead there."""
    with ExitStack() as cleanup:
        change(node, "backend", "set", "web", "b3", "--weight", "2")
        made = [Connection(lab) for _ in range(CONNECTIONS)]
        for one in made:
            cleanup.callback(one.close)
        change(node, "backend", "set", "web", "b3", "--weight", "0")
        ours = [one for one in made if one.backend == "b3"]
        assert len(ours) > CONNECTIONS / 4
        yield ours


def who_answers(lab: Lab) -> set[str]:
    answered = set()
    for _ in range(40):
        with closing(Connection(lab)) as connection:
            answered.add(connection.backend)
    return answered


def hang_up(node: Node) -> None:
    assert node.guidewayd.pid is not None
    os.kill(node.guidewayd.pid, signal.SIGHUP)


def generation(node: Node) -> Path:
    """Return the directory of the only generation."""
    (one,) = (p for p in node.paths.pins(node.name).iterdir() if p.name != "links")
    return one


def counters(node: Node) -> dict[str, int]:
    stats = node.api.statistics()
    found = {f"reason {each.reason}": each.traffic.packets for each in stats.reasons}
    for each in stats.services:
        found[f"service {each.service}"] = each.traffic.packets
    for each in stats.backends:
        found[f"backend {each.backend}"] = each.traffic.packets
    return found


def gone_back(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return the counters that are less than before."""
    pairs = ((name, (count, after.get(name, 0))) for name, count in before.items())
    return {name: pair for name, pair in pairs if pair[1] < pair[0]}


def map_ids(node: Node) -> dict[str, int]:
    return {path.name: _map_id(path) for path in generation(node).iterdir()}


def _map_id(path: Path) -> int:
    fd = libbpf.get(path)
    try:
        return libbpf.map_id(fd)  # of a program, too: both structs begin alike
    finally:
        os.close(fd)


def forget_records(node: Node) -> None:
    fd = libbpf.get(generation(node) / "records")
    for key, _ in list(libbpf.map_items(fd)):
        libbpf.map_delete(fd, key)
    os.close(fd)


class Watch:
    """Traffic and a look at the counters, over and over, while something happens."""

    def __init__(self, lab: Lab, node: Node) -> None:
        self._lab, self._node = lab, node
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=work) for work in (self._send, self._count)
        ]
        self.sent = self.answered = self.looks = 0
        self.back: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with self._lab.client.socket(kind=socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.connect((str(VIP), 53))
            while not self._end.is_set():
                client.send(b"%d" % self.sent)
                self.sent += 1
                try:
                    self.answered += client.recv(100).endswith(b"%d" % (self.sent - 1))
                except TimeoutError:
                    continue

    def _count(self) -> None:
        before = counters(self._node)
        while not self._end.is_set():
            after = counters(self._node)
            self.back |= gone_back(before, after)
            self.looks += 1
            before = after


def test_a_reload_loses_no_packet_no_record_and_no_count(
    lab_name: str,
) -> None:
    services = (
        DrTopology.service(weights=(1, 1, 0)),
        DrTopology.service("echo", 53, Protocol.UDP, weights=(1, 1, 1)),
    )
    with Lab(lab_name, DrTopology, services) as lab:
        lab.start()
        node = lab.nodes["lb1"]
        ids = [programs(node)]
        with Watch(lab, node) as watch:
            for _ in range(5):
                said = guideway(node, "dataplane", "reload")
                ids.append(programs(node))
            eventually(
                lambda: watch.sent > 500 and watch.looks > 20,
                within=60,
                what="that many packets and looks",
            )
        assert said.endswith("is loaded anew\n")

    assert len({tuple(each) for each in ids}) == 6
    assert watch.answered == watch.sent
    assert watch.back == {}


def test_a_connection_that_lives_by_its_record_survives_a_reload(
    node: Node, remembered: list[Connection]
) -> None:
    before, maps = counters(node), map_ids(node)
    assert moved(remembered) == []

    guideway(node, "dataplane", "reload")

    assert moved(remembered) == []
    assert gone_back(before, counters(node)) == {}
    same = {name for name, number in map_ids(node).items() if maps[name] == number}
    assert same == set(KEPT_MAPS)
    forget_records(node)  # it was they indeed
    assert moved(remembered) != []


def test_another_program_goes_on_with_records_and_counters(
    node: Node, remembered: list[Connection], tmp_path: Path
) -> None:
    before, maps = counters(node), map_ids(node)
    line = "#define REFRESH_NS SECOND_NS"
    node.guidewayd.stop()
    other = "#define REFRESH_NS (2 * SECOND_NS)"
    with another_release(node, tmp_path, "traces.h", line, other):
        restart(node)
        assert not node.api.status().adopted
        assert map_ids(node)["records"] == maps["records"]
        assert moved(remembered) == []
        assert gone_back(before, counters(node)) == {}
    restart(node)  # and back to ours
    assert moved(remembered) == []
    assert gone_back(before, counters(node)) == {}


@pytest.mark.parametrize(
    "limits",
    [
        {"services": 128, "backends": 512, "slots": 524_288, "records": 100_000},
        {"services": 8, "backends": 64, "slots": 16_384, "records": 2048},
    ],
    ids=["larger", "smaller"],
)
def test_other_limits_take_records_and_counters_along(
    node: Node, remembered: list[Connection], limits: dict[str, int]
) -> None:
    before, maps = counters(node), map_ids(node)
    node.guidewayd.stop()
    edit(node, lambda file: file["limits"].update(limits))

    restart(node)

    assert moved(remembered) == []
    assert gone_back(before, counters(node)) == {}
    have = {each.name: each.limit for each in node.api.data_plane().maps}
    assert {name: have[name] for name in ("slots", "backends", "records")} == {
        name: limits[name] for name in ("slots", "backends", "records")
    }
    assert have["service_counters"] == limits["services"]
    assert have["backend_counters"] == limits["backends"]
    assert map_ids(node)["reason_counters"] == maps["reason_counters"]


def test_detached_nothing_is_left_until_it_is_reloaded(lab: Lab, node: Node) -> None:
    (program,) = programs(node)

    said = guideway(node, "dataplane", "detach", "--yes")

    assert said == "the data plane is detached\n"
    assert programs(node) == []
    assert [p.name for p in node.paths.pins(node.name).rglob("*")] == ["links"]
    eventually(
        lambda: not libbpf.program_exists(program), within=10, what="the program is gone"
    )
    status, plane = node.api.status(), node.api.data_plane()
    assert (status.detached, plane.digest, len(plane.maps)) == (True, "", 0)
    assert not plane.HasField("loaded")
    assert any(w.startswith("nothing is balanced") for w in status.warnings)
    with pytest.raises(CommandError, match="the data plane is detached"):
        guideway(node, "stats")
    with pytest.raises(CommandError, match="the data plane is detached already"):
        guideway(node, "dataplane", "detach", "--yes")
    assert "is in use by a running guidewayd" in refusal(node, "--detach")
    hang_up(node)
    eventually(lambda: "reloaded" in node.guidewayd.tail(), within=5, what="it heard")
    assert programs(node) == []

    guideway(node, "dataplane", "reload")

    assert len(programs(node)) == 1
    assert who_answers(lab) == {"b1", "b2"}
    assert not node.api.status().detached


def test_a_restart_after_a_detachment_attaches_again(lab: Lab, node: Node) -> None:
    guideway(node, "dataplane", "detach", "--yes")

    node.guidewayd.stop()
    assert not node.paths.pins(node.name).exists()
    restart(node)

    assert len(programs(node)) == 1
    assert who_answers(lab) == {"b1", "b2"}


def test_the_memory_that_the_maps_take_is_logged_and_told(node: Node) -> None:
    logged = next(
        json.loads(line)
        for line in node.guidewayd.log.read_text().splitlines()
        if '"event": "maps"' in line
    )

    maps = node.api.data_plane().maps

    assert [each.name for each in maps] == list(MAPS)
    assert {each.name: each.bytes for each in maps}.items() <= logged.items()
    assert logged["bytes"] == sum(each.bytes for each in maps)
    used = {each.name: each.used for each in maps}
    assert (used["directory"], used["endpoints"], used["slots"]) == (2, 2, 4093)
    assert (used["backends"], used["ports"], used["records"]) == (3, 1, 0)


def test_the_age_is_that_of_the_program_and_not_of_the_daemon(node: Node) -> None:
    loaded = node.api.data_plane().loaded
    restart(node)

    after = node.api.data_plane()

    assert after.adopted
    assert after.loaded == pytest.approx(loaded, abs=1)  # the lab takes longer to start
    assert node.api.status().started > after.loaded
    guideway(node, "dataplane", "reload")
    assert node.api.data_plane().loaded > node.api.status().started
