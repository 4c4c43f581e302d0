"""What guidewayd makes of a bpffs, of maps and of interfaces that others had hands on."""

import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from dataplane import libbpf
from dataplane.abi import PROGRAM, VERSION
from tests.support.daemon import (
    ScriptedDaemon,
    another_release,
    edit,
    guideway,
    guidewayd,
    programs,
    refusal,
    restart,
)
from tests.support.foreign import pin_a_map, pin_a_program
from tests.support.wait import eventually
from vagrant.lab import xdp_pass
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, DrTopology

BACKENDS = {"b1", "b2", "b3"}


@pytest.fixture
def lab(lab_name: str) -> Iterator[Lab]:
    """Return a lab in direct return, everything running."""
    with Lab(lab_name, DrTopology) as made:
        made.start()
        yield made


@pytest.fixture
def node(lab: Lab) -> Node:
    """Return the node that gets the packets."""
    return lab.nodes["lb1"]


def who_answers(lab: Lab, times: int = 60) -> set[str]:
    answered = set()
    for _ in range(times):
        connection = HTTPConnection(str(VIP), timeout=5)
        with lab.client.inside():
            connection.request("GET", "/")
        answered.add(connection.getresponse().headers["X-Backend"])
        connection.close()
    return answered


def generations(node: Node) -> list[Path]:
    return [p for p in node.paths.pins(node.name).iterdir() if p.name != "links"]


def test_a_foreign_program_in_the_place_of_ours_is_refused_and_not_touched(
    lab: Lab, node: Node
) -> None:
    node.guidewayd.stop()
    pin = generations(node)[0] / PROGRAM
    pin.unlink()
    pin_a_program(pin)

    said = refusal(node)

    assert f"{pin}: is not guideway's program: somebody else put it there" in said
    assert "remove that pin and start guidewayd again" in said
    assert who_answers(lab) == BACKENDS
    pin.unlink()
    restart(node)
    assert who_answers(lab) == BACKENDS
    assert len(generations(node)) == 1


@pytest.mark.parametrize("name", ["endpoints", "slots", "reason_counters"])
def test_a_foreign_map_in_the_place_of_ours_is_refused_and_not_touched(
    lab: Lab, node: Node, name: str
) -> None:
    node.guidewayd.stop()
    pin = generations(node)[0] / name
    pin.unlink()
    pin_a_map(pin)

    said = refusal(node)

    assert f"{pin}: is not the map that the program uses" in said
    assert who_answers(lab) == BACKENDS
    pin.unlink()
    restart(node)
    assert who_answers(lab) == BACKENDS


def test_a_map_of_ours_in_the_place_of_another_is_refused(lab: Lab, node: Node) -> None:
    node.guidewayd.stop()
    directory = generations(node)[0]
    (directory / "endpoints").unlink()
    other = libbpf.get(directory / "directory")
    libbpf.pin(other, directory / "endpoints")
    os.close(other)

    assert "endpoints: is not the map that the program uses" in refusal(node)
    assert who_answers(lab) == BACKENDS


@pytest.mark.parametrize("place", ["", "links", "generation"])
def test_a_pin_that_nobody_of_us_made_is_refused_and_not_touched(
    lab: Lab, node: Node, place: str
) -> None:
    node.guidewayd.stop()
    root = node.paths.pins(node.name)
    pin = (generations(node)[0] if place == "generation" else root / place) / "theirs"
    pin_a_map(pin)

    said = refusal(node)

    assert f"{pin}: is not a pin of guideway's" in said
    assert pin.exists()
    assert who_answers(lab) == BACKENDS


def test_a_running_daemon_reloads_nothing_over_a_foreign_pin(lab: Lab, node: Node) -> None:
    pin = node.paths.pins(node.name) / "theirs"
    pin_a_map(pin)
    before = programs(node)

    with pytest.raises(
        Exception, match=r"not reloaded: .*theirs: is not a pin of guideway"
    ):
        guideway(node, "dataplane", "reload")

    assert programs(node) == before
    assert who_answers(lab) == BACKENDS
    pin.unlink()


def test_a_pin_that_is_missing_has_the_program_loaded_anew(lab: Lab, node: Node) -> None:
    node.guidewayd.stop()
    (generations(node)[0] / "directory").unlink()
    before = programs(node)

    restart(node)

    assert not node.api.status().adopted
    assert programs(node) != before
    assert len(generations(node)) == 1
    assert who_answers(lab) == BACKENDS


def test_a_data_plane_of_another_abi_version_is_replaced(
    lab: Lab, node: Node, tmp_path: Path
) -> None:
    node.guidewayd.stop()
    guidewayd(node, "--detach")
    line = f"#define GW_ABI_VERSION {VERSION}"
    with another_release(node, tmp_path, "abi.h", line, "#define GW_ABI_VERSION 999"):
        restart(node)
        assert generations(node)[0].name.startswith("999-")
    node.guidewayd.start()
    node.wait_until_ready()

    assert [path.name.split("-")[0] for path in generations(node)] == [str(VERSION)]
    assert not node.api.status().adopted
    assert (
        "a program of ABI 999, whose maps cannot be read" in node.guidewayd.log.read_text()
    )
    assert who_answers(lab) == BACKENDS


