"""A running guidewayd: the desired state as a file, and its history."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from signal import SIGHUP

import numpy as np
import pytest
import yaml

from control.transition import owners
from dataplane.generation import found
from dataplane.maps import Maps
from tests.support.daemon import edit, guideway, restart
from tests.support.wait import eventually
from vagrant.lab.errors import CommandError
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology


@pytest.fixture(scope="module")
def running() -> Iterator[Node]:
    """Return a node with one service, whose backends count as up."""
    service = DrTopology.service(weights=(1, 1, 1), check=None)
    with Lab(f"h{os.getpid()}", DrTopology, (service,)) as lab:
        node = lab.nodes["lb1"]
        node.guidewayd.start()
        node.wait_until_ready()
        node.wait_until_serving("web")
        yield node


@pytest.fixture
def node(running: Node) -> Iterator[Node]:
    """Return the node with the state that it began with, all backends alike."""
    yield running
    guideway(running, "rollback", "1", "--wait")


def apply(node: Node, weight: int, *options: str) -> dict:
    """Apply what is exported, with another weight of b1; return what is said of it."""
    state = yaml.safe_load(guideway(node, "export"))
    state["services"][0]["backends"][0]["weight"] = weight
    path = node.paths.directory / "services.yaml"
    path.write_text(yaml.safe_dump(state))
    return json.loads(guideway(node, "apply", "-f", str(path), "-o", "json", *options))


def newest(node: Node) -> dict:
    return json.loads(guideway(node, "history", "-o", "json"))["versions"][0]


def weight_in_force(node: Node) -> int:
    return node.api.service("web").backends[0].backend.weight


def ring(node: Node) -> np.ndarray:
    """Return who has each slot of the one service, as the kernel has it."""
    (generation,) = found(node.paths.pins(node.name))
    with closing(Maps(generation.directory)) as maps:
        (only,) = maps.read().rings.values()
    return owners(only)


def test_what_a_dry_run_foresees_is_what_the_kernel_then_has(node: Node) -> None:
    before = ring(node)

    foreseen = apply(node, 5, "--dry-run")
    assert np.array_equal(ring(node), before)
    done = apply(node, 5, "--wait", "--comment", "as foreseen")

    [service] = done["difference"]["services"]
    assert done["difference"] == foreseen["difference"]
    disruption = service["disruption"]
    assert disruption["moved"] == np.count_nonzero(ring(node) != before) > 0
    assert disruption["flows"] == pytest.approx(disruption["moved"] / len(before))
    after = np.sort(np.unique(ring(node), return_counts=True)[1])
    assert sorted(share["slots_after"] for share in disruption["shares"]) == list(after)
    assert newest(node)["comment"] == "as foreseen"


def test_what_is_not_confirmed_leaves_the_kernel_again(node: Node) -> None:
    before = ring(node)
    apply(node, 5, "--confirm", "5s", "--wait")
    assert not np.array_equal(ring(node), before)

    eventually(lambda: newest(node)["source"] == "daemon", within=15, what="it is undone")

    eventually(node.api.answers, within=5, what="the kernel has what was before")
    assert np.array_equal(ring(node), before)
    assert weight_in_force(node) == 1


def test_a_killed_daemon_remembers_what_waits_and_undoes_it_when_it_is_due(
    node: Node,
) -> None:
    version = apply(node, 5, "--confirm", "10m", "--wait")["version"]
    node.guidewayd.kill()
    restart(node)

    pending = node.api.status().pending
    assert (pending.version, pending.base) == (version, version - 1)
    assert 0 < pending.remaining < 600
    assert weight_in_force(node) == 5
    guideway(node, "confirm")
    apply(node, 7, "--confirm", "1s")
    node.guidewayd.kill()
    restart(node)

    eventually(lambda: weight_in_force(node) == 5, within=10, what="7 is undone")
    assert newest(node)["comment"].startswith(f"version {version + 1} was not confirmed")
    assert not node.api.status().HasField("pending")


def test_a_start_that_undoes_the_only_service_is_no_mistake(node: Node) -> None:
    guideway(node, "rollback", "0", "--wait")
    guideway(node, "rollback", "1", "--confirm", "1s")
    node.guidewayd.kill()
    due = time.monotonic() + 1
    eventually(lambda: time.monotonic() > due, within=5, what="it is due")

    restart(node)

    assert list(node.api.services()) == []


def test_an_edited_file_is_a_version_and_wins_over_what_waits(node: Node) -> None:
    apply(node, 5, "--confirm", "10m")
    edit(node, lambda content: content["services"][0]["backends"][0].update(weight=9))
    assert node.guidewayd.pid is not None

    os.kill(node.guidewayd.pid, SIGHUP)

    eventually(lambda: weight_in_force(node) == 9, within=5, what="the file is loaded")
    assert (newest(node)["source"], newest(node)["author"]) == ("file", "guidewayd")
    assert not node.api.status().HasField("pending")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "a: &a [*a]", "x" * 10_000_000], ids=["deep", "loop", "long"]
)
def test_a_hostile_file_is_refused_at_a_reload_and_by_apply(node: Node, text: str) -> None:
    path = node.paths.guidewayd_file
    right, version = path.read_text(), newest(node)["version"]
    path.write_text(text)
    refusals = _count(node, "not reloaded")
    assert node.guidewayd.pid is not None

    os.kill(node.guidewayd.pid, SIGHUP)

    eventually(
        lambda: _count(node, "not reloaded") > refusals, within=5, what="it is refused"
    )
    with pytest.raises(CommandError, match=r"guideway\.yaml"):
        guideway(node, "apply", "-f", str(path))
    path.write_text(right)
    assert newest(node)["version"] == version
    assert node.api.answers()


def _count(node: Node, event: str) -> int:
    return (node.paths.directory / "guidewayd.log").read_text().count(event)
