"""The units under a real systemd: started, watched, restarted and confined by it."""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import systemd
from tests.support.node_files import INSTANCE, VRRPD, guidewayd, web
from tests.support.requirements import require
from tests.support.systemd import Systemd, booted
from tests.support.units import NAMES
from tests.support.wait import eventually
from vagrant.lab.topology import FRONT, VIP

BACKEND = FRONT[2]
WEB = web(BACKEND, check="none")
# A neighbour that answers ARP, or guidewayd would wait for it, and systemd not for long.
NETWORK = f"""
ip link set lo up
ip netns add there
ip link add eth0 type veth peer name eth0 netns there
ip address add {FRONT[1]}/24 dev eth0
ip link set eth0 up
ip -n there address add {BACKEND}/24 dev eth0
ip -n there link set eth0 up
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """Return a host on which the units were installed as the documentation says."""
    require("systemd", systemd.missing())
    directory = tmp_path_factory.mktemp("host")
    with booted(directory, f"guideway-test-{os.getpid()}") as made:
        made.run("sh", "-e", "-c", NETWORK)
        made.run("sh", "-c", "cp /opt/guideway/deploy/*.service /etc/systemd/system/")
        for unit in NAMES:  # there is no journal
            made.write(f"/etc/systemd/system/{unit}.service.d/log.conf", _logs_to(unit))
        made.write("/etc/guideway/guideway.yaml", json.dumps(guidewayd(WEB)))
        made.write("/etc/guideway/vrrp.yaml", json.dumps(VRRPD))
        made.run("systemctl", "daemon-reload")
        made.run("systemctl", "start", *NAMES)
        yield made


def _logs_to(unit: str) -> str:
    place = f"append:/var/log/{unit}.log"
    return f"[Service]\nStandardOutput={place}\nStandardError={place}\n"


def guideway(host: Systemd, *words: str) -> str:
    return host.run("guideway", *words)


def front(host: Systemd) -> dict[str, Any]:
    shown = json.loads(guideway(host, "vrrp", "status", "-o", "json"))
    instance: dict[str, Any] = shown["instances"].get("front", {"state": "", "priority": 0})
    return instance


def vrrp_state(host: Systemd) -> str:
    return str(front(host)["state"])


def is_attached(host: Systemd) -> bool:
    return "prog/xdp" in host.run("ip", "-d", "link", "show", "eth0")


def test_a_start_is_over_when_packets_are_balanced(host: Systemd) -> None:
    assert host.show("guidewayd", "ActiveState") == "active"
    assert is_attached(host)
    assert str(BACKEND) in guideway(host, "backend", "list")
    eventually(lambda: vrrp_state(host) == "active", within=5, what="it is Active")
    assert f"{VIP}/32" in host.run("ip", "-brief", "address", "show", "eth0")


def test_state_is_roots_alone_and_the_status_of_vrrp_everybodys(host: Systemd) -> None:
    places = ("/var/lib/guideway", "/run/guideway", "/run/guideway/vrrp.json")

    assert host.run("stat", "--format", "%a", *places).split() == ["700", "755", "644"]


def test_systemctl_status_says_how_they_are(host: Systemd) -> None:
    well = "services: 1, on eth0; all is well"
    eventually(
        lambda: host.show("guidewayd", "StatusText") == well, within=10, what="it is said"
    )
    assert host.show("guideway-vrrpd", "StatusText").startswith("front ")


def test_confined_as_they_are_they_do_all_that_is_asked_of_them(host: Systemd) -> None:
    asked = ("tcp", f"{FRONT[7]}:4000", f"{VIP}:80")
    assert f"forwarded to backend web/{BACKEND}" in guideway(host, "explain", *asked)
    guideway(host, "backend", "set", "web", str(BACKEND), "--weight", "2")
    guideway(host, "dataplane", "reload")
    guideway(host, "dataplane", "detach", "--yes")
    assert not is_attached(host)
    guideway(host, "dataplane", "reload")
    assert is_attached(host)
    guideway(host, "vrrp", "maintenance", "on", "--force")
    eventually(lambda: vrrp_state(host) == "initialize", within=5, what="it rests")
    guideway(host, "vrrp", "maintenance", "off")


MAC = "00:00:5e:00:01:33"  # of VRID 51
OTHERS = {  # what vrrpd does besides, as it may be confined too much to do
    "checks": [
        {
            "name": "who",
            "type": "script",
            "command": ["/bin/sh", "-c", 'test "$(id -un)" = nobody'],
            "user": "nobody",
        },
        {
            "name": "slow",
            "type": "script",
            "command": ["/bin/sleep", "600"],
            "interval": 0.1,
            "timeout": 0.2,
            "user": "nobody",
        },
        {"name": "manager", "type": "process", "process": "systemd"},
    ],
    "instances": [
        {
            **INSTANCE,
            "virtual_mac": True,
            "track": ["who", "manager", {"check": "slow", "weight": -7}],
            "notify": {
                "command": ["/bin/sh", "-c", 'test "$(id -un)" = nobody'],
                "user": "nobody",
            },
        }
    ],
}


def test_confined_as_it_is_vrrpd_has_a_mac_of_its_own_and_runs_programs_as_others(
    host: Systemd,
) -> None:
    host.write("/etc/guideway/vrrp.yaml", json.dumps(OTHERS))
    host.run("systemctl", "reload", "guideway-vrrpd")
    try:
        eventually(
            lambda: (front(host)["state"], front(host)["priority"]) == ("active", 93),
            within=10,
            what="it is Active, and what takes too long is ended",
            explain=lambda: host.run("tail", "/var/log/guideway-vrrpd.log"),
        )
        assert MAC in host.run("ip", "link", "show", "type", "macvlan")
        assert f"virtual MAC {MAC}" in guideway(host, "vrrp", "status")
        assert host.run("sysctl", "-n", "net.ipv4.conf.eth0.arp_ignore") == "1\n"
        eventually(lambda: not sleepers(host), within=5, what="nobody's program is gone")
        log = host.run("cat", "/var/log/guideway-vrrpd.log")
        assert "notify program failed" not in log
        assert "addresses not in order" not in log
    finally:
        host.write("/etc/guideway/vrrp.yaml", json.dumps(VRRPD))
        host.run("systemctl", "reload", "guideway-vrrpd")
    eventually(lambda: front(host).get("virtual_mac") == "", within=10, what="as before")
    assert MAC not in host.run("ip", "link", "show", "type", "macvlan")


def sleepers(host: Systemd) -> str:
    """Return the programs of user nobody."""
    return host.run("sh", "-c", "ps -u nobody -o comm= || true")


def test_systemctl_reload_reads_the_file_again(host: Systemd) -> None:
    more = guidewayd(WEB, {**WEB, "name": "tls", "port": 443})
    host.write("/etc/guideway/guideway.yaml", json.dumps(more))

    host.run("systemctl", "reload", "guidewayd")

    assert "tls" in guideway(host, "service", "list")


def test_a_restart_leaves_the_data_plane_where_it_is(host: Systemd) -> None:
    before = host.run("ip", "-d", "link", "show", "eth0")

    host.run("systemctl", "stop", "guidewayd")
    meanwhile = host.run("ip", "-d", "link", "show", "eth0")
    host.run("systemctl", "start", "guidewayd")

    assert "prog/xdp" in before
    assert meanwhile == before == host.run("ip", "-d", "link", "show", "eth0")
    assert "adopted from the daemon before" in guideway(host, "status")
    assert host.show("guideway-vrrpd", "NRestarts") == "0"


@pytest.mark.parametrize("unit", NAMES)
def test_who_is_killed_is_started_again(host: Systemd, unit: str) -> None:
    restarts = int(host.show(unit, "NRestarts"))

    host.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", unit)

    eventually(
        lambda: (
            int(host.show(unit, "NRestarts")) == restarts + 1
            and host.show(unit, "ActiveState") == "active"
        ),
        within=30,
        what=f"{unit} is back",
    )


def test_who_hangs_is_started_again(host: Systemd) -> None:
    unit = "guideway-vrrpd"
    assert host.show(unit, "WatchdogUSec") == "10s"
    host.write(
        f"/run/systemd/system/{unit}.service.d/soon.conf", "[Service]\nWatchdogSec=1\n"
    )
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", unit)
    restarts = int(host.show(unit, "NRestarts"))

    host.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", unit)

    eventually(
        lambda: (
            int(host.show(unit, "NRestarts")) > restarts
            and host.show(unit, "ActiveState") == "active"
        ),
        within=30,
        what="it is back",
    )


@pytest.mark.parametrize(("unit", "most"), [("guidewayd", 2.0), ("guideway-vrrpd", 2.9)])
def test_exposure_is_no_more_than_the_documentation_says(
    host: Systemd, unit: str, most: float
) -> None:
    said = host.run("systemd-analyze", "security", "--no-pager", f"{unit}.service")

    (level,) = re.findall(r"Overall exposure level .*: ([0-9.]+)", said)
    assert float(level) <= most
