"""The command line: what a change would do, and waiting until it is done."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from control.cli import convergence
from control.cli.main import guideway
from control.status import Health, ServiceStatus
from tests.support.command_line import ADD_WEB, CommandLine, command_line
from tests.support.running_api import Node

ADD_DEAD = "service add dead --vip 192.0.2.11 --port 80 --mode dr --backend 10.0.0.9,name=x"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        cli.said(ADD_WEB)
        yield cli


@pytest.mark.parametrize(
    ("line", "first"),
    [
        (ADD_DEAD, "+ service dead 192.0.2.11:80/tcp, dr"),
        ("service change web --hash source", "~ service web"),
        ("service remove web", "- service web 192.0.2.10:80/tcp, dr"),
        ("backend add web 10.0.0.9", "~ service web"),
        ("backend set web a --weight 9", "~ service web"),
        ("backend drain web a", "~ service web"),
        ("backend drain web a --wait", "~ service web"),
        ("backend remove web a", "~ service web"),
    ],
)
def test_every_change_can_be_tried(cli: CommandLine, line: str, first: str) -> None:
    rows = cli.rows(f"{line} --dry-run")

    assert rows[0] == first
    assert rows[-1] == "this would change version 1; nothing is changed"
    assert cli.node.store.version == 1


def test_a_trial_says_what_the_file_would_that_does_the_same(
    cli: CommandLine, tmp_path: Path
) -> None:
    tried = cli.said("backend set web a --weight 3 --dry-run")
    as_json = json.loads(cli.said("backend set web a --weight 3 --dry-run -o json"))
    cli.said("backend set web a --weight 3")
    file = tmp_path / "services.yaml"
    file.write_text(cli.said("export"))
    cli.said("rollback 1")

    applied = cli.said(f"apply -f {file} --dry-run")

    assert applied.replace("version 3", "version 1") == tried
    assert " ".join(tried.split()).count("a 1 → 3 1023 → 2047 b 3 3070 → 2046") == 1
    told = json.loads(cli.said(f"apply -f {file} --dry-run -o json"))
    assert told["difference"] == as_json["difference"]
    assert (as_json["changed"], as_json["dry_run"]) == (True, True)


def test_a_trial_of_what_is_so_already_says_that_nothing_changes(cli: CommandLine) -> None:
    said = cli.said("backend set web a --weight 1 --dry-run")

    assert said == "nothing changes: version 1 is the same\n"


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("service change web --port 80", "service web"),
        ("service change web --name web --vip 192.0.2.10 --wait", "service web"),
        ("backend set web a --weight 1", "backend a of web"),
        ("backend set web a --state active --wait", "backend a of web"),
        ("backend drain web b", "backend b of web"),
    ],
)
def test_a_change_of_what_is_so_already_makes_no_version(
    cli: CommandLine, line: str, subject: str
) -> None:
    cli.said("backend drain web b")

    said = cli.said(line)
    told = json.loads(cli.said(f"{line} -o json"))

    message = f"{subject}: nothing changes"
    assert said == f"{message}\n"
    assert told == {"message": message, "version": 2, "changed": False}
    assert cli.node.store.version == 2


def test_a_change_is_told_from_none_in_json(cli: CommandLine) -> None:
    told = json.loads(cli.said("backend set web a --weight 7 -o json"))

    assert (told["version"], told["changed"]) == (2, True)


def test_waiting_for_a_drain_says_that_it_was_under_way(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.said("backend drain web b")
    monkeypatch.setattr("control.cli.backend.wait_until_drained", lambda *_: "it is quiet")

    result = cli.run("backend drain web b --wait")

    assert result.stderr == "backend b of web: nothing changes\n"
    assert result.stdout == "b is drained: it is quiet\n"


def test_what_is_not_there_before_or_after_is_called_none(cli: CommandLine) -> None:
    cli.said("backend set web a --zone rack1")

    tried = cli.rows("backend set web b --zone rack1 --dry-run")
    undone = cli.rows(["backend", "set", "web", "a", "--zone", "", "--dry-run"])

    assert "~ backend b zone none → rack1" in tried
    assert "~ backend a zone rack1 → none" in undone


def test_a_deadline_is_told_in_whole_seconds(cli: CommandLine) -> None:
    tried = cli.rows("backend drain web a --deadline 2h --dry-run")
    cli.said("backend drain web a --deadline 2h")
    later = cli.rows("backend drain web a --deadline 3h --dry-run")

    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    assert re.search(f"state active → draining, drain_deadline none → {time}$", tried[1])
    assert re.search(f"backend a drain_deadline {time} → {time}$", later[1])


def test_checks_of_a_backend_are_told_from_those_of_its_service(cli: CommandLine) -> None:
    unchecked = cli.rows("backend set web a --no-check --dry-run")
    cli.said("backend set web a --no-check")
    checked = cli.rows("backend set web a --service-check --dry-run")

    assert "~ backend a checks the service's → none" in unchecked
    assert "~ backend a checks none → the service's" in checked


def test_what_is_special_of_a_backend_that_comes_or_goes_is_said(cli: CommandLine) -> None:
    rows = cli.rows("backend add web 10.0.0.9,zone=r1 --check http,path=/x --dry-run")

    told = "+ backend 10.0.0.9 10.0.0.9:80, weight 1, active, zone r1, checks http, path=/x"
    assert told in rows


def test_a_service_is_renamed_and_keeps_its_flows(cli: CommandLine) -> None:
    rows = cli.rows("service change web --name www --dry-run")

    assert rows == [
        "~ service www",
        "name web → www",
        "no slot of 4093 moves, and no flow",
        "this would change version 1; nothing is changed",
    ]
    said = cli.said("service change web --name www --wait")
    assert said == "service web is changed, and called www now\n"
    assert [one.name for one in cli.node.store.state] == ["www"]


def test_a_service_gets_another_vip_which_ends_its_flows(cli: CommandLine) -> None:
    rows = cli.rows("service change web --vip 192.0.2.99 --port 8080 --dry-run")

    assert "vip 192.0.2.10 → 192.0.2.99" in rows
    assert any(row.endswith("100.0% of those established now break") for row in rows)
    cli.said("service change web --vip 192.0.2.99 --port 8080 --protocol udp")
    assert cli.node.store.state.service("web").where == "192.0.2.99:8080/udp"


def test_a_port_that_is_taken_from_a_service_of_every_port_is_told_so(
    cli: CommandLine,
) -> None:
    cli.said("service change web --port 0 --no-check")

    added = cli.rows(ADD_DEAD.replace("192.0.2.11", "192.0.2.10") + " --dry-run")

    assert added[0] == "+ service dead 192.0.2.10:80/tcp, dr"
    assert added[2] == "service web has these flows so far"
    assert added[3].endswith("100.0% of those established now break")


def unknown(node: Node, *names: str, reason: str = "") -> None:
    """Let nothing be known of the backends of these services."""
    before = type(node).services

    def services(self: Node) -> tuple[ServiceStatus, ...]:
        return tuple(
            replace(
                service,
                backends=tuple(
                    replace(backend, health=Health.UNKNOWN, reason=reason)
                    for backend in service.backends
                ),
            )
            if service.service.name in names
            else service
            for service in before(self)
        )

    node.services = services.__get__(node)  # type: ignore[method-assign]


def test_who_waits_waits_for_what_changed_and_for_nothing_else(cli: CommandLine) -> None:
    cli.said(ADD_DEAD)
    unknown(cli.node, "dead")

    assert cli.said("backend set web a --weight 7 --wait") == "a has weight 7 in web now\n"


def test_why_a_health_is_not_known_is_said(cli: CommandLine) -> None:
    unknown(cli.node, "web", reason="its first health check has not ended: no eth9")

    result = cli.run("backend set web a --weight 7 --wait --timeout 0.2s")

    assert "web/a: its first health check has not ended: no eth9" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "backend set dead x --weight 7 --wait --timeout 0.2s",
            "dead/x: its health is not",
        ),
        ("backend remove web a --wait", ""),
        ("rollback 0 --wait", ""),
    ],
)
def test_who_waits_may_say_for_how_long(cli: CommandLine, line: str, sentence: str) -> None:
    cli.said(ADD_DEAD)
    unknown(cli.node, "dead")

    result = cli.run(line)

    assert sentence in result.stderr
    assert result.exit_code == bool(sentence)
    if sentence:
        assert (
            "version 3 is stored, but after 0.2 s not all backends serve" in result.stderr
        )


@pytest.mark.parametrize(
    "line",
    [
        f"{ADD_DEAD} --wait",
        "backend remove web b --wait",
        "service change web --fall 9 --wait",
    ],
)
def test_who_waits_for_a_service_that_is_dead_is_told_so(
    cli: CommandLine, line: str
) -> None:
    cli.node.down.update(a="no answer", b="no answer", x="no answer")

    result = cli.run(line)

    assert result.exit_code == 1
    name = "dead: x" if "dead" in line else "web: a"
    assert result.stderr == (
        f"guideway: version 2 is in the kernel, but nobody serves {name}: no answer\n"
    )
    assert cli.node.store.version == 2


def test_a_limit_for_no_wait_is_refused(cli: CommandLine) -> None:
    result = cli.run("backend set web a --weight 7 --timeout 5m")

    assert result.exit_code == 2
    assert "--timeout behind a command says how long --wait waits" in result.stderr
    assert cli.node.store.version == 1


def test_a_wait_says_on_a_terminal_alone_what_it_waits_for(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown(cli.node, "web")
    monkeypatch.setattr(convergence, "_SAY_AFTER", 0.0)
    line = "backend set web a --weight 7 --wait --timeout 1.5s"
    piped = cli.run(line)
    monkeypatch.setattr(convergence, "is_terminal", lambda: True)

    words = ["--socket", str(cli.socket), *line.replace("7", "8").split()]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(guideway, words).stderr

    assert piped.stderr.count("\n") == 1
    assert "waiting" not in piped.stderr
    assert "waiting 0 s of 1.5: not all backends serve: web/a: its health is not" in shown
    # The line goes away before the sentence comes; click takes colours and their like out.
    assert "\rguideway: version 3 is stored, but after 1.5 s" in shown
