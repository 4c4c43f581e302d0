"""What the program pinned for a node hands on to the one that replaces it."""

import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from dataplane import libbpf
from dataplane.generation import found
from dataplane.image import Image, Ring
from dataplane.instance import open_instance
from dataplane.maps import Maps
from dataplane.plan import plan
from dataplane.source import Limits
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology


@pytest.fixture
def node(lab_name: str) -> Iterator[Node]:
    """Return a node whose service has just been given another backend."""
    service = DrTopology.service(weights=(1, 1, 0), check=None)
    with Lab(lab_name, DrTopology, (service,)) as lab:
        made = lab.nodes["lb1"]
        made.guidewayd.start()
        made.wait_until_ready()
        made.wait_until_serving("web")
        socket = ("--socket", str(made.paths.socket))
        command = ("backend", "set", "web", "b3", "--weight", "2")
        made.host.run(sys.executable, "-m", "control.cli.main", *socket, *command)
        eventually(made.api.answers, within=5, what="the kernel has the change")
        yield made


def directory(node: Node) -> Path:
    (only,) = found(node.paths.pins(node.name))
    return only.directory


def image(node: Node) -> Image:
    with closing(Maps(directory(node))) as maps:
        return maps.read()


def restart(node: Node, **limits: int) -> None:
    content = yaml.safe_load(node.paths.guidewayd_file.read_text())
    content["limits"].update(limits)
    node.paths.guidewayd_file.write_text(yaml.safe_dump(content))
    node.guidewayd.start()
    node.wait_until_ready()


def test_another_program_goes_on_with_numbers_and_rings_as_they_are(node: Node) -> None:
    before = image(node)
    node.guidewayd.kill()

    restart(node, slots=131_072)

    assert not node.api.status().adopted
    assert image(node) == before


def test_a_program_that_never_got_packets_is_not_taken_for_the_one_before(
    node: Node,
) -> None:
    before = image(node)
    node.guidewayd.kill()
    pins = node.paths.pins(node.name)
    opened = open_instance(pins, Limits(services=64, backends=256, slots=65_536))
    opened.close()  # as if killed before it was attached

    restart(node, slots=131_072)

    assert image(node) == before


def test_a_program_whose_maps_were_filled_half_goes_on_from_the_one_before(
    node: Node,
) -> None:
    before = image(node)
    node.guidewayd.kill()
    limits = Limits(services=64, backends=256, slots=131_072, records=1_048_576)
    opened = open_instance(node.paths.pins(node.name), limits)
    # As if killed in the middle, by somebody who knew nothing of the rings' past.
    without = {place: Ring.of(ring) for place, ring in before.rings.items()}
    opened.maps.apply(plan(Image(), replace(before, rings=without, vips={})))
    opened.close()

    restart(node, slots=131_072)

    assert node.api.status().adopted
    assert image(node) == before


def test_what_another_release_has_pinned_is_taken_away(node: Node) -> None:
    old = node.paths.pins(node.name) / "1-0123456789abcdef"
    descriptor = libbpf.get(directory(node) / "slots")
    node.guidewayd.kill()
    old.mkdir()
    for name in ("slots", "sessions"):  # today nobody knows what that was
        libbpf.pin(descriptor, old / name)

    restart(node)

    assert not old.exists()
