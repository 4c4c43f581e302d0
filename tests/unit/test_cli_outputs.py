"""The command line's other ways to answer: YAML, and what ``ipvsadm -Ln`` prints."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from tests.support.command_line import ADD_WEB, CommandLine, command_line


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        cli.said(ADD_WEB)
        yield cli


@pytest.mark.parametrize(
    "command",
    [
        "service list",
        "service show web",
        "backend list",
        "stats",
        "status",
        "dataplane status",
    ],
)
def test_yaml_says_what_json_says(cli: CommandLine, command: str) -> None:
    wanted = json.loads(cli.said(f"{command} -o json"))
    said = cli.said(f"{command} -o yaml")

    assert yaml.safe_load(said) == wanted
    assert cli.said(f"-o yaml {command}") == said
    assert "&id" not in said


def test_a_change_answers_in_yaml(cli: CommandLine) -> None:
    said = cli.said("-o yaml backend drain web a")

    answer = yaml.safe_load(said)
    assert answer["message"].startswith("a gets no new flows of web any more")
    assert answer["version"] == cli.node.store.version


@pytest.mark.parametrize("change", ["rollback 0", "rollback 0 --dry-run", "diff 0"])
def test_what_differs_is_told_in_yaml_and_nothing_else_is(
    cli: CommandLine, change: str
) -> None:
    answer = yaml.safe_load(cli.said(f"{change} -o yaml"))

    assert [one["name"] for one in answer["difference"]["services"]] == ["web"]


def test_services_are_listed_as_by_ipvsadm(cli: CommandLine) -> None:
    cli.said(
        "service add dns --vip 2001:db8::10 --port 53 --protocol udp --mode nat "
        "--hash source --backend [2001:db8::1]:5353,weight=2"
    )
    cli.node.down["a"] = "no answer"

    assert cli.said("service list -o ipvsadm").splitlines() == [
        f"guideway {version('guideway')}",
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
        "TCP  192.0.2.10:80 mh (mh-port)",
        "  -> 10.0.0.1:80                  Route   0      -          -",
        "  -> 10.0.0.2:80                  Route   3      -          -",
        "UDP  [2001:db8::10]:53 mh",
        "  -> [2001:db8::1]:5353           Masq    2      -          -",
    ]


def test_the_option_may_stand_before_the_command(cli: CommandLine) -> None:
    assert cli.said("-o ipvsadm service list") == cli.said("service list -o ipvsadm")


@pytest.mark.parametrize(
    "line",
    [
        "backend list -o ipvsadm",
        "-o ipvsadm backend list",
        "-o ipvsadm backend drain web a",
        "-o ipvsadm service remove web",
        "-o ipvsadm rollback 0",
    ],
)
def test_only_a_list_of_services_looks_like_ipvsadm(cli: CommandLine, line: str) -> None:
    result = cli.run(line)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "ipvsadm" in result.stderr
    assert cli.node.store.version == 1
