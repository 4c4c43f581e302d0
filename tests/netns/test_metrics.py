"""Metrics of running daemons: from the kernel's maps to Prometheus's parser."""

import os
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon import guideway, restart
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, DrTopology

Told = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Return a lab in direct return, everything running."""
    with Lab(f"m{os.getpid()}", DrTopology) as made:
        made.start()
        yield made


def scraped(node: Node) -> dict[str, Told]:
    """Return what a node tells now, by name and by the values of the labels."""
    connection = HTTPConnection("127.0.0.1", 9475, timeout=10)
    with node.host.inside():
        connection.connect()
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    told: dict[str, Told] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            told.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return told


def request(lab: Lab) -> None:
    connection = HTTPConnection(str(VIP), timeout=5)
    with lab.client.inside():
        connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()


def grow(before: dict[str, Told], after: dict[str, Told]) -> bool:
    """Tell whether every counter of traffic is there again, and none has gone back."""
    names = [name for name in before if name.endswith(("packets_total", "bytes_total"))]
    ours = [name for name in names if not name.startswith("guideway_vrrp")]
    assert len(ours) == 6
    return all(
        after[name][key] >= count for name in ours for key, count in before[name].items()
    )


def test_traffic_health_and_virtual_routers_are_told(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    eventually(
        lambda: scraped(node)["guideway_vrrp_state"][("lab", "active")] == 1,
        within=10,
        what="lb1 tells that it is Active",
    )
    before = scraped(node)["guideway_service_new_flows_total"][("web",)]

    request(lab)

    eventually(
        lambda: scraped(node)["guideway_service_new_flows_total"][("web",)] > before,
        within=5,
        what="the flow is told",
    )
    told = scraped(node)
    backends = {("web", "b1"), ("web", "b2"), ("web", "b3")}
    assert {key for key, up in told["guideway_backend_up"].items() if up} == backends
    assert sum(told["guideway_backend_slots_ratio"].values()) == pytest.approx(1)
    assert told["guideway_packets_total"][("forwarded_dr", "forward")] > 0
    assert told["guideway_interface_attached"] == {("eth0", "native"): 1}
    assert told["guideway_map_limit_entries"][("service_counters",)] == 64
    assert told["guideway_applied_version"] == told["guideway_desired_version"]
    assert told["process_resident_memory_bytes"][()] > 0


def test_counters_do_not_go_back_when_the_daemon_is_killed_and_started(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    request(lab)
    before = scraped(node)

    node.guidewayd.kill()
    request(lab)
    restart(node)

    assert grow(before, scraped(node))


def test_of_a_detached_data_plane_there_are_no_counters(lab: Lab) -> None:
    node = lab.nodes["lb2"]
    assert scraped(node)["guideway_data_plane_attached"] == {(): 1}

    guideway(node, "dataplane", "detach", "--yes")

    eventually(
        lambda: scraped(node)["guideway_data_plane_attached"] == {(): 0},
        within=5,
        what="the node tells that it is detached",
    )
    assert not {"guideway_packets_total", "guideway_service_packets_total"} & set(
        scraped(node)
    )
