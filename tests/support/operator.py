"""What an operator does, on every node of a lab."""

import sys

from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node


def change(lab: Lab, *arguments: str) -> None:
    """Run a command of ``guideway`` on all nodes, and wait until their kernels have it."""
    for node in lab.nodes.values():
        change_one(node, *arguments)


def change_one(node: Node, *arguments: str) -> None:
    """Run a command of ``guideway`` on one node, and wait until its kernel has it."""
    socket = ("--socket", str(node.paths.socket))
    node.host.run(sys.executable, "-m", "control.cli.main", *socket, *arguments)
    eventually(node.api.answers, within=5, what="the kernel has the change")
