"""What guidewayd tells guideway-vrrpd: both ends of the file."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from control.beacon import Beacon, Shown, beside
from vrrp.checks import DataPlaneProbe
from vrrp.tracking import Finding

SHOWN = Shown((), "/sys/fs/bpf/guideway/default/links", services=2, serving=1)


def test_the_file_is_beside_the_socket_and_ours_alone(tmp_path: Path) -> None:
    Beacon(tmp_path / "guidewayd.sock").show(SHOWN)

    path = tmp_path / "guidewayd.json"
    assert path == beside(tmp_path / "guidewayd.sock")
    assert json.loads(path.read_text()) == {
        "interfaces": [],
        "links": "/sys/fs/bpf/guideway/default/links",
        "services": 2,
        "serving": 1,
        "synced": True,
    }
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("services", "serving", "finding"),
    [(2, 1, Finding()), (2, 0, Finding("no service has a backend")), (0, 0, Finding())],
)
def test_guideway_vrrpd_understands_it(
    tmp_path: Path, services: int, serving: int, finding: Finding
) -> None:
    beacon = Beacon(tmp_path / "guidewayd.sock")
    beacon.show(SHOWN)

    beacon.show(Shown((), "/nowhere", services, serving))

    assert DataPlaneProbe(tmp_path / "guidewayd.json").look(Event()) == finding


def test_a_node_that_has_not_heard_of_its_peers_flows_is_not_fit(tmp_path: Path) -> None:
    Beacon(tmp_path / "guidewayd.sock").show(replace(SHOWN, synced=False))

    found = DataPlaneProbe(tmp_path / "guidewayd.json").look(Event())

    assert found == Finding("guidewayd has not heard of its peers' flows yet")


def test_what_is_told_already_is_not_written_again(tmp_path: Path) -> None:
    beacon = Beacon(tmp_path / "guidewayd.sock")
    beacon.show(SHOWN)
    before = (tmp_path / "guidewayd.json").stat().st_ino

    beacon.show(SHOWN)

    assert (tmp_path / "guidewayd.json").stat().st_ino == before


def test_a_symbolic_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "guidewayd.json.new").symlink_to(victim)

    Beacon(tmp_path / "guidewayd.sock").show(SHOWN)

    assert victim.read_text() == "precious"
