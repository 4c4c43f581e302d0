"""The command line: JSON for programs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.cli.plain_checks import CheckDefaultsPlain
from tests.support.command_line import ADD_WEB, CommandLine, command_line
from tests.support.running_api import BACKEND_MAC, STARTED

CHECK = {
    "type": "tcp",
    "interval": 1.0,
    "timeout": 1.0,
    "rise": 2,
    "fall": 3,
    "port": None,
    "retry_interval": None,
    "initial": "first",
    "jitter": 0.1,
    "damping": 0.0,
    "source": None,
    "interface": None,
    "via": "backend",
}


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


def test_a_service_in_json_keeps_its_shape(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.node.down["a"] = "no answer"
    web = {
        "name": "web",
        "vip": "192.0.2.10",
        "protocol": "tcp",
        "port": 80,
        "mode": "dr",
        "check": CHECK,
        "checks": [CHECK],
        "ring_size": 4093,
        "ring_size_wanted": None,
        "affinity": "transition",
        "hash": "flow",
        "returns": "stateless",
        "check_defaults": {key: CHECK[key] for key in CheckDefaultsPlain.__annotations__},
        "pool": {
            "quorum": 1,
            "hysteresis": 0,
            "sorry_server": None,
            "when_all_down": "sorry",
            "keep_flows": False,
            "max_ejected": 1.0,
            "slow_start": 0.0,
            "watch_handshakes": False,
            "live_weight": 3,
            "quorum_reached": True,
            "sorry_serves": False,
            "sorry_problem": "",
        },
        "backends": [
            {
                "service": "web",
                "name": "a",
                "address": "10.0.0.1",
                "port": 80,
                "weight": 1,
                "state": "active",
                "health": "down",
                "reason": "no answer",
                "since": STARTED,
                "share": 0.0,
                "mac": None,
                "dynamic_weight": None,
                "zone": "",
                "drain_deadline": None,
                "ramp": None,
                "kept": "",
                "suspected": "",
                "checks": None,
            },
            {
                "service": "web",
                "name": "b",
                "address": "10.0.0.2",
                "port": 80,
                "weight": 3,
                "state": "active",
                "health": "up",
                "reason": "",
                "since": None,
                "share": 1.0,
                "mac": BACKEND_MAC,
                "dynamic_weight": None,
                "zone": "",
                "drain_deadline": None,
                "ramp": None,
                "kept": "",
                "suspected": "",
                "checks": None,
            },
        ],
    }

    assert json.loads(cli.said("-o json service list")) == [web]
    assert json.loads(cli.said("service show web -o json")) == web
    assert json.loads(cli.said("backend list --output json")) == web["backends"]


def test_a_service_that_nobody_serves_has_no_quorum(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.node.down.update(a="no answer", b="no answer")

    pool = json.loads(cli.said("service show web -o json"))["pool"]

    assert (pool["live_weight"], pool["quorum_reached"]) == (0, False)
    assert "quorum: lost: weight 0 is up, of 1" in cli.rows("service show web")


def test_a_shown_backend_in_json_has_its_probes(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.node.down["a"] = "no answer"

    shown = json.loads(cli.said("backend show web a -o json"))

    listed = json.loads(cli.said("backend list web -o json"))[0]
    no_result = {"outcome": "none", "problem": "Too many open files"}
    failed = {"outcome": "failed", "problem": "no answer"}
    probe = {
        "check": CHECK,
        "port": 80,
        "health": "down",
        "since": STARTED,
        "against": 1,
        "needed": 2,
        "hold": 19.2,
        "results": [
            {"time": STARTED, "duration": 0.0021, **no_result},
            {"time": STARTED + 1, "duration": 0.001, **failed},
        ],
    }
    assert shown == {**listed, "probes": [probe]}


def test_the_output_named_last_counts(cli: CommandLine) -> None:
    assert cli.said("-o json service list -o table").startswith("SERVICE")


def test_a_change_in_json_has_its_version(cli: CommandLine) -> None:
    assert json.loads(cli.said(ADD_WEB + " -o json")) == {
        "message": "service web is added at 192.0.2.10:80/tcp",
        "version": 1,
        "changed": True,
    }


def test_statistics_in_json_are_complete(cli: CommandLine) -> None:
    cli.run(ADD_WEB)

    assert json.loads(cli.said("stats -o json")) == {
        "reasons": [
            {
                "reason": "forwarded_dr",
                "verdict": "forward",
                "meaning": "sent to a backend",
                "packets": 100,
                "bytes": 6400,
                "flows": 5,
            },
            {
                "reason": "malformed",
                "verdict": "drop",
                "meaning": "cut short",
                "packets": 0,
                "bytes": 0,
                "flows": 0,
            },
        ],
        "services": [{"service": "web", "packets": 100, "bytes": 6400, "flows": 5}],
        "backends": [
            {"service": "web", "backend": "a", "packets": 100, "bytes": 6400, "flows": 5},
            {"service": "web", "backend": "b", "packets": 100, "bytes": 6400, "flows": 5},
        ],
    }
    only = json.loads(cli.said("stats -o json --services"))
    assert only == {
        "services": [{"service": "web", "packets": 100, "bytes": 6400, "flows": 5}]
    }


def test_the_status_in_json_keeps_its_shape(cli: CommandLine) -> None:
    assert json.loads(cli.said("status -o json")) == {
        "release": "0.1.0",
        "instance": "default",
        "abi": 1,
        "digest": "0123456789abcdef",
        "interfaces": [
            {
                "name": "eth0",
                "mode": "native",
                "vlans": [{"name": "trunk", "tags": ["802.1ad 7", "802.1Q 10"]}],
            }
        ],
        "adopted": True,
        "desired_version": 0,
        "applied_version": 0,
        "warnings": [],
        "started": STARTED,
        "repairs": 0,
        "peers": [],
        "followers": [],
        "repaired": None,
        "detached": False,
        "pending": None,
    }
