"""The command line, run against a real API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from control.cli.main import guideway
from tests.support.running_api import Node, running_api

ADD_WEB = (
    "service add web --vip 192.0.2.10 --port 80 --mode dr "
    "--backend 10.0.0.1,name=a --backend 10.0.0.2,name=b,weight=3"
)


@dataclass(frozen=True)
class CommandLine:
    """``guideway`` and the node that it talks to."""

    socket: Path
    node: Node

    def run(self, line: str | Sequence[str]) -> Result:
        """Run a command line: its words, or a line that has no spaces within words."""
        words = line.split() if isinstance(line, str) else line
        return CliRunner().invoke(guideway, ["--socket", str(self.socket), *words])

    def said(self, line: str | Sequence[str]) -> str:
        """Return what a command that goes well prints."""
        result = self.run(line)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    def rows(self, line: str | Sequence[str]) -> list[str]:
        """Return the lines that a command prints, one space between words."""
        return [
            " ".join(row.split()) for row in self.said(line).splitlines() if row.strip()
        ]


@contextmanager
def command_line(directory: Path) -> Iterator[CommandLine]:
    """Serve the API and give the command line for it."""
    # Logs would go where the commands print.
    with capture_logs(), running_api(directory) as (socket, node):
        yield CommandLine(socket, node)
