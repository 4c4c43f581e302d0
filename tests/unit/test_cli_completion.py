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

from control.cli import known_names as module
from control.cli.main import guideway
from tests.support.command_line import ADD_WEB, CommandLine, command_line

BIN = Path(sys.executable).parent


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """Return a command line whose Tab key waits for a busy machine, too."""
    monkeypatch.setattr(module, "_PATIENCE", 10.0)
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
        ("watch ", ["web", "wiki"]),
        ("watch web w", ["wiki"]),
        ("show ", ["2", "1"]),
        ("rollback 1", ["1"]),
        ("diff 1 ", ["2", "1"]),
        ("confirm ", ["2", "1"]),
        ("export --version ", ["2", "1"]),
        ("history --before ", ["2", "1"]),
        ("apply -f x --expected-version ", ["2", "1"]),
        ("explain tcp 198.51.100.7:40000 192.0.2.11", ["192.0.2.11:80"]),
        ("explain --interface ", ["eth0"]),
        ("explain tcp 198.51.100.7 : 40000 --interface e", ["eth0"]),
        ("service change web --check ht", ["http", "https"]),
        ("backend set web a --zone ", []),
        ("import ipvsadm x --interface l", ["lo"]),
        ("vrrp --socket /nowhere failover ", []),
    ],
)
def test_words_are_completed(cli: CommandLine, line: str, expected: list[str]) -> None:
    assert completed(cli.socket, line) == expected


def test_zones_are_completed(cli: CommandLine) -> None:
    cli.said("backend set web a --zone rack1")
    cli.said("backend set web b --zone rack2")

    assert completed(cli.socket, "backend set wiki 10.0.0.9 --zone r") == ["rack1", "rack2"]


def test_a_version_stands_with_what_it_is(cli: CommandLine) -> None:
    shell = ShellComplete(guideway, {}, "guideway", "_GUIDEWAY_COMPLETE")

    found = shell.get_completions(["--socket", str(cli.socket), "show"], "")

    assert [(one.value, one.help) for one in found] == [
        ("2", "add service wiki"),
        ("1", "add service web"),
    ]


@pytest.mark.parametrize("line", ["service show ", "show ", "explain --interface "])
def test_without_a_daemon_no_name_is_known(tmp_path: Path, line: str) -> None:
    assert completed(tmp_path / "nobody.sock", line) == []


def test_names_are_asked_where_the_command_will_go(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUIDEWAY_SOCKET", str(cli.socket))
    shell = ShellComplete(guideway, {}, "guideway", "_GUIDEWAY_COMPLETE")

    def names(*words: str) -> list[str]:
        found = shell.get_completions([*words, "service", "show"], "")
        return [item.value for item in found]

    assert names() == ["web", "wiki"]
    files = ("--ca", "ca.pem", "--cert", "me.pem", "--key", "me.key")
    assert names("--address", "127.0.0.1:1", *files) == []
    assert names("--address", "127.0.0.1:1") == []


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
