"""What guideway-vrrpd tracks, and sync groups, on real networks with keepalived as peer."""

import signal
from typing import Any

import pytest

from tests.support.vrrp_lan import GATEWAY, VIP, Keepalived, Lan, instance
from tests.support.wait import eventually

pytestmark = [pytest.mark.waiting, pytest.mark.usefixtures("_keepalived")]


def start(lan: Lan, check: dict[str, Any], weight: int = 0) -> None:
    """Start us on one, of priority 150, with a check, and keepalived, of 100, on two."""
    tracked = instance(150, track=[{"check": "it", "weight": weight}])
    lan.one.start(tracked, checks=[{"name": "it", "interval": 0.1, **check}])
    lan.one.wait_for(VIP, GATEWAY)
    Keepalived(lan.two, 100).start()
    eventually(
        lambda: "(front) entering backup state" in Keepalived(lan.two, 100).log(),
        within=5,
        what="keepalived is Backup",
    )


def test_a_script_that_fails_makes_a_node_hand_over_and_success_brings_it_back(
    lan: Lan,
) -> None:
    bad = lan.one.directory / "bad"
    command = ["/usr/bin/test", "!", "-e", str(bad)]
    start(lan, {"type": "script", "command": command, "timeout": 5})

    bad.touch()

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)
    assert lan.one.status()["problem"] == "it: /usr/bin/test ended with 1"
    bad.unlink()
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.wait_without(VIP, GATEWAY)
    assert lan.one.status()["problem"] == ""


def test_a_weight_lets_a_peer_of_more_priority_take_over(lan: Lan) -> None:
    path = lan.one.directory / "points"
    start(lan, {"type": "file", "path": str(path)}, weight=-10)

    path.write_text("4")  # 150 - 40 is still more than 100
    eventually(lambda: lan.one.status()["priority"] == 110, within=5, what="it is 110")
    assert lan.one.has(VIP)
    path.write_text("6")

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)
    assert lan.one.status()["state"] == "backup"
    path.unlink()
    lan.one.wait_for(VIP, GATEWAY)


def test_an_interface_that_carries_no_address_may_be_tracked(lan: Lan) -> None:
    host = lan.one.host
    host.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    host.run("ip", "link", "set", "up0", "up")
    host.run("ip", "link", "set", "up1", "up")
    start(lan, {"type": "interface", "interface": "up0"})

    host.run("ip", "link", "set", "up1", "down")

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)


def test_a_process_may_be_tracked(lan: Lan) -> None:
    name = lan.one.host.prefix.split("-")[1]  # the lab's: nobody else's process has it
    program = lan.one.directory / name
    program.symlink_to("/bin/sleep")
    process = lan.one.host.popen(str(program), "600")
    start(lan, {"type": "process", "process": name})

    process.kill()
    process.wait(timeout=5)

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)


def test_a_node_without_a_data_plane_leaves_the_addresses_to_the_other(lan: Lan) -> None:
    status = lan.one.directory / "guidewayd.json"
    shown = '{"interfaces": [], "links": "/nowhere", "services": 3, "serving": %d}'
    status.write_text(shown % 3)
    start(lan, {"type": "guidewayd", "status_file": str(status)})

    status.write_text(shown % 0)

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)
    assert lan.one.status()["problem"] == "it: no service has a backend"


def test_a_node_does_not_take_over_before_it_knows_its_peers_flows(lan: Lan) -> None:
    status = lan.one.directory / "guidewayd.json"
    shown = '{"interfaces": [], "links": "/nowhere", "services": 3, "serving": 3'
    status.write_text(shown + ', "synced": false}')
    Keepalived(lan.two, 100).start()
    lan.two.wait_for(VIP, GATEWAY)

    check = {"name": "it", "type": "guidewayd", "status_file": str(status)}
    lan.one.start(instance(150, track=["it"]), checks=[{**check, "interval": 0.1}])

    unsynced = "it: guidewayd has not heard of its peers' flows yet"
    eventually(
        lambda: lan.one.status().get("problem") == unsynced, within=5, what="it rests"
    )
    lan.forget()
    for _ in range(10):  # for twice its own down interval and more
        lan.hear_advertisement("10.0.0.2", within=2)
    assert lan.one.status()["problem"] == unsynced
    assert lan.two.has(VIP, GATEWAY)
    status.write_text(shown + "}")
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.wait_without(VIP, GATEWAY)


