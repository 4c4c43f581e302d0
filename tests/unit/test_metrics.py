"""What guidewayd tells Prometheus, from values to text."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from control.metrics.families import families
from control.metrics.seen import Router, Seen
from control.metrics.vrrp import read_routers
from control.pool_policy import EACH_BY_ITSELF
from dataplane.abi import REASONS
from dataplane.counters import Counters
from dataplane.records import Counter
from tests.support.scraped import COUNTERS, NODE, SEEN, parsed
from vrrp.errors import Fault
from vrrp.machine import State
from vrrp.status import Status, StatusFile
from vrrp.tally import BOUNDS, Advert, Lateness


def samples(seen: Seen) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values by name and by the values of the labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parsed(seen):
        for sample in family.samples:
            key = tuple(sample.labels.values())
            assert key not in found.setdefault(sample.name, {}), (sample.name, key)
            found[sample.name][key] = sample.value
    return found


def test_the_node_is_told() -> None:
    told = samples(SEEN)

    assert told["guideway_build_info"] == {("1.2.3", "7", "0123abcd"): 1}
    assert told["guideway_start_time_seconds"] == {(): 1000.5}
    assert told["guideway_data_plane_attached"] == {(): 1}
    assert told["guideway_interface_attached"] == {
        ("eth0", "native"): 1,
        ("eth1", "none"): 0,
    }
    assert told["guideway_desired_version"] == {(): 9}
    assert told["guideway_applied_version"] == {(): 8}
    assert told["guideway_warnings"] == {(): 1}
    assert told["guideway_map_repairs_total"] == {(): 2}
    assert told["guideway_last_successful_reconcile_timestamp_seconds"] == {(): 2000.25}
    assert told["guideway_reconcile_failures_total"] == {(): 1}
    assert told["guideway_probe_lateness_seconds_total"] == {(): 0.5}
    assert told["guideway_probes_without_result"] == {(): 3}


def test_every_reason_is_told_with_its_verdict() -> None:
    told = samples(SEEN)

    assert told["guideway_packets_total"] == {
        (reason.name, reason.verdict.value): reason.number for reason in REASONS
    }
    assert set(told["guideway_bytes_total"].values()) == {10}
    assert set(told["guideway_new_flows_total"].values()) == {1}


def test_services_and_backends_are_told_those_without_a_packet_too() -> None:
    told = samples(SEEN)

    assert told["guideway_service_packets_total"] == {("web",): 40}
    assert told["guideway_service_bytes_total"] == {("web",): 4000}
    assert told["guideway_service_new_flows_total"] == {("web",): 4}
    assert told["guideway_service_backends"] == {("web",): 3}
    assert told["guideway_service_backends_serving"] == {("web",): 2}
    assert told["guideway_backend_packets_total"] == {("web", "a"): 30, ("web", "b"): 0}
    assert told["guideway_backend_bytes_total"] == {("web", "a"): 3000, ("web", "b"): 0}
    assert told["guideway_backend_new_flows_total"] == {("web", "a"): 3, ("web", "b"): 0}


def test_health_slots_and_weights_of_backends_are_told() -> None:
    told = samples(SEEN)

    assert told["guideway_service_slots"] == {("web",): 4}
    assert told["guideway_backend_up"] == {
        ("web", "a"): 1,
        ("web", "b"): 0,
        ("web", "c"): 1,
    }
    ratios = {("web", "a"): 0.75, ("web", "b"): 0.25, ("web", "c"): 0}
    assert told["guideway_backend_slots_ratio"] == ratios
    weights = {("web", "a"): 2, ("web", "b"): 1, ("web", "c"): 0}
    assert told["guideway_backend_weight"] == weights


def test_handshakes_are_told_of_services_that_are_watched() -> None:
    told = samples(SEEN)

    assert told["guideway_backend_suspected"] == {("web", "a"): 1, ("web", "b"): 0}
    assert told["guideway_backend_handshakes_ratio"] == {("web", "a"): 0.25}
    assert "guideway_backend_suspected" not in samples(replace(SEEN, handshakes={}))


def test_maps_are_told_with_their_limits() -> None:
    told = samples(SEEN)

    assert told["guideway_map_entries"] == {("records",): 5}
    assert told["guideway_map_limit_entries"] == {("records",): 1024}
    assert told["guideway_map_memory_bytes"] == {("records",): 4096}


def test_virtual_routers_are_told() -> None:
    told = samples(SEEN)

    states = {key for key, value in told["guideway_vrrp_state"].items() if value}
    assert states == {("front", "active"), ("back", "initialize")}
    assert len(told["guideway_vrrp_state"]) == 6
    assert told["guideway_vrrp_priority"] == {("front",): 150, ("back",): 150}
    assert told["guideway_vrrp_resting"] == {("front",): 0, ("back",): 1}
    assert told["guideway_vrrp_transitions_total"] == {("front",): 3, ("back",): 0}
    assert told["guideway_vrrp_fenced_total"] == {("front",): 1, ("back",): 0}
    assert told["guideway_vrrp_noticed_packets_total"] == {("front", "owner"): 3}
    assert told["guideway_vrrp_discarded_packets_total"] == {("front", "ttl"): 2}
    assert told["guideway_vrrp_sent_packets_total"] == {
        ("front", "alive"): 70,
        ("front", "resigns"): 2,
    }
    assert told["guideway_vrrp_heard_packets_total"] == {("front", "alive"): 20}
    assert told["guideway_vrrp_unsent_packets_total"] == {("front",): 1, ("back",): 0}
    assert told["guideway_vrrp_handed_over_total"] == {("front",): 1, ("back",): 0}
    assert told["guideway_vrrp_timer_lateness_seconds_bucket"] == {
        ("front", "0.01"): 90,
        ("front", "0.1"): 91,
        ("front", "+Inf"): 92,
    }
    assert told["guideway_vrrp_timer_lateness_seconds_count"] == {("front",): 92}
    assert told["guideway_vrrp_timer_lateness_seconds_sum"] == {("front",): 0.75}
    assert told["guideway_vrrp_timer_lateness_max_seconds"][("front",)] == 0.25
    assert told["guideway_vrrp_state_since_timestamp_seconds"][("front",)] == 900


def test_without_a_data_plane_there_are_no_counters_rather_than_zeros() -> None:
    told = samples(Seen(node=NODE))

    assert "guideway_packets_total" not in told
    assert "guideway_service_packets_total" not in told
    assert "guideway_vrrp_state" not in told
    assert "guideway_last_successful_reconcile_timestamp_seconds" not in told


def test_the_status_file_of_vrrpd_is_read_as_vrrpd_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "vrrp.json"
    status = Status(
        State.ACTIVE,
        900.0,
        150,
        IPv4Address("10.0.0.2"),
        3,
        {Fault.TTL: 2},
        latest=0.25,
        sent={Advert.ALIVE: 7},
        late=Lateness().told(),
    )
    with StatusFile(path) as file:
        file.write({"front": status})

    assert read_routers(path) == {
        "front": Router(
            "active",
            900.0,
            150,
            3,
            {"ttl": 2},
            latest=0.25,
            sent={"alive": 7},
            late=dict.fromkeys([*map(str, BOUNDS), "+Inf"], 0),
        )
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"front": 3}', b"\xff", b"[" * 100_000, b" " * (5 << 20)],
    ids=["empty", "cut", "list", "number", "not UTF-8", "deep", "huge"],
)
def test_what_is_no_status_file_tells_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vrrp.json"
    path.write_bytes(content)

    assert read_routers(path) is None


def test_no_status_file_tells_nothing(tmp_path: Path) -> None:
    assert read_routers(tmp_path / "vrrp.json") is None
    assert read_routers(tmp_path) is None


def test_peers_are_told_in_both_directions() -> None:
    told = samples(SEEN)

    both = ("192.0.2.2:7007",), ("192.0.2.3:7007",)
    assert told["guideway_peer_synced"] == dict(zip(both, (1, 0), strict=True))
    assert told["guideway_peer_lag_seconds"] == {both[0]: 0.5}
    assert told["guideway_peer_rings_received_total"] == dict(
        zip(both, (3, 0), strict=True)
    )
    assert told["guideway_peer_flows_received_total"][both[0]] == 700
    assert told["guideway_follower_rings_sent_total"] == {("CN=lb2",): 2}
    assert told["guideway_follower_flows_sent_total"] == {("CN=lb2",): 40}
    assert told["guideway_follower_look_seconds"] == {("CN=lb2",): 0.05}


def test_names_and_help_are_conventional() -> None:
    for family in parsed(SEEN):
        assert family.documentation
        assert family.samples
        for sample in family.samples:
            assert sample.name.startswith("guideway_")
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_a_value_of_a_label_may_have_any_character() -> None:
    name = 'a"b\\c\nd é'
    node = replace(NODE, release=name)

    build = samples(Seen(node=node))["guideway_build_info"]

    assert build == {(name, "7", "0123abcd"): 1}


def test_large_counts_are_exact() -> None:
    counted = Counters({}, {4: Counter(2**53 + 1, 0, 0)}, {})

    text = "".join(families(replace(SEEN, counters=counted)))

    assert 'guideway_service_packets_total{service="web"} 9007199254740993\n' in text


def test_what_the_policy_of_a_pool_comes_to_is_told() -> None:
    told = samples(SEEN)

    assert told["guideway_service_live_weight"] == {("web",): 2}
    assert told["guideway_service_quorum"] == {("web",): 0}
    assert told["guideway_service_sorry"] == {("web",): 0}
    assert told["guideway_service_backends_kept"] == {("web",): 1}
    assert told["guideway_service_backends_starting"] == {("web",): 1}


def test_a_sorry_server_is_no_backend_that_serves_but_its_traffic_is_told() -> None:
    (served,) = SEEN.served
    pool = replace(served.pool, sorry=True)
    serving = replace(
        served, slots={"a": 0, "sorry": 4}, backend_ids={"sorry": 13}, pool=pool
    )
    counters = replace(COUNTERS, backends={13: Counter(7, 700, 1)})

    told = samples(replace(SEEN, served=(serving,), counters=counters))

    assert told["guideway_service_sorry"] == {("web",): 1}
    assert told["guideway_service_backends_serving"] == {("web",): 0}
    assert told["guideway_backend_packets_total"] == {("web", "sorry"): 7}


def test_services_whose_backends_serve_by_themselves_have_no_such_metrics() -> None:
    (served,) = SEEN.served
    plain = replace(served, service=replace(served.service, pool=EACH_BY_ITSELF))

    told = samples(replace(SEEN, served=(plain,)))

    assert not any("quorum" in name or "sorry" in name for name in told)
