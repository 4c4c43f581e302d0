"""guideway-vrrpd with much to do: floods of packets, and reloads at its fastest."""

import os
import socket
import subprocess
import sys

import pytest
from scapy.packet import Packet

from tests.support.vrrp_frames import said
from tests.support.vrrp_lan import GATEWAY, VIP, Lan, instance

pytestmark = pytest.mark.alone

FLOOD = 20_000  # packets
SO_RCVBUFFORCE = 33  # asm/socket.h; the socket module does not have it


def flood(lan: Lan, frame: Packet) -> None:
    """Send it :data:`FLOOD` times, and go on when one has advertised three times since."""
    with lan.witness.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind(("eth0", 0))
        lan.ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        lan.forget()
        data = bytes(frame)
        for _ in range(FLOOD):
            out.send(data)
    for _ in range(3):
        lan.hear_advertisement("10.0.0.1", within=5)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(said(ttl=1), id="of bad packets"),
        pytest.param(said(priority=1), id="of losing advertisements"),
        pytest.param(said(source="10.0.0.1"), id="of our own packets"),
    ],
)
def test_a_flood_moves_nothing(lan: Lan, frame: Packet) -> None:
    lan.start_pair()
    lan.one.accept_reflections()
    before = lan.one.status()["transitions"], lan.two.status()["transitions"]

    flood(lan, frame)

    assert lan.one.has(VIP, GATEWAY)
    assert not lan.two.has(VIP)
    after = lan.one.status()["transitions"], lan.two.status()["transitions"]
    assert after == before
    assert len(lan.one.log()) < 20


def starve_ordinary_programs(seconds: float) -> None:
    """Leave them next to nothing of the processors for so long: ourselves included."""
    hog = (
        "import os, time; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))\n"
        f"end = time.monotonic() + {seconds}\n"
        "while time.monotonic() < end: pass"
    )
    processors = range(len(os.sched_getaffinity(0)))
    hogs = [subprocess.Popen((sys.executable, "-c", hog)) for _ in processors]
    for each in hogs:
        each.wait()


def test_scripts_that_start_slowly_make_nothing_late(lan: Lan) -> None:
    script = {"type": "script", "command": ["/bin/true"], "interval": 0.05}
    checks = [{"name": f"c{number}", **script} for number in range(10)]
    lan.one.start(instance(100), checks=checks)
    lan.one.wait_until("active")
    before = lan.one.standing()

    starve_ordinary_programs(1.0)

    after = lan.one.standing()
    assert after == before
    assert after["fenced"] == 0


def test_reloads_do_not_make_advertisements_late_at_the_fastest_interval(lan: Lan) -> None:
    fast = {"interval": 0.01, "down_adverts": 10}
    lan.start_pair(**fast)
    before, timers = lan.two.status()["transitions"], lan.one.status()["late"]

    for number in range(5):
        added = instance(100, name=f"n{number}", vrid=60, addresses=["10.0.0.102/32"])
        lan.one.configure(instance(150, **fast), added)
        lan.one.reload()
        lan.one.wait_until("active", name=f"n{number}")

    late = {most: count - timers[most] for most, count in lan.one.status()["late"].items()}
    assert late["+Inf"] > 100
    assert late["0.005"] > 0.95 * late["+Inf"]  # the rest is the machine's own doing
    assert lan.two.status()["transitions"] == before
    assert lan.two.status()["state"] == "backup"