def test_a_program_on_disk_of_another_abi_version_is_not_loaded(
    lab: Lab, node: Node, tmp_path: Path
) -> None:
    line = f"#define GW_ABI_VERSION {VERSION}"
    node.guidewayd.stop()
    with another_release(node, tmp_path, "abi.h", line, line):
        restart(node)
        header = tmp_path / "dataplane" / "bpf" / "abi.h"  # an upgrade puts it there
        header.write_text(header.read_text().replace(line, "#define GW_ABI_VERSION 999"))

        with pytest.raises(Exception, match=r"of ABI 999.*restart guidewayd"):
            guideway(node, "dataplane", "reload")

    assert who_answers(lab) == BACKENDS


def test_a_bpffs_that_is_read_only_is_refused(node: Node) -> None:
    node.guidewayd.stop()
    guidewayd(node, "--detach")
    bpffs = node.paths.bpffs
    freeze = f"mount --bind {bpffs} {bpffs} && mount -o remount,bind,ro {bpffs}"
    script = f'{freeze} && exec "$@"'

    said = refusal(node, before=("unshare", "--mount", "sh", "-c", script, "sh"))

    assert "the bpffs refuses the change: Read-only file system" in said
    assert not node.paths.pins(node.name).exists()


def test_maps_that_the_kernel_has_no_memory_for_are_refused(
    node: Node, tmp_path: Path
) -> None:
    node.guidewayd.stop()
    guidewayd(node, "--detach")
    edit(node, lambda file: file.update(cache_directory=None))  # so it asks BCC
    message = "could not open bpf map: records, error: Cannot allocate memory"
    (tmp_path / "bcc.py").write_text(
        "import sys\n"
        "class BPF:\n"
        "    def __init__(self, text):\n"
        f"        sys.stderr.write({message!r} + '\\n')\n"
        "        raise Exception('Failed to compile BPF module <text>')\n"
    )

    said = refusal(node, before=("env", f"PYTHONPATH={tmp_path}"))

    assert said == (
        "guidewayd: the kernel does not make the map records: Cannot allocate memory; "
        "lower `limits`, or give the machine more memory"
    )
    assert not node.paths.pins(node.name).exists()


def test_what_another_process_writes_into_the_maps_is_mended_and_counted(
    lab: Lab, node: Node
) -> None:
    node.guidewayd.stop()
    node.guidewayd = ScriptedDaemon(
        node, "import control.reconciler; control.reconciler.READ_BACK_INTERVAL = 0.3"
    )
    restart(node)
    assert (node.api.status().repairs, node.api.status().HasField("repaired")) == (0, False)
    fd = libbpf.get(generations(node)[0] / "backends")
    nobody = bytes(libbpf.map_shape(fd).value_size)

    libbpf.map_update(fd, (1).to_bytes(4, "little"), nobody)

    os.close(fd)
    eventually(lambda: node.api.status().repairs == 1, within=10, what="it is mended")
    assert node.api.status().repaired > node.api.status().started
    assert who_answers(lab) == BACKENDS
    assert "mended: 1 foreign write to the maps, the last " in " ".join(
        guideway(node, "status").split()
    )


@pytest.fixture
def unplugged(lab: Lab) -> Node:
    """Return the Backup, whose interface is gone."""
    node = lab.nodes["lb2"]
    node.vrrpd.stop()
    node.host.run("ip", "link", "delete", "eth0")
    eventually(
        lambda: "interface eth0 is gone" in node.api.status().warnings,
        within=10,
        what="it says so",
    )
    return node


def test_an_interface_that_comes_back_is_attached_again(lab: Lab, unplugged: Node) -> None:
    node = unplugged
    address = lab.topology.balancer_addresses(node.name)["eth0"]

    lab.topology.segments[0].connect_balancer(node.host, "eth0", address)

    eventually(lambda: len(programs(node)) == 1, within=10, what="it is attached")
    eventually(
        lambda: [a.attached for a in node.api.data_plane().interfaces] == [True],
        within=5,
        what="the status says so",
    )
    assert len(list((node.paths.pins(node.name) / "links").iterdir())) == 1


def test_an_interface_that_comes_back_with_a_foreign_program_is_left_alone(
    lab: Lab, unplugged: Node
) -> None:
    node = unplugged
    address = lab.topology.balancer_addresses(node.name)["eth0"]
    lab.topology.segments[0].connect_balancer(node.host, "eth9", address)
    xdp_pass.attach(node.host, "eth9")
    foreign = programs(node)
    node.host.run("ip", "link", "set", "eth9", "down")

    node.host.run("ip", "link", "set", "eth9", "name", "eth0", "up")

    eventually(
        lambda: any("carries another XDP program" in w for w in node.api.status().warnings),
        within=10,
        what="it says so",
    )
    with pytest.raises(Exception, match=r"not reloaded: interface eth0: carries another"):
        guideway(node, "dataplane", "reload")
    assert programs(node) == foreign
    assert [a.attached for a in node.api.data_plane().interfaces] == [False]
