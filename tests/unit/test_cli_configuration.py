"""The command line: the desired state as a file, and its history."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from control.cli.main import guideway
from control.config import parse_services
from control.status import NodeStatus, ServiceStatus
from tests.support.command_line import CommandLine, command_line
from tests.support.running_api import Node

FIRST = """\
services:
- {name: web, vip: 192.0.2.1, port: 80, mode: dr, backends: [
    {name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.2}]}
- {name: mail, vip: 192.0.2.2, port: 25, mode: nat, check: none}
"""
SECOND = """\
interfaces: [eth0]
services:
- {name: web, vip: 192.0.2.1, port: 80, mode: dr, hash: source, backends: [
    {name: a, address: 10.0.0.1, weight: 3}, {name: c, address: 10.0.0.3}]}
- {name: dns, vip: '2001:db8::3', port: 53, protocol: udp, mode: dr, ring_size: 11}
"""


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


@pytest.fixture
def first(tmp_path: Path) -> str:
    return written(tmp_path / "first.yaml", FIRST)


@pytest.fixture
def second(tmp_path: Path) -> str:
    return written(tmp_path / "second.yaml", SECOND)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_file_is_applied_once_and_says_what_it_does(cli, first: str) -> None:
    assert cli.rows(f"apply -f {first} --comment first") == [
        "+ service web 192.0.2.1:80/tcp, dr",
        "+ backend a 10.0.0.1:80, weight 1, active",
        "+ backend b 10.0.0.2:80, weight 1, active",
        "+ service mail 192.0.2.2:25/tcp, nat, checks none",
        "this is version 1 now",
    ]
    assert cli.rows(f"apply -f {first}") == ["nothing changes: version 1 is the same"]
    assert cli.node.store.state == parse_services(FIRST, "")[0]


def test_a_dry_run_says_what_it_would_do_to_flows(cli, first: str, second: str) -> None:
    cli.said(f"apply -f {first}")

    result = cli.run(f"apply -f {second} --dry-run")

    rows = [" ".join(row.split()) for row in result.stdout.splitlines()]
    assert rows == [
        "~ service web",
        "hash flow → source",
        "~ backend a weight 1 → 3",
        "+ backend c 10.0.0.3:80, weight 1, active",
        "- backend b 10.0.0.2:80, weight 1, active",
        (
            "4093 of 4093 slots move: 62.5% of the flows get another backend; 62.5% of "
            "those established now break"
        ),
        "BACKEND WEIGHT SLOTS",
        "a 1 → 3 2047 → 3070",
        "c 0 → 1 0 → 1023",
        "b 1 → 0 2046 → 0",
        "+ service dns [2001:db8::3]:53/udp, dr, ring_size 11",
        "- service mail 192.0.2.2:25/tcp, nat, checks none",
        "all its flows end",
        "this would change version 1; nothing is changed",
    ]
    assert result.stderr == (
        f"guideway: {second} is a whole configuration file: only its services are applied; "
        "the rest counts when guidewayd starts\n"
    )
    assert cli.node.store.version == 1


def test_what_is_exported_can_be_applied(cli, first: str, second: str, tmp_path) -> None:
    cli.run(f"apply -f {second}")
    exported = cli.said("export")
    cli.said(f"apply -f {first}")

    again = written(tmp_path / "again.yaml", exported)
    cli.said(f"apply -f {again}")

    assert cli.node.store.state == parse_services(SECOND, "")[0]
    assert cli.said("export") == cli.said("export --version 1") == exported
    as_json = written(tmp_path / "again.json", cli.said("export -o json"))
    assert cli.said(f"apply -f {as_json}") == "nothing changes: version 3 is the same\n"


def test_a_file_may_come_by_standard_input(cli) -> None:
    arguments = ["--socket", str(cli.socket), "apply", "-f", "-"]

    assert CliRunner().invoke(guideway, arguments, input=FIRST).exit_code == 0
    refused = CliRunner().invoke(guideway, arguments, input="services: 1")

    assert refused.stderr == (
        "guideway: standard input:1: services: Expected `array`, got `int`\n"
    )
    assert cli.node.store.version == 1


def test_the_history_tells_who_did_what(
    cli, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    cli.said(["apply", "-f", first, "--comment", "ticket 42"])
    monkeypatch.setenv("SUDO_USER", "bob")
    cli.said("backend drain web a")

    told = json.loads(cli.said("history -o json"))

    facts = [
        tuple(version[key] for key in ("version", "source", "author", "comment"))
        for version in told["versions"]
    ]
    assert facts == [
        (2, "cli", "bob", "set backend a of web"),
        (1, "cli", "alice", "ticket 42"),
    ]
    assert (told["current"], told["pending"]) == (2, None)
    assert [row.split()[0] for row in cli.rows("history --limit 1")] == ["VERSION", "2"]
    assert [row.split()[0] for row in cli.rows("history --before 2")] == ["VERSION", "1"]


@pytest.mark.parametrize(
    "line",
    [
        "service add dns --vip 192.0.2.9 --port 53 --mode dr",
        "service change web --hash source",
        "service remove web",
        "backend add web 10.0.0.9",
        "backend set web a --weight 9",
        "backend drain web a",
        "backend remove web a",
        "rollback 0",
    ],
)
def test_every_change_may_have_a_comment(cli, first: str, line: str) -> None:
    cli.said(f"apply -f {first}")

    cli.said([*line.split(), "--comment", "ticket 42"])

    newest = json.loads(cli.said("history -o json"))["versions"][0]
    assert (newest["version"], newest["comment"]) == (2, "ticket 42")


def test_a_comment_alone_is_no_change(cli, first: str) -> None:
    cli.said(f"apply -f {first}")

    assert cli.run("service change web --comment why").exit_code == 2
    refused = cli.run(["backend", "drain", "web", "a", "--comment", "two\nlines"])

    assert refused.exit_code == 1
    assert "comment: has a line break or another character" in refused.stderr
    assert cli.node.store.version == 1


def test_a_version_is_shown_as_the_file_that_it_is(cli, first: str) -> None:
    cli.said(["apply", "-f", first, "--comment", "ticket 42"])

    shown = cli.said("show 1")

    assert shown.startswith("# version 1, 2")
    assert shown.splitlines()[0].endswith(" (cli): ticket 42")
    assert parse_services(shown, "")[0] == cli.node.store.state
    told = json.loads(cli.said("show 1 -o json"))
    assert (told["version"], told["comment"]) == (1, "ticket 42")
    assert {"services": told["services"]} == yaml.safe_load(shown)


def test_versions_are_compared_and_brought_back(cli, first: str, second: str) -> None:
    cli.said(f"apply -f {first}")
    cli.run(f"apply -f {second}")

    forth, back = cli.rows("diff 1 2"), cli.rows("diff 2 1")
    assert "~ backend a weight 1 → 3" in forth
    assert "~ backend a weight 3 → 1" in back
    assert cli.rows("diff 1") == cli.rows(f"diff 1 -f {second}") == forth
    assert cli.rows(f"diff -f {first}") == back
    assert cli.said("diff 2 2") == "there is no difference\n"
    assert cli.rows("rollback 1 --dry-run")[:-1] == back
    told = json.loads(cli.said("rollback 1 -o json"))

    assert (told["version"], told["changed"]) == (3, True)
    assert told["difference"] == json.loads(cli.said("diff 2 3 -o json"))["difference"]
    assert cli.node.store.state == parse_services(FIRST, "")[0]


def test_an_unconfirmed_change_says_so_until_it_is_confirmed(cli, first: str) -> None:
    applied = cli.rows(f"apply -f {first} --confirm 10m")

    waits = (
        "version 1 waits to be confirmed by `guideway confirm`; without, what was before, "
        "nothing, comes back in"
    )
    for rows in (applied, cli.rows("status"), cli.rows("history")):
        assert rows[-1].startswith(waits)
    pending = json.loads(cli.said("status -o json"))["pending"]
    assert (pending["version"], pending["base"]) == (1, 0)
    assert 0 < pending["remaining"] <= 600
    refused = cli.run("service remove web")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("guideway: version 1 waits to be confirmed, for ")

    assert cli.said("confirm 1") == "version 1 is confirmed, and stays\n"
    (shown,) = json.loads(cli.said("history -o json"))["versions"]
    assert shown["confirmed_by"] == shown["author"]
    assert shown["confirmed"] >= shown["time"]
    assert f"; confirmed by {shown['author']}, 20" in cli.said("history")
    assert (
        cli.said("show 1")
        .splitlines()[1]
        .startswith(f"# confirmed by {shown['author']}, 20")
    )
    assert cli.run("confirm").stderr.startswith(
        "guideway: no version waits to be confirmed"
    )
    assert json.loads(cli.said("status -o json"))["pending"] is None


def test_who_waits_ends_when_all_is_known(
    cli, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.said(f"apply -f {first} --wait")
    behind = NodeStatus.__dataclass_fields__.keys()
    node_before = Node.node

    def late(node: Node) -> NodeStatus:
        status = node_before(node)
        facts = {name: getattr(status, name) for name in behind}
        return NodeStatus(**(facts | {"applied_version": 0}))

    monkeypatch.setattr(Node, "node", late)
    result = cli.run("rollback 0 --wait --timeout 0.2s")

    assert result.exit_code == 1
    assert result.stderr == (
        "guideway: version 2 is stored, but after 0.2 s the kernel has version 0: "
        "`guideway status` and `guideway backend list` say more\n"
    )


def test_who_waits_is_told_whom_it_waited_for(
    cli, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    services_before = Node.services

    def unresolved(node: Node) -> tuple[ServiceStatus, ...]:
        return tuple(
            replace(
                service,
                backends=tuple(
                    replace(backend, share=0.0, reason="nobody answers ARP")
                    for backend in service.backends
                ),
            )
            for service in services_before(node)
        )

    monkeypatch.setattr(Node, "services", unresolved)
    result = cli.run(f"apply -f {first} --wait --timeout 0.2")

    assert result.exit_code == 1
    assert result.stderr == (
        "guideway: version 1 is stored, but after 0.2 s not all backends serve: web/a: "
        "nobody answers ARP, and 1 more: `guideway status` and `guideway backend list` say "
        "more\n"
    )


@pytest.mark.parametrize(
    "line", ["rollback 0 --wait", "backend set web a --weight 7 --wait"]
)
def test_nobody_waits_for_a_data_plane_that_is_detached(cli, first: str, line: str) -> None:
    cli.said(f"apply -f {first}")
    cli.node.detached = True

    result = cli.run(line)

    assert result.exit_code == 1
    assert result.stderr == (
        "guideway: version 2 is stored, but there is no kernel to wait for: the data plane "
        "is detached; `guideway dataplane reload` attaches it, and fills it with this "
        "version\n"
    )


def test_a_file_is_validated_without_a_daemon(
    first: str, second: str, tmp_path: Path
) -> None:
    def run(path: str):
        arguments = ["--socket", "/nowhere", "validate", path]
        return CliRunner().invoke(guideway, arguments)

    assert run(first).stdout == f"{first} is right; services: 2, backends: 2\n"
    assert run(second).exit_code == 0
    wrong = written(tmp_path / "wrong.yaml", FIRST.replace("vip", "vipp"))
    result = run(wrong)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"guideway: {wrong}:2: services[0] (web): Object contains unknown field `vipp`; "
        "did you mean `vip`?\n"
    )


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("apply -f /nowhere/x.yaml", 1, "/nowhere/x.yaml: cannot be read: No such file"),
        ("apply", 2, "Missing option '-f'"),
        ("rollback 9", 1, "no version 9: `guideway history` lists"),
        ("show 9", 1, "no version 9: `guideway history` lists"),
        ("diff 0 9", 1, "no version 9: `guideway history` lists"),
        ("diff", 2, "say what to compare: a version, two of them, or a file"),
        ("diff 0 1 -f x", 2, "say what to compare"),
        ("rollback 0 --confirm 5d", 2, "'5d' is not a duration such as 60s, 5m or 1h"),
        ("rollback 0 --confirm 25h", 1, "confirm_timeout: 90000 s is not in 1…86400 s"),
        (
            "rollback 0 --expected-version 7",
            1,
            "version 7 is expected, and the desired state is only version",
        ),
        ("history --limit 0", 2, "0 is not in the range"),
    ],
)
def test_what_is_wrong_is_one_sentence(cli, line: str, code: int, sentence: str) -> None:
    result = cli.run(line)

    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr


def test_a_hostile_file_is_refused_quickly(cli, tmp_path: Path) -> None:
    for number, text in enumerate(
        ["[" * 100_000, "a: &a [1,2]\n" + "b: [*a, *a]\n" * 9, "x" * 10_000_000]
    ):
        path = written(tmp_path / f"{number}.yaml", text)
        result = cli.run(f"apply -f {path}")

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(f"guideway: {path}")
        assert result.stderr.count("\n") == 1
    assert cli.node.store.version == 0
