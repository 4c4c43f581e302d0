"""The command line starts fast: it imports what a command needs, and no more."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import ADD_WEB, CommandLine, command_line

# Runs a command line in a fresh interpreter, and says on its last line what came with it.
RUN = """
import sys
from control.cli.main import guideway
try:
    guideway(sys.argv[1:], prog_name="guideway")
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules)
"""
# Nobody needs these: each takes longer than all that is ours, or has no business here.
NEVER = {
    "aiohttp",
    "bcc",
    "control.config",
    "control.daemon",
    "control.store",
    "cryptography",
    "dataplane",
    "dns",
    "importlib.metadata",
    "maglev",
    "msgspec",
    "numpy",
    "prometheus_client",
    "pyroute2",
    "re2",
    "sqlite3",
    "structlog",
    "yaml",
}
WITHOUT_A_DAEMON = {"asyncio", "grpc", "google.rpc", "socketserver", "ssl"}


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    with command_line(tmp_path_factory.mktemp("start")) as cli:
        cli.said(ADD_WEB)
        yield cli


def imported(socket: Path, *words: str) -> set[str]:
    command = [sys.executable, "-c", RUN, "--socket", str(socket), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=50)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "line", ["--help", "service --help", "service add --help", "completion bash"]
)
def test_help_needs_no_grpc(tmp_path: Path, line: str) -> None:
    found = imported(tmp_path / "nobody.sock", *line.split())

    assert found & (NEVER | WITHOUT_A_DAEMON) == set()
    assert "click" in found


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "service list",
        "backend list web",
        "history",
        "diff 0",
        "stats",
        "confirm -h",
    ],
)
def test_a_question_needs_grpc_and_little_else(cli: CommandLine, line: str) -> None:
    found = imported(cli.socket, *line.split())

    assert found & NEVER == set()


def test_a_file_needs_its_parser_and_no_daemon(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text("services: []\n")

    found = imported(tmp_path / "nobody.sock", "validate", str(file))

    assert {"msgspec", "yaml"} <= found
    assert "grpc" not in found
