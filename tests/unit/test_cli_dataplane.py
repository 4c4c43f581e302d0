"""``guideway dataplane``: looking at the program and its maps, reloading, detaching."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from control.cli.main import guideway
from tests.support.command_line import CommandLine, command_line
from tests.support.running_api import DIGEST, LOADED


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


def test_its_status_shows_program_interfaces_and_maps(cli: CommandLine) -> None:
    rows = cli.rows("dataplane status")

    assert rows[0] == f"program: {DIGEST}, ABI 1"
    assert rows[2:] == [
        "origin: adopted from the daemon before",
        "memory: 196,608 bytes in 2 maps",
        "INTERFACE XDP ATTACHED",
        "eth0 native yes",
        "eth1 none no",
        "MAP USED LIMIT BYTES",
        "services 1 1,024 90,112",
        "records 7 1,024 106,496",
    ]


def test_its_status_in_json_keeps_its_shape(cli: CommandLine) -> None:
    assert json.loads(cli.said("-o json dataplane status")) == {
        "abi": 1,
        "digest": DIGEST,
        "adopted": True,
        "loaded": LOADED,
        "interfaces": [
            {"name": "eth0", "mode": "native", "attached": True},
            {"name": "eth1", "mode": "unspecified", "attached": False},
        ],
        "maps": [
            {"name": "services", "used": 1, "limit": 1024, "bytes": 90112},
            {"name": "records", "used": 7, "limit": 1024, "bytes": 106496},
        ],
    }


def test_detached_it_says_so(cli: CommandLine) -> None:
    cli.node.detached = True

    assert cli.rows("dataplane status")[0] == "program: none: the data plane is detached"
    assert "data plane: detached" in cli.rows("status")


def test_foreign_writes_are_told_of_in_the_status(cli: CommandLine) -> None:
    assert "mended: no foreign writes to the maps" in cli.rows("status")

    cli.node.repaired = 0.0

    (row,) = (row for row in cli.rows("status") if row.startswith("mended"))
    assert row.startswith("mended: 2 foreign writes to the maps, the last ")


def test_it_is_reloaded(cli: CommandLine) -> None:
    cli.node.detached = True

    assert cli.said("dataplane reload") == f"program {DIGEST} is loaded anew\n"
    assert not cli.node.detached


def test_a_reload_that_is_refused_says_why(cli: CommandLine) -> None:
    cli.node.refusal = "not reloaded: BCC is missing"

    result = cli.run("dataplane reload")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "guideway: not reloaded: BCC is missing\n"


def test_it_is_not_detached_without_a_yes(cli: CommandLine) -> None:
    result = cli.run("dataplane detach")

    assert result.exit_code == 1
    assert "If that is what you want, say --yes." in result.stderr
    assert not cli.node.detached


def test_it_is_detached_once(cli: CommandLine) -> None:
    assert cli.said("dataplane detach --yes") == "the data plane is detached\n"
    assert cli.node.detached

    result = cli.run("dataplane detach --yes")

    assert result.exit_code == 1
    assert result.stderr == "guideway: the data plane is detached already\n"


@pytest.mark.parametrize(("answer", "code", "detached"), [("y", 0, True), ("n", 1, False)])
def test_on_a_terminal_it_asks(
    cli: CommandLine, answer: str, code: int, detached: bool
) -> None:
    ours, its = pty.openpty()
    socket = ("--socket", str(cli.socket))
    command = (sys.executable, "-m", "control.cli.main", *socket, "dataplane", "detach")
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        os.write(ours, f"{answer}\n".encode())
        assert process.wait(30) == code
    finally:
        process.kill()
        os.close(ours)

    assert cli.node.detached is detached


def test_where_nobody_answers_detaching_names_the_other_way(tmp_path: Path) -> None:
    line = ["--socket", str(tmp_path / "none.sock"), "dataplane", "detach", "--yes"]
    result = CliRunner().invoke(guideway, line)

    assert result.exit_code == 1
    assert "`guidewayd --detach` takes the data plane away without it" in result.stderr
