"""What an operator does with guidewayd on a node of the lab."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.wait import eventually
from vagrant.lab.errors import CommandError
from vagrant.lab.hosts import PROJECT
from vagrant.lab.node import Node
from vagrant.lab.program import Program
from vagrant.lab.programs import attached


def edit(node: Node, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a node's file as an operator would."""
    content = yaml.safe_load(node.paths.guidewayd_file.read_text())
    change(content)
    node.paths.guidewayd_file.write_text(yaml.safe_dump(content))


def programs(node: Node) -> list[int]:
    return attached(node.host.namespace)


def restart(node: Node) -> None:
    """Stop guidewayd, if it runs, and start it."""
    node.guidewayd.stop()
    node.guidewayd.start()
    node.wait_until_ready()


def guidewayd(node: Node, *arguments: str, before: tuple[str, ...] = ()) -> str:
    """Run guidewayd on a node until it ends, and return what it printed."""
    config = ("--config", str(node.paths.guidewayd_file))
    command = (*before, sys.executable, "-m", "control.daemon", *config, *arguments)
    return node.host.run(*command, timeout=50)  # a start may compile


def guideway(node: Node, *arguments: str) -> str:
    socket = ("--socket", str(node.paths.socket))
    command = (sys.executable, "-m", "control.cli.main", *socket, *arguments)
    return node.host.run(*command, timeout=50)  # a reload compiles


def refusal(node: Node, *arguments: str, before: tuple[str, ...] = ()) -> str:
    """Return the one sentence by which guidewayd refuses to start."""
    with pytest.raises(CommandError) as caught:
        guidewayd(node, *arguments, before=before)
    assert caught.value.code == 1
    said = [line for line in caught.value.output.splitlines() if line[:1] != "{"]
    assert len(said) == 1, said
    assert said[0].startswith("guidewayd: ")
    return said[0]


def change(node: Node, *arguments: str) -> None:
    """Change something by the command line, and wait until the kernel has it."""
    guideway(node, *arguments)
    eventually(node.api.answers, within=5, what="the kernel has the change")


class ScriptedDaemon(Program):
    """guidewayd, started by some Python that does something before."""

    def __init__(self, node: Node, before: str) -> None:
        config = ("--config", str(node.paths.guidewayd_file))
        log = node.paths.directory / "guidewayd.log"
        super().__init__(node.host, "control.daemon", config, log)
        script = f"{before}\nfrom control.daemon import main; main()"
        self._command = (sys.executable, "-c", script, *config)

    def start(self) -> None:
        """Start it; harmless if it is running."""
        if not self.running:
            self._process = self.host.popen(*self._command, log=self.log)


@contextmanager
def another_release(
    node: Node, directory: Path, header: str, old: str, new: str
) -> Iterator[None]:
    """Let guidewayd of ``node`` be one whose ``header`` is another."""
    for package in (
        *("control", "dataplane", "maglev"),
        *("mistakes", "programs", "service_manager"),
    ):
        if (PROJECT / package).exists():
            shutil.copytree(PROJECT / package, directory / package)
    path = directory / "dataplane" / "bpf" / header
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    ours = node.guidewayd
    before = f"import sys; sys.path.insert(0, {str(directory)!r})"
    node.guidewayd = ScriptedDaemon(node, before)
    try:
        yield
    finally:
        node.guidewayd.stop()
        node.guidewayd = ours
