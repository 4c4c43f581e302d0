"""What operators do with VRRP: hand over, take a node out of service, be told."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner, Result

from control.cli.main import guideway
from tests.support.vrrp_lan import (
    GATEWAY,
    INTERVAL,
    SLACK,
    VIP,
    Keepalived,
    Lan,
    Node,
    instance,
)
from tests.support.wait import eventually

pytestmark = pytest.mark.waiting


def have_roles(lan: Lan) -> None:
    lan.one.wait_until("active")
    lan.one.wait_for(VIP, GATEWAY)
    lan.wait_until_two_hears_one()


@pytest.fixture
def pair(lan: Lan) -> Lan:
    """The same, both running: one, of priority 150, is Active, two, of 100, Backup."""
    lan.one.start(instance(150))
    lan.two.start(instance(100))
    have_roles(lan)
    return lan


def vrrp(node: Node, *words: str) -> Result:
    """Run ``guideway vrrp`` against a node."""
    where = ("vrrp", "--socket", str(node.directory / "vrrpd.sock"))
    return CliRunner().invoke(guideway, [*where, *words])


def said(node: Node, *words: str) -> str:
    result = vrrp(node, *words)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refusal(node: Node, *words: str) -> str:
    result = vrrp(node, *words)
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr


@contextmanager
def asking_the_vip(lan: Lan) -> Iterator[None]:
    """Ask the VIP something every 5 ms; there has to be an answer each time."""
    done = Event()

    def ask() -> list[bool]:
        echo = ("ping", "-n", "-c", "1", "-W", "2", "10.0.0.100")
        answered = []
        while not done.is_set():
            ping = lan.witness.popen(*echo, log=lan.one.directory / "ping.log")
            answered.append(ping.wait(20) == 0)
            done.wait(0.005)
        return answered

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            done.set()
    answered = asking.result()
    assert len(answered) > 2
    assert all(answered), f"{answered.count(False)} of {len(answered)} went unanswered"


@pytest.mark.alone
def test_a_planned_failover_leaves_no_question_to_the_vip_unanswered(pair: Lan) -> None:
    with asking_the_vip(pair):
        pair.forget()
        assert said(pair.one, "failover", "front") == "handed over: front\n"
        resigned = pair.hear_advertisement("10.0.0.1", within=5, priority=0)
        taken = pair.hear_advertisement("10.0.0.2", within=5)
        pair.two.wait_until("active")
        pair.two.wait_for(VIP, GATEWAY)
        pair.one.wait_without(VIP, GATEWAY)
        assert said(pair.two, "failover", "front") == "handed over: front\n"
        pair.one.wait_until("active")
        pair.two.wait_without(VIP, GATEWAY)

    assert taken - resigned < 2 * INTERVAL + SLACK
    one, two = pair.one.status(), pair.two.status()
    assert (one["reason"], two["reason"]) == (
        "10.0.0.2 resigned",
        "handed over to 10.0.0.1",
    )
    eventually(lambda: pair.two.status()["handed_over"] == 1, within=5, what="counted")
    eventually(
        lambda: pair.one.status()["heard"].get("resigns") == 1,
        within=5,
        what="the resignation is counted",
    )
    assert pair.one.status()["sent"]["alive"] > 0
    assert sum(pair.one.status()["late"].values()) > 0


def test_who_has_handed_over_stands_back_until_the_peer_goes(pair: Lan) -> None:
    said(pair.one, "failover", "front")
    pair.one.wait_until("backup")

    heard = [pair.hear_advertisement("10.0.0.2", within=2) for _ in range(10)]

    assert len(heard) == 10
    assert pair.one.status()["stands_back"]
    shown = said(pair.one, "status")
    assert "handed over to 10.0.0.2; leaves the Active alone" in shown
    pair.two.vrrpd.stop()
    pair.one.wait_until("active")
    assert not pair.one.status()["stands_back"]


def test_a_keepalived_of_lower_priority_takes_over_and_keeps_what_it_got(lan: Lan) -> None:
    keepalived = Keepalived(lan.two, priority=50)
    keepalived.start()
    lan.two.wait_for(VIP)
    lan.one.start(instance(150))
    lan.one.wait_until("active")
    lan.two.wait_without(VIP)

    said(lan.one, "failover", "front")

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)
    assert lan.one.status()["active"] == "10.0.0.2"
    keepalived.stop()
    lan.one.wait_until("active")


def test_without_a_peer_a_failover_is_refused_and_changes_nothing(lan: Lan) -> None:
    lan.one.start(instance(150))
    lan.one.wait_until("active")
    lan.one.wait_for(VIP)
    since = lan.one.status()["since"]

    answer = refusal(lan.one, "failover", "front")

    assert answer == (
        "guideway: no peer took over front, which stays here: does another node run it?\n"
    )
    assert (lan.one.status()["state"], lan.one.status()["since"]) == ("active", since)
    assert lan.one.has(VIP, GATEWAY)


def test_a_failover_is_asked_of_the_active_and_by_name(pair: Lan) -> None:
    assert refusal(pair.two, "failover", "front") == (
        "guideway: front is not Active on this node; 10.0.0.1 is Active: ask that node\n"
    )
    assert refusal(pair.one, "failover", "back") == (
        "guideway: there is no instance 'back' here; there are: front\n"
    )


def test_a_sync_group_is_handed_over_as_a_whole(lan: Lan) -> None:
    inner = {"interface": "eth1", "vrid": 52, "addresses": [GATEWAY], "name": "back"}
    group = [{"name": "both", "instances": ["front", "back"]}]
    for node, priority in ((lan.one, 150), (lan.two, 100)):
        members = (instance(priority, addresses=[VIP]), instance(priority, **inner))
        node.start(*members, sync_groups=group)
    lan.one.wait_for(VIP, GATEWAY)
    eventually(
        lambda: (
            {lan.two.status(n).get("active") for n in ("front", "back")}
            == {"10.0.0.1", "10.20.0.11"}
        ),
        within=5,
        what="two hears one on both segments",
    )

    assert "front" in said(lan.one, "failover", "back")

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)


@pytest.mark.alone
def test_a_node_in_maintenance_has_handed_over_and_rests_until_it_is_told(
    pair: Lan,
) -> None:
    with asking_the_vip(pair):
        answer = said(pair.one, "maintenance", "on")
        pair.two.wait_for(VIP, GATEWAY)
    assert answer == "maintenance is on; handed over: front\n"
    pair.one.wait_until("initialize")

    pair.one.vrrpd.stop()
    pair.one.vrrpd.start()  # as after a reboot
    pair.one.wait_until("initialize")
    shown = json.loads(said(pair.one, "status", "-o", "json"))
    assert shown["maintenance"]
    assert "guideway vrrp maintenance off" in shown["instances"]["front"]["problem"]
    pair.two.vrrpd.kill()
    assert pair.one.status()["state"] == "initialize"

    assert said(pair.one, "maintenance", "off") == "maintenance is off\n"
    pair.one.wait_for(VIP, GATEWAY)


def test_the_last_node_goes_into_maintenance_by_force_only(lan: Lan) -> None:
    lan.one.start(instance(150))
    lan.one.wait_until("active")
    lan.one.wait_for(VIP)

    assert "no peer took over front" in refusal(lan.one, "maintenance", "on")
    assert lan.one.has(VIP)

    assert said(lan.one, "maintenance", "on", "--force") == "maintenance is on\n"
    lan.one.wait_without(VIP, GATEWAY)


def test_nobody_is_asked_where_nobody_runs(lan: Lan) -> None:
    assert "is it running? its socket is beside its status file" in refusal(
        lan.one, "status"
    )


def notify(directory: Path) -> dict[str, Any]:
    return {"command": ["/bin/sh", "-c", f'echo "$@" >> {directory}/told', "notify"]}


def told(node: Node) -> list[str]:
    path = node.directory / "told"
    return path.read_text().splitlines() if path.exists() else []


def wait_for_turns(node: Node, *turns: str) -> None:
    eventually(
        lambda: sorted(told(node)) == sorted(turns),
        within=5,
        what=f"told: {turns}",
        explain=lambda: str(told(node)) + node.vrrpd.tail(),
    )


def test_programs_are_told_what_became_of_instance_and_group(lan: Lan) -> None:
    to = notify(lan.one.directory)
    inner = {"interface": "eth1", "vrid": 52, "addresses": [GATEWAY], "name": "back"}
    group = {"name": "both", "instances": ["front", "back"], "notify": to}
    lan.one.start(
        instance(150, addresses=[VIP], notify=to),
        instance(150, **inner),
        sync_groups=[group],
    )
    begun = ["INSTANCE front BACKUP 150", "GROUP both BACKUP 150"]
    lan.one.wait_for(VIP, GATEWAY)
    active = ["INSTANCE front MASTER 150", "GROUP both MASTER 150"]
    eventually(
        lambda: sorted(told(lan.one)) == sorted(begun + active),
        within=5,
        what="up",
        explain=lambda: str(told(lan.one)),
    )

    lan.front.unplug(lan.one.host)
    fault = ["INSTANCE front FAULT 150", "GROUP both FAULT 150"]
    wait_for_turns(lan.one, *begun, *active, *fault)
    lan.one.vrrpd.stop()

    stop = ["INSTANCE front STOP 150", "GROUP both STOP 150"]
    wait_for_turns(lan.one, *begun, *active, *fault, *stop)


def test_master_is_told_when_the_addresses_are_there(lan: Lan) -> None:
    shown = "ip -brief address show eth0"
    script = f'[ "$3" = MASTER ] && {shown} > {lan.one.directory}/seen'
    to = {"command": ["/bin/sh", "-c", script, "notify"]}
    lan.one.start(instance(150, notify=to))

    seen = lan.one.directory / "seen"
    eventually(lambda: seen.exists() and bool(seen.read_text()), within=5, what="told")

    assert VIP in seen.read_text()


def test_a_notify_program_that_hangs_delays_no_advertisement(lan: Lan) -> None:
    to = {"command": ["/bin/sleep", "60"], "timeout": 60}
    lan.one.start(instance(150, notify=to))
    lan.one.wait_until("active")

    times = [lan.hear_advertisement("10.0.0.1", within=2) for _ in range(20)]

    assert times[-1] - times[0] < 19 * INTERVAL + SLACK
    lan.one.vrrpd.stop()
    assert not lan.one.has(VIP)
