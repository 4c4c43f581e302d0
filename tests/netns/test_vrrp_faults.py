"""guideway-vrrpd among lateness, garbage, floods and impostors."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vrrp import VRRP, VRRPv3
from scapy.packet import Packet

from tests.support.vrrp_lan import (
    DOWN_100,
    GATEWAY,
    INTERVAL,
    VIP,
    Lan,
    Node,
    build,
    instance,
)
from tests.support.wait import eventually
from vagrant.lab.segment import mac_of

pytestmark = pytest.mark.alone

ADDRESSES = ["10.0.0.100", "10.20.0.1"]
FLOOD = 20_000  # packets
SO_RCVBUFFORCE = 33  # asm/socket.h; the socket module does not have it


@pytest.fixture
def lan(lab_name: str, tmp_path: Path) -> Iterator[Lan]:
    """Two nodes that run nothing yet."""
    with build(lab_name, tmp_path) as built:
        yield built


@pytest.fixture
def pair(lan: Lan) -> Lan:
    """Both run, one is Active with 150, two Backup with 100."""
    lan.one.start(instance(150))
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.start(instance(100))
    eventually(
        lambda: lan.two.status().get("active") == "10.0.0.1",
        within=5,
        what="two hears one",
        explain=lan.two.vrrpd.tail,
    )
    return lan


def said(priority: int = 200, source: str = "10.0.0.9", ttl: int = 255) -> Packet:
    """Return a frame of a third router that is right in every respect."""
    message = VRRPv3(vrid=51, priority=priority, adv=10, addrlist=ADDRESSES)
    return in_frame(message, source, ttl)


def in_frame(message: Packet, source: str = "10.0.0.9", ttl: int = 255) -> Packet:
    to_group = Ether(src="02:00:0a:00:00:09", dst="01:00:5e:00:00:12")
    return to_group / IP(src=source, dst="224.0.0.18", ttl=ttl, proto=112) / message


def by_unicast(priority: int = 200, source: str = "10.0.0.9") -> Packet:
    """Return what :func:`said` does, to the address of one."""
    frame = said(priority, source)
    frame[Ether].dst, frame[IP].dst = mac_of(IPv4Address("10.0.0.1")), "10.0.0.1"
    return frame


def accept_reflections(pair: Lan) -> None:
    """Let the kernel pass on what bears its own address, as it has to for NAT."""
    for key, value in (("accept_local", 1), ("rp_filter", 0)):
        for interface in ("all", "eth0"):
            pair.one.host.sysctl(f"net.ipv4.conf.{interface}.{key}", value)


def stalled(node: Node, seconds: float) -> None:
    """Let the process of ``node`` have no processor for some time."""
    node.signal(signal.SIGSTOP)
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end, within=seconds + 1, what="time passes")
    node.signal(signal.SIGCONT)


# Lateness


def test_it_runs_before_ordinary_programs_and_stays_in_memory(pair: Lan) -> None:
    pid = pair.one.vrrpd.pid
    assert pid is not None

    status = Path(f"/proc/{pid}/status").read_text()
    locked = next(line for line in status.splitlines() if line.startswith("VmLck"))

    assert os.sched_getscheduler(pid) == os.SCHED_RR
    assert os.sched_getparam(pid).sched_priority == 50
    assert int(locked.split()[1]) > 1000


def test_a_script_does_not_run_in_real_time(lan: Lan) -> None:
    told = lan.one.directory / "policy"
    command = ["/bin/sh", "-c", f"chrt -p $$ >{told}.new; mv {told}.new {told}"]
    check = {"name": "it", "type": "script", "command": command}

    lan.one.start(instance(100), checks=[check])

    eventually(told.exists, within=5, what="the script has run")
    assert "SCHED_OTHER" in told.read_text()


def test_a_backup_that_was_late_hears_what_waits_before_it_takes_over(pair: Lan) -> None:
    before = pair.two.status()["transitions"]

    stalled(pair.two, 3 * DOWN_100)

    eventually(lambda: pair.two.status()["latest"] > DOWN_100, within=5, what="it knows")
    assert pair.two.status()["state"] == "backup"
    assert pair.two.status()["transitions"] == before
    assert pair.one.status()["state"] == "active"


def test_a_backup_that_was_late_does_not_wait_for_who_has_died_meanwhile(lan: Lan) -> None:
    interval, down = 5 * INTERVAL, 5 * DOWN_100
    lan.one.start(instance(150, interval=interval))
    lan.one.wait_for(VIP)
    lan.two.start(instance(100, interval=interval))
    eventually(
        lambda: lan.two.status().get("active") == "10.0.0.1", within=5, what="it hears"
    )
    lan.two.signal(signal.SIGSTOP)
    lan.forget()
    lan.hear_advertisement("10.0.0.1", within=2)  # which waits in the socket of two
    died = time.monotonic()
    lan.one.vrrpd.kill()
    eventually(lambda: time.monotonic() > died + down, within=5, what="it is long dead")

    lan.two.signal(signal.SIGCONT)
    resumed = time.monotonic()

    lan.two.wait_for(VIP)
    assert time.monotonic() - resumed < down / 2


def test_an_active_that_was_late_lets_go_before_it_speaks_again(pair: Lan) -> None:
    pair.one.signal(signal.SIGSTOP)
    pair.two.wait_for(VIP, GATEWAY)
    pair.forget()
    pair.one.signal(signal.SIGCONT)

    # It is of higher priority, so it becomes Active again, in order: after it has been
    # Backup, and without the addresses, for a while.
    eventually(lambda: pair.one.status()["fenced"] == 1, within=5, what="it let go")
    eventually(lambda: pair.one.status()["state"] == "active", within=5, what="it is back")
    pair.one.wait_for_log(event="addresses given up: we were silent for too long")
    states = [line["state"] for line in pair.one.log() if line["event"] == "state changed"]
    assert states == ["backup", "active", "backup", "active"]
    pair.two.wait_without(VIP, GATEWAY)


def test_a_short_stall_of_the_active_changes_nothing(pair: Lan) -> None:
    before = pair.one.status()

    stalled(pair.one, 0.15)

    eventually(lambda: pair.one.status()["latest"] > 0.02, within=5, what="it knows")
    assert pair.one.status()["transitions"] == before["transitions"]
    assert pair.two.status()["state"] == "backup"


# Bad input


def wrong_checksum() -> Packet:
    frame = said()
    frame[VRRPv3].chksum = 0x1234
    return frame


def version_2() -> Packet:
    return in_frame(VRRP(vrid=51, priority=200, adv=1, addrlist=ADDRESSES))


def raw(data: str) -> Packet:
    return in_frame(bytes.fromhex(data))


BAD = {
    "ttl": said(ttl=254),
    "checksum": wrong_checksum(),
    "version": version_2(),
    "type": raw("3233c801000a0000c0a8c810"),
    "count": raw("3133c800000a0000"),
    "interval": raw("3133c80100000000c0a8c810"),
    "length": raw("3133c802000a0000c0a8c810"),  # cut short: of two addresses, one
    "reflected": said(source="10.0.0.1"),
    "destination": by_unicast(),
    "vrid": in_frame(VRRPv3(vrid=52, priority=200, adv=10, addrlist=ADDRESSES)),
}


def test_bad_packets_change_nothing_and_are_counted_and_logged_once_for_each_kind(
    pair: Lan,
) -> None:
    accept_reflections(pair)
    before = pair.one.standing()

    for frame in BAD.values():
        for _ in range(3):
            pair.ear.send(bytes(frame))
    pair.ear.send(bytes(said())[:30])  # cut short below IP's length: the kernel's business

    wanted = dict.fromkeys(BAD, 3)
    eventually(
        lambda: pair.one.status()["discarded"] == wanted,
        within=5,
        what="all are counted",
        explain=lambda: str(pair.one.status()),
    )
    assert pair.one.standing() == {**before, "discarded": wanted}
    logged = [line["kind"] for line in pair.one.log() if "kind" in line]
    assert sorted(logged) == sorted(set(BAD) - {"vrid"})


def in_version_2(**changes: int) -> Packet:
    """Return an advertisement with the password "secret"."""
    secret = {"auth1": 0x73656372, "auth2": 0x65740000}
    fields = {"vrid": 51, "priority": 200, "adv": 1, "authtype": 1, **secret, **changes}
    return in_frame(VRRP(addrlist=ADDRESSES, **fields))


BAD_IN_VERSION_2 = {
    "password": in_version_2(auth2=0x65750000),
    "authentication": in_version_2(authtype=0),
    "interval": in_version_2(adv=2),
    "checksum": in_version_2(chksum=0x1234),
    "version": said(),
    "length": in_frame(bytes(in_version_2()[VRRP]) + bytes(4000)),
}


@pytest.mark.parametrize(
    ("ours", "bad"),
    [
        pytest.param(
            {"version": 2, "interval": 1, "password": "secret"},
            BAD_IN_VERSION_2,
            id="version 2",
        ),
        pytest.param({"peers": ["10.0.0.2"]}, {"source": by_unicast()}, id="unicast"),
    ],
)
def test_bad_packets_in_other_dialects_are_counted_and_logged_likewise(
    lan: Lan, ours: dict[str, object], bad: dict[str, Packet]
) -> None:
    lan.one.start(instance(150, **ours))
    lan.one.wait_until("backup")

    for frame in bad.values():
        for _ in range(3):
            send_in_fragments(lan, frame)

    wanted = dict.fromkeys(bad, 3)
    eventually(
        lambda: lan.one.status()["discarded"] == wanted,
        within=5,
        what="all are counted",
        explain=lambda: str(lan.one.status()),
    )
    logged = [line["kind"] for line in lan.one.log() if "kind" in line]
    assert sorted(logged) == sorted(bad)


def send_in_fragments(lan: Lan, frame: Packet) -> None:
    """Send a frame, or as many as it takes."""
    for part in fragment(frame, fragsize=1400):
        lan.ear.send(bytes(part))


def test_a_peer_with_other_addresses_is_heeded_and_reported(pair: Lan) -> None:
    message = VRRPv3(vrid=51, priority=200, adv=10, addrlist=["10.0.0.77"])

    pair.ear.send(bytes(in_frame(message)))

    pair.one.wait_for_log(event="advertisement odd", kind="addresses", source="10.0.0.9")
    pair.one.wait_without(VIP)
    assert pair.one.status()["noticed"]["addresses"] >= 1


def test_of_two_owners_the_one_of_the_greater_address_remains(lan: Lan) -> None:
    lan.one.start(instance(255))
    lan.one.wait_for(VIP)

    lan.two.start(instance(255))

    lan.two.wait_for(VIP)
    lan.one.wait_without(VIP)
    lan.one.wait_for_log(event="advertisement odd", kind="owner")


def test_a_losing_advertisement_is_answered_at_once_and_the_network_told_anew(
    lan: Lan,
) -> None:
    lan.one.start(instance(150, interval=10, down_adverts=1, announce={"delay": 0}))
    lan.one.wait_for(VIP, within=20)
    lan.forget()

    lan.ear.send(bytes(said(priority=149)))

    answered = lan.hear_advertisement("10.0.0.1", within=5)
    _, told = lan.hear(lambda frame: ARP in frame and frame[ARP].psrc == VIP[:-3], 5)
    assert abs(told - answered) < 2  # either is far less than an interval


def flood(pair: Lan, frame: Packet) -> list[float]:
    """Send it :data:`FLOOD` times; return when one's own advertisements were heard."""
    with pair.witness.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind(("eth0", 0))
        pair.ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        pair.forget()
        data = bytes(frame)
        for _ in range(FLOOD):
            out.send(data)
    return [pair.hear_advertisement("10.0.0.1", within=5) for _ in range(3)]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(said(ttl=1), id="of bad packets"),
        pytest.param(said(priority=1), id="of losing advertisements"),
        pytest.param(said(source="10.0.0.1"), id="of our own packets"),
    ],
)
def test_a_flood_moves_nothing(pair: Lan, frame: Packet) -> None:
    accept_reflections(pair)
    before = pair.one.status()["transitions"], pair.two.status()["transitions"]

    flood(pair, frame)

    assert pair.one.has(VIP, GATEWAY)
    assert not pair.two.has(VIP)
    after = pair.one.status()["transitions"], pair.two.status()["transitions"]
    assert after == before
    assert len(pair.one.log()) < 20
