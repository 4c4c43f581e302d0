"""A client that knows the API by reflection alone, as grpcurl does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.access import Role
from control.api.roles import RULES
from control.api.v1 import configuration_pb2, guideway_pb2
from tests.support.command_line import ADD_WEB, CommandLine, command_line

ROOT = Path(__file__).parents[2]
FLOW = {
    "protocol": "PROTOCOL_TCP",
    "source": "198.51.100.7",
    "source_port": 40000,
    "destination": "192.0.2.10",
    "destination_port": 80,
}
REQUESTS = {  # of those that need something said
    "LoadBalancer/GetService": {"name": "web"},
    "LoadBalancer/GetBackend": {"service": "web", "backend": "a"},
    "LoadBalancer/Explain": FLOW,
    "Configuration/GetVersion": {"version": "1"},
    "Configuration/Diff": {"from": "0"},
}
VIEWS = [
    f"{service}/{method}"
    for service, rules in RULES.items()
    for method, rule in rules.items()
    if rule.role is Role.VIEW and rule.seconds is not None
]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("api")) as cli:
        cli.said(ADD_WEB)
        yield cli


def client(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run the example where none of our packages is, but for what is installed."""
    path = ROOT / "examples" / "client" / "call.py"
    environment = {**os.environ, "GRPC_VERBOSITY": "NONE"}
    return subprocess.run(
        [sys.executable, str(path), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
        cwd="/",
        env=environment,
    )


def test_it_has_no_code_of_ours() -> None:
    text = (ROOT / "examples" / "client" / "call.py").read_text()

    assert "import control" not in text
    assert "from control" not in text


def test_it_lists_every_method(cli: CommandLine) -> None:
    done = client("list", str(cli.socket))

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{service}/{method}" + (" stream" if rule.seconds is None else "")
        for service, rules in RULES.items()
        for method, rule in rules.items()
    )


@pytest.mark.parametrize("method", VIEWS)
def test_it_calls_every_method_that_looks(cli: CommandLine, method: str) -> None:
    request = REQUESTS.get(method.removeprefix("guideway.v1."), {})

    done = client(method, json.dumps(request), str(cli.socket))

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


def test_it_changes_something(cli: CommandLine) -> None:
    service = {
        "name": "dns",
        "vip": "192.0.2.11",
        "protocol": "PROTOCOL_UDP",
        "port": 53,
        "mode": "MODE_NAT",
    }
    backends = [{"address": "10.0.0.1"}, {"address": "10.0.0.2", "weight": 3}]
    request = {"service": service, "backends": backends, "comment": "by reflection"}

    done = client(
        "guideway.v1.LoadBalancer/AddService", json.dumps(request), str(cli.socket)
    )
    versions = json.loads(cli.said("history -o json --limit 1"))["versions"]

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"version": "2"}
    assert versions[0]["source"] == "api"
    assert versions[0]["comment"] == "by reflection"
    assert json.loads(cli.said("service show dns -o json"))["backends"][1]["weight"] == 3


def test_it_is_told_what_is_wrong(cli: CommandLine) -> None:
    def refusal(*words: str) -> str:
        done = client(*words, str(cli.socket))
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    assert refusal("guideway.v1.LoadBalancer/GetService", '{"name": "webb"}').startswith(
        "call.py: NOT_FOUND: no service 'webb'"
    )
    assert refusal("guideway.v1.LoadBalancer/GetServices", "{}").startswith(
        "call.py: no method 'guideway.v1.LoadBalancer/GetServices'"
    )
    assert "nam" in refusal("guideway.v1.LoadBalancer/GetService", '{"nam": "web"}')


def test_the_health_probe_is_answered(cli: CommandLine) -> None:
    """grpc_health_probe calls Check, with a service if it is given one."""
    for request in ("{}", '{"service": "guideway.v1.LoadBalancer"}'):
        done = client("grpc.health.v1.Health/Check", request, str(cli.socket))
        assert done.stdout == '{"status": "SERVING"}\n'


def test_what_it_lists_is_all_that_there_is() -> None:
    for file in (guideway_pb2, configuration_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            assert set(RULES[service.full_name]) == set(service.methods_by_name)