def test_a_reload_changes_checks_without_a_failover(lan: Lan) -> None:
    start(lan, {"type": "file", "path": "/nowhere"})
    before = lan.one.standing()

    lan.one.configure(
        instance(150, track=[{"check": "it", "weight": 0}]),
        checks=[{"name": "it", "type": "script", "command": ["/bin/true"]}],
    )
    lan.one.reload()

    lan.one.wait_for_log(event="configuration reloaded")
    lan.one.wait_for_log(event="check changed", check="it")
    assert lan.one.standing() == before


def test_a_reload_changes_priority_interval_and_tracks_while_the_active_speaks(
    lan: Lan,
) -> None:
    start(lan, {"type": "file", "path": "/nowhere"})
    before = lan.one.standing()
    check = {"name": "new", "type": "script", "command": ["/bin/sleep", "0.3"]}
    new = instance(140, interval=0.2, track=["new"], announce={"refresh": 1})

    lan.one.configure(new, checks=[check])
    lan.one.reload()

    eventually(lambda: lan.one.status()["priority"] == 140, within=5, what="it is 140")
    lan.forget()
    heard = [lan.hear_advertisement("10.0.0.1", within=2) for _ in range(4)]
    assert heard[-1] - heard[0] > 0.5
    assert lan.one.standing() == {**before, "priority": 140}
    lan.one.configure(instance(90))
    lan.one.reload()
    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)


# Sync groups


def members(priority: int) -> tuple[dict[str, Any], ...]:
    """A front and a back instance."""
    return (
        instance(priority, addresses=[VIP]),
        instance(priority, name="back", interface="eth1", vrid=52, addresses=[GATEWAY]),
    )


GROUP = {"sync_groups": [{"name": "both", "instances": ["front", "back"]}]}


def test_a_sync_group_moves_as_a_whole(lan: Lan) -> None:
    lan.one.start(*members(150), **GROUP)
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.start(*members(100), **GROUP)
    eventually(
        lambda: all(
            lan.two.status(name).get("active") is not None for name in ("front", "back")
        ),
        within=5,
        what="two hears one",
    )

    lan.one.host.run("ip", "link", "set", "eth1", "down")

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)
    assert lan.one.status("front")["problem"] == "sync group both: back at rest"
    lan.one.host.run("ip", "link", "set", "eth1", "up")
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.wait_without(VIP, GATEWAY)


def test_a_sync_group_and_that_of_keepalived_follow_each_other(lan: Lan) -> None:
    lan.one.start(*members(150), **GROUP)
    lan.one.wait_for(VIP, GATEWAY)
    directory = lan.two.directory
    config = directory / "group.conf"
    text = "global_defs {\n vrrp_version 3\n}\n"
    text += "vrrp_sync_group both {\n group {\n front\n back\n }\n}\n"
    for name, interface, vrid, vip in (
        ("front", "eth0", 51, VIP),
        ("back", "eth1", 52, GATEWAY),
    ):
        text += f"""vrrp_instance {name} {{
            state BACKUP
            interface {interface}
            virtual_router_id {vrid}
            priority 100
            advert_int 0.1
            virtual_ipaddress {{
                {vip} dev {interface}
            }}
        }}
        """
    config.write_text(text)
    pids = ("-p", str(directory / "pid"), "-r", str(directory / "vrrp.pid"))
    command = ("keepalived", "--vrrp", "-n", "-l", "-D", "-f", str(config), *pids)
    lan.two.host.popen(*command, log=directory / "keepalived.log")
    eventually(
        lambda: (
            "entering backup state" in (directory / "keepalived.log").read_text().lower()
        ),
        within=5,
        what="keepalived is Backup",
    )

    lan.one.signal(signal.SIGTERM)

    lan.two.wait_for(VIP, GATEWAY)
    lan.one.wait_without(VIP, GATEWAY)
    assert lan.one.vrrpd.wait(within=5) == 0
    lan.one.start(*members(150), **GROUP)
    lan.one.wait_for(VIP, GATEWAY)
    lan.two.wait_without(VIP, GATEWAY)
