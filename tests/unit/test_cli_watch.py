"""``guideway watch``, against a real API."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from structlog.testing import capture_logs

from control.api.v1 import events_pb2 as pb
from control.cli.happenings import happening_plain
from control.cli.watch import Lines
from control.events import (
    BackendChanged,
    DataPlaneChanged,
    PlaneChange,
    PoolChanged,
    ServingChanged,
    SuspicionChanged,
    VersionApplied,
    VersionConfirmed,
    VersionStored,
    VrrpChanged,
)
from control.status import Health
from tests.support.command_line import ADD_WEB, CommandLine, command_line
from tests.support.running_api import running_api


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


@contextmanager
def watching(socket: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    python = [sys.executable, "-m", "control.cli.main"]
    # Who runs the tests in the background may have Ctrl-C ignored, which is inherited.
    command = ["env", "--default-signal=INT", *python, "--socket", str(socket), *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(output: IO[str] | None) -> str:
    """Return the next line for people, without its time."""
    assert output
    time, sentence = re.fullmatch(r"([-\d]+ [:\d]+)  (.*)\n", output.readline()).groups()
    assert len(time) == 19
    return sentence


def test_people_get_a_line_for_each_event(cli: CommandLine) -> None:
    cli.said(ADD_WEB)
    cli.node.down["b"] = "health check: timed out"
    cli.node.warnings = ("eth1 is gone",)
    cli.node.hub.vrrp["inside"] = "backup"

    with watching(cli.socket, "watch") as process:
        first = [said(process.stdout) for _ in range(3)]
        cli.node.publish(
            BackendChanged("web", "a", Health.DOWN, "connection refused"),
            BackendChanged("web", "a", Health.UP, ""),
            VersionStored(2, ("dns", "ftp"), ("web",), ("mail",)),
            VersionStored(3, (), ("web",), (), "cli", "alice", "more of a"),
            VersionConfirmed(3, "bob"),
            VersionApplied(2),
            DataPlaneChanged(PlaneChange.FAILING, "eth0 is taken"),
            DataPlaneChanged(PlaneChange.MENDED),
            DataPlaneChanged(PlaneChange.RELOADED),
            DataPlaneChanged(PlaneChange.DETACHED),
            DataPlaneChanged(PlaneChange.ATTACHED),
            VrrpChanged("inside", "active", "backup", "the Active fell silent"),
            VrrpChanged("inside", ""),
            PoolChanged("web", 1, quorum=False, sorry=True),
            PoolChanged("web", 2, quorum=True, sorry=False, kept=("a", "b")),
            ServingChanged("web", serves=False, reason="its backend cannot serve: x"),
            ServingChanged("web", serves=True, reason=""),
            SuspicionChanged("web", "a", suspected=True),
            SuspicionChanged("web", "a", suspected=False),
        )
        then = [said(process.stdout) for _ in range(19)]

    assert first == [
        "warning: eth1 is gone",
        "VRRP inside is backup",
        "version 1: 1 service, 1 of 2 backends serve",
    ]
    assert then == [
        "web/a is down: connection refused",
        "web/a is up",
        "version 2 is stored: added dns, ftp; changed web; removed mail",
        "version 3 is stored by alice (cli), 'more of a': changed web",
        "version 3 is confirmed by bob, and stays",
        "version 2 is in the kernel",
        "packets are not balanced as they should be: eth0 is taken",
        "the data plane is all right again",
        "the data plane is loaded anew",
        "the data plane is detached: nothing is balanced",
        "the data plane is attached again",
        "VRRP inside is active, and was backup: the Active fell silent",
        "VRRP inside is gone",
        "web has no quorum: weight 1 is up; the sorry server serves",
        "web has its quorum: weight 2 is up; failed, but kept: a, b",
        "web is down: its backend cannot serve: x",
        "web is up again",
        "web/a is suspected, by its handshakes",
        "web/a is not suspected any more, by its handshakes",
    ]


def test_programs_get_an_object_on_each_line(cli: CommandLine) -> None:
    cli.said(ADD_WEB)
    shown = json.loads(cli.said("service show web -o json"))

    with watching(cli.socket, "watch", "web", "-o", "json") as process:
        assert process.stdout
        begin, service, end = (json.loads(process.stdout.readline()) for _ in range(3))
        cli.node.publish(
            BackendChanged("mail", "a", Health.DOWN, ""),
            BackendChanged("web", "a", Health.DOWN, "connection refused"),
            DataPlaneChanged(PlaneChange.FAILING, "eth0 is taken"),
        )
        backend, plane = (json.loads(process.stdout.readline()) for _ in range(2))

    assert (begin["event"], begin["missed"], begin["vrrp"]) == ("begin", 0, {})
    assert begin["node"]["desired_version"] == 1
    assert (service["event"], service["service"]) == ("service", shown)
    assert end == {"event": "end", "number": 0, "time": begin["time"]}
    time = backend.pop("time")
    assert begin["time"] <= time <= plane.pop("time")
    assert backend == {
        "event": "backend",
        "number": 2,
        "service": "web",
        "backend": "a",
        "health": "down",
        "reason": "connection refused",
    }
    assert plane == {
        "event": "data_plane",
        "number": 3,
        "change": "failing",
        "reason": "eth0 is taken",
    }


def test_every_kind_of_event_is_an_object_with_keys_of_its_own(
    cli: CommandLine,
) -> None:
    happens = (
        BackendChanged("web", "a", Health.DOWN, "connection refused"),
        ServingChanged("web", serves=False, reason="its backend cannot serve: x"),
        VersionStored(2, ("dns",), (), (), "file", "root", "more"),
        VersionApplied(2),
        DataPlaneChanged(PlaneChange.DETACHED),
        VrrpChanged("inside", "active", "backup", "the Active fell silent", 1000.5, 150),
        SuspicionChanged("web", "a", suspected=True),
    )
    with watching(cli.socket, "watch", "-o", "json") as process:
        assert process.stdout
        while json.loads(process.stdout.readline())["event"] != "end":
            pass
        cli.node.publish(*happens)
        told = [json.loads(process.stdout.readline()) for _ in happens]

    assert [one.pop("number") for one in told] == [1, 2, 3, 4, 5, 6, 7]
    assert all(one.pop("time") > 1e9 for one in told)
    assert told == [
        {
            "event": "backend",
            "service": "web",
            "backend": "a",
            "health": "down",
            "reason": "connection refused",
        },
        {
            "event": "serving",
            "service": "web",
            "serves": False,
            "reason": "its backend cannot serve: x",
        },
        {
            "event": "stored",
            "version": 2,
            "added": ["dns"],
            "changed": [],
            "removed": [],
            "source": "file",
            "author": "root",
            "comment": "more",
        },
        {"event": "applied", "version": 2},
        {"event": "data_plane", "change": "detached", "reason": ""},
        {
            "event": "vrrp",
            "instance": "inside",
            "state": "active",
            "before": "backup",
            "reason": "the Active fell silent",
            "since": 1000.5,
            "priority": 150,
        },
        {"event": "suspicion", "service": "web", "backend": "a", "suspected": True},
    ]


def test_a_service_that_is_not_there_is_said_so(cli: CommandLine) -> None:
    cli.said(ADD_WEB)

    with watching(cli.socket, "watch", "web", "wbe") as process:
        assert [said(process.stdout) for _ in range(2)] == [
            "version 1: 1 service, 2 of 2 backends serve",
            "there is no service 'wbe' so far",
        ]


def test_services_of_which_there_are_none_are_not_counted(cli: CommandLine) -> None:
    cli.said(ADD_WEB)

    with watching(cli.socket, "watch", "wbe", "ewb") as process:
        assert [said(process.stdout) for _ in range(2)] == [
            "there is no service 'wbe' so far",
            "there is no service 'ewb' so far",
        ]


def test_ctrl_c_ends_it_quietly(cli: CommandLine) -> None:
    with watching(cli.socket, "watch") as process:
        assert said(process.stdout).startswith("version 0")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (0, "")


def test_the_end_of_the_daemon_is_an_error(tmp_path: Path) -> None:
    with capture_logs(), running_api(tmp_path) as (socket, _):
        watched = watching(socket, "watch")
        process = watched.__enter__()
        said(process.stdout)
    _, errors = process.communicate(timeout=20)
    watched.__exit__(None, None, None)

    assert (process.returncode, errors) == (1, "guideway: guidewayd has ended\n")


def test_a_daemon_that_does_not_run_is_said_so(tmp_path: Path) -> None:
    with watching(tmp_path / "nowhere", "watch") as process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "cannot reach guidewayd at" in errors


def test_events_that_were_missed_are_said_so(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for message in (
        pb.WatchResponse(time=1, begin=pb.Begin(missed=7)),
        pb.WatchResponse(time=1, end=pb.End()),
        pb.WatchResponse(time=1),
    ):
        lines.show(happening_plain(message))

    said = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["7 events were missed", "version 0: 0 services, 0 of 0 backends serve"]


def test_the_field_that_is_wrong_is_named_if_the_sentence_does_not(
    cli: CommandLine,
) -> None:
    cli.said(ADD_WEB)

    named = cli.run("backend add web 10.0.0.9 --port 8080")
    said_already = cli.run("backend add web nowhere")

    assert named.stderr.endswith("leave the backend's port out (field backend.port)\n")
    assert said_already.stderr == (
        "guideway: backend.address: 'nowhere' is not an IP address\n"
    )


def test_yaml_is_a_document_for_each_event(cli: CommandLine) -> None:
    cli.said(ADD_WEB)

    with watching(cli.socket, "watch", "web", "-o", "yaml") as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(2)]

    assert lines == ["---\n", "event: begin\n"]
