"""Nothing that is done to guidewayd costs a packet: ``make chaos``, for a few seconds."""

import os
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest

from bench.chaos.cluster import Cluster, cluster
from bench.chaos.run import DEATH, DETACHED, Plan, Result, run
from bench.chaos.topology import WAYS
from bench.chaos.traffic import Load, Traffic
from dataplane.counters import read
from dataplane.image import Ring
from dataplane.maps import Maps

LOAD = Load(datagrams=200, kept=40, new=4)
SEED = 2
RESTARTS = 20

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def result() -> Result:
    """Return what came of some seconds of chaos."""
    return run(Plan(f"c{os.getpid()}", 8, SEED, LOAD))


def test_no_event_costs_a_packet_or_a_connection(result: Result) -> None:
    assert result.problems() == [], result.details()
    assert sum(row.sent for row in result.chaos) > 1000
    assert len(result.chaos) > 3


def test_a_dead_backend_costs_its_own_connections(result: Result) -> None:
    broken = {c.backend for c in result.row(DEATH).connections if c.failed}

    assert result.victim in broken


def test_a_loss_would_be_seen(result: Result) -> None:
    row = result.row(DETACHED)

    assert row.lost >= row.sent / 4
    assert row.broken > 0


@pytest.fixture
def tormented(lab_name: str) -> Iterator[Cluster]:
    with cluster(lab_name, SEED) as made:
        yield made


def packets(maps: Maps) -> dict[str, int]:
    """Return every counter of the program, by a name of its own."""
    counters = read(maps)
    named = {
        **{one.name: counter for one, counter in counters.reasons.items()},
        **{f"service {number}": one for number, one in counters.services.items()},
        **{f"backend {number}": one for number, one in counters.backends.items()},
    }
    return {name: counter.packets for name, counter in named.items()}


def rings(maps: Maps) -> dict[int, Ring]:
    return dict(maps.read().rings)


def test_20_restarts_under_load_change_no_ring_and_let_no_counter_go_back(
    tormented: Cluster,
) -> None:
    node = tormented.node
    # Something to remember, which no restart may forget.
    tormented.guideway("backend", "set", "dr4-tcp", "d1", "--weight", "7")
    with (
        closing(Maps(tormented.generation)) as maps,
        Traffic(tormented.lab.client, WAYS, LOAD, SEED) as traffic,
    ):
        wanted, counted = rings(maps), [packets(maps)]
        for number in range(RESTARTS):
            if number % 2:
                node.guidewayd.stop()
            else:
                node.guidewayd.kill()
            assert rings(maps) == wanted
            tormented.start()
            tormented.wait()
            assert node.api.status().adopted
            assert rings(maps) == wanted
            counted.append(packets(maps))
        ledger = traffic.end()

    for before, after in pairwise(counted):
        assert {name: n for name, n in before.items() if after[name] < n} == {}
        assert after["forwarded_dr"] > before["forwarded_dr"]
        assert after["replied_nat"] > before["replied_nat"]
    assert [each for each in ledger.datagrams if each.failed] == []
    assert [each for each in ledger.connections if each.failed] == []
