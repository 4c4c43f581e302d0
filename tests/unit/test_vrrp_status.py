"""The status file, and the right to write it."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from vrrp.errors import Fault, HostError
from vrrp.machine import State
from vrrp.status import Status, StatusFile
from vrrp.tally import Advert

ACTIVE = IPv4Address("10.0.0.2")
STATUS = Status(
    State.BACKUP,
    since=1000.5,
    priority=100,
    active=ACTIVE,
    transitions=3,
    discarded={Fault.TTL: 2},
)
COUNTED = replace(
    STATUS, sent={Advert.ALIVE: 5}, late={"0.1": 4, "+Inf": 5}, late_total=1.5
)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """Nothing for anybody but the owner."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_everybody_may_read_the_status_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "run" / "guideway" / "vrrp.json"

    with StatusFile(path) as file:
        file.write({"front": COUNTED})

    assert json.loads(path.read_text()) == {
        "front": {
            "state": "backup",
            "since": 1000.5,
            "priority": 100,
            "active": "10.0.0.2",
            "transitions": 3,
            "discarded": {"ttl": 2},
            "noticed": {},
            "problem": "",
            "latest": 0.0,
            "fenced": 0,
            "stands_back": False,
            "waits": False,
            "reason": "",
            "sent": {"alive": 5},
            "unsent": 0,
            "heard": {},
            "handed_over": 0,
            "late": {"0.1": 4, "+Inf": 5},
            "late_total": 1.5,
            "virtual_mac": "",
        }
    }
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o755


def test_a_second_writer_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    path = tmp_path / "vrrp.json"

    with (
        StatusFile(path),
        pytest.raises(HostError, match="another guideway-vrrpd is running"),
        StatusFile(path),
    ):
        pass
    with StatusFile(path):
        pass


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(HostError, match=r"cannot lock .*/file/vrrp\.json\.lock: "):
        StatusFile(tmp_path / "file" / "vrrp.json").__enter__()


def test_a_removed_status_leaves_only_the_lock(tmp_path: Path) -> None:
    with StatusFile(tmp_path / "vrrp.json") as file:
        file.write({})
        file.remove()

    assert [path.name for path in tmp_path.iterdir()] == ["vrrp.json.lock"]


def test_a_symbolic_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "vrrp.json.new").symlink_to(victim)

    with (
        StatusFile(tmp_path / "vrrp.json") as file,
        pytest.raises(OSError, match="symbolic"),
    ):
        file.write({"front": STATUS})

    assert victim.read_text() == "precious"


def test_a_change_of_state_is_counted_and_dated() -> None:
    moved = STATUS.moved(State.ACTIVE, IPv4Address("10.0.0.1"), 2000.0, "it resigned")

    assert moved == Status(
        State.ACTIVE,
        2000.0,
        100,
        IPv4Address("10.0.0.1"),
        4,
        {Fault.TTL: 2},
        reason="it resigned",
    )


def test_another_active_is_no_change_of_our_state() -> None:
    moved = STATUS.moved(State.BACKUP, None, 2000.0)

    assert moved == Status(State.BACKUP, 1000.5, 100, None, 3, {Fault.TTL: 2})
