"""Tab completion: by click's own mechanism, with names that the daemon knows."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import AF_UNIX, socket

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from control.cli import completion as module
from control.cli.main import guideway
from tests.support.command_line import ADD_WEB, CommandLine, command_line

BIN = Path(sys.executable).parent


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        cli.said(ADD_WEB)
        cli.said("service add wiki --vip 192.0.2.11 --port 80 --mode dr --backend 10.0.0.9")
        yield cli


def completed(path: Path, line: str) -> list[str]:
    """Return what the last word of a line may become."""
    *words, incomplete = line.split(" ")
    shell = ShellComplete(guideway, {}, "guideway", "_GUIDEWAY_COMPLETE")
    arguments = ["--socket", str(path), *words]
    return [item.value for item in shell.get_completions(arguments, incomplete)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("service show ", ["web", "wiki"]),
        ("service change wi", ["wiki"]),
        ("service remove x", []),
        ("backend list w", ["web", "wiki"]),
        ("backend add we", ["web"]),
        ("backend drain web ", ["a", "b"]),
        ("backend set web a", ["a"]),
        ("backend remove wiki ", ["10.0.0.9"]),
        ("backend remove nobody ", []),
        ("backend set web a --state ", ["active", "draining", "disabled"]),
        ("service list -o i", ["ipvsadm"]),
        ("compl", ["completion"]),
        ("completion z", ["zsh"]),
    ],
)
def test_words_are_completed(cli: CommandLine, line: str, expected: list[str]) -> None:
    assert completed(cli.socket, line) == expected


def test_without_a_daemon_no_name_is_known(tmp_path: Path) -> None:
    assert completed(tmp_path / "nobody.sock", "service show ") == []


def test_a_daemon_that_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    path = tmp_path / "silent.sock"
    with socket(AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        before = time.monotonic()

        assert completed(path, "service show ") == []
        assert time.monotonic() - before < 5


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(guideway, ["completion", shell])

    assert (result.exit_code, result.stderr) == (0, "")
    assert f"_GUIDEWAY_COMPLETE={shell}_complete" in result.stdout


def test_bash_completes_by_the_script(cli: CommandLine) -> None:
    script = (
        "source <(guideway completion bash); "
        "COMP_WORDS=(guideway service show we); COMP_CWORD=3; "
        "_guideway_completion guideway; echo ${COMPREPLY[@]}"
    )
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "GUIDEWAY_SOCKET": str(cli.socket),
    }
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )

    assert (done.stdout, done.stderr) == ("web\n", "")
