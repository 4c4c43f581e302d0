"""guideway-vrrpd among lateness, garbage, floods and impostors."""

import os
import signal
import time
from pathlib import Path

import pytest
from scapy.layers.inet import fragment
from scapy.layers.l2 import ARP
from scapy.layers.vrrp import VRRP, VRRPv3
from scapy.packet import Packet

from tests.support.vrrp_frames import ADDRESSES, by_unicast, in_frame, said
from tests.support.vrrp_lan import (
    DOWN_100,
    GATEWAY,
    INTERVAL,
    VIP,
    Lan,
    Node,
    instance,
)
from tests.support.wait import eventually
from vrrp.machine import ANNOUNCE_GAP

pytestmark = pytest.mark.waiting


def stalled(node: Node, seconds: float) -> None:
    """Let the process of ``node`` have no processor for some time."""
    node.signal(signal.SIGSTOP)
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end, within=seconds + 1, what="time passes")
    node.signal(signal.SIGCONT)


def announces_the_vip(frame: Packet) -> bool:
    return ARP in frame and frame[ARP].psrc == VIP.partition("/")[0]


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


def test_no_thread_that_may_hold_the_others_up_waits_for_ordinary_programs(
    lan: Lan,
) -> None:
    check = {"name": "it", "type": "script", "command": ["/bin/true"]}
    notify = {"command": ["/bin/true"]}
    lan.one.start(instance(100, track=["it"], notify=notify), checks=[check])
    lan.one.wait_until("active")

    threads = [int(each.name) for each in Path(f"/proc/{lan.one.vrrpd.pid}/task").iterdir()]

    policies = [os.sched_getscheduler(each) for each in threads]
    assert len(policies) > 2
    assert {each & ~os.SCHED_RESET_ON_FORK for each in policies} == {os.SCHED_RR}


def test_a_backup_that_was_late_hears_what_waits_before_it_takes_over(pair: Lan) -> None:
    before = pair.two.status()["transitions"]

    stalled(pair.two, 3 * DOWN_100)

    eventually(lambda: pair.two.status()["latest"] > DOWN_100, within=5, what="it knows")
    assert pair.two.status()["state"] == "backup"
    assert pair.two.status()["transitions"] == before
    assert pair.one.status()["state"] == "active"


@pytest.mark.alone
def test_a_backup_that_was_late_does_not_wait_for_who_has_died_meanwhile(lan: Lan) -> None:
    interval, down = 5 * INTERVAL, 5 * DOWN_100
    lan.one.start(instance(150, interval=interval))
    lan.one.wait_for(VIP)
    lan.two.start(instance(100, interval=interval))
    lan.wait_until_two_hears_one()
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


def test_a_short_stall_of_the_active_changes_nothing(lan: Lan) -> None:
    lan.start_pair(down_adverts=20)  # so it is short even if the machine makes it longer
    before = lan.one.status()["transitions"], lan.two.status()["transitions"]

    stalled(lan.one, 0.15)

    eventually(lambda: lan.one.status()["latest"] > 0.02, within=5, what="it knows")
    after = lan.one.status()["transitions"], lan.two.status()["transitions"]
    assert after == before
    assert lan.one.status()["fenced"] == 0


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
    pair.one.accept_reflections()
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
    eventually(
        lambda: lan.one.status().get("state") in {"backup", "active"},
        within=5,
        what="it listens",
    )

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
    # For a moment: the third router is not heard again.
    heeded = "10.0.0.9 is superior, with priority 200"
    pair.one.wait_for_log(event="state changed", state="backup", reason=heeded)
    # The status is written after the log.
    eventually(
        lambda: "addresses" in pair.one.status()["noticed"], within=5, what="it is counted"
    )


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
    lan.one.start(instance(150, interval=4, down_adverts=1, announce={"delay": 0}))
    for _ in range(5):  # what a new Active announces, behind its first advertisement
        _, announced = lan.hear(announces_the_vip, within=20)
    soon = announced + ANNOUNCE_GAP
    eventually(lambda: time.monotonic() > soon, within=5, what="it may announce again")

    sent = time.monotonic()
    lan.ear.send(bytes(said(priority=149)))

    answered = lan.hear_advertisement("10.0.0.1", within=5)
    _, told = lan.hear(announces_the_vip, within=5)
    assert answered <= told < sent + 1  # by itself it would advertise two seconds later
