"""guideway-vrrpd and keepalived as routers of one virtual router, in every dialect."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from tests.support.vrrp_lan import GATEWAY, VIP, Keepalived, Lan, Node, instance
from tests.support.wait import eventually

pytestmark = [pytest.mark.waiting, pytest.mark.usefixtures("_keepalived")]

LINK_LOCAL_VIP = "fe80::33/64"
VIP6 = "2001:db8::100/128"
GATEWAY6 = "2001:db8:20::1/64"


@dataclass(frozen=True)
class Setting:
    """The same settings for both programs."""

    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    vips: tuple[str, ...] = (VIP, GATEWAY)


SIX = {"addresses": [LINK_LOCAL_VIP, VIP6, {"address": GATEWAY6, "interface": "eth1"}]}
SIX_THEIRS = {
    "addresses": (
        f"{LINK_LOCAL_VIP} dev eth0",
        f"{VIP6} dev eth0",
        f"{GATEWAY6} dev eth1",
    )
}
SIX_VIPS = (LINK_LOCAL_VIP, VIP6, GATEWAY6)
PASSWORD = ("authentication {", "auth_type PASS", "auth_pass secret", "}")


def unicast(ours: str, theirs: str) -> tuple[str, ...]:
    return (f"unicast_src_ip {theirs}", "unicast_peer {", ours, "}")


SETTINGS = {
    "version 3 over IPv4": Setting(),
    "version 3 over IPv6": Setting(SIX, SIX_THEIRS, SIX_VIPS),
    "version 2 with a password": Setting(
        {"version": 2, "interval": 1, "password": "secret"},
        {"version": 2, "interval": 1, "lines": PASSWORD},
    ),
    "unicast": Setting({"peers": ["10.0.0.2"]}, {"lines": unicast("10.0.0.1", "10.0.0.2")}),
    "unicast, version 2": Setting(
        {"peers": ["10.0.0.2"], "version": 2, "interval": 1},
        {"lines": unicast("10.0.0.1", "10.0.0.2"), "version": 2, "interval": 1},
    ),
    "unicast over IPv6": Setting(
        # keepalived 2.2.7 sends these with the hop limit of everything else.
        {"peers": ["2001:db8::2"], "min_ttl": 64, **SIX},
        {"lines": unicast("2001:db8::1", "2001:db8::2"), **SIX_THEIRS},
        SIX_VIPS,
    ),
}
VERSIONS = ("version 3 over IPv4", "version 3 over IPv6", "version 2 with a password")
in_each_version = pytest.mark.parametrize(
    "setting", [pytest.param(SETTINGS[name], id=name) for name in VERSIONS]
)
each_setting = pytest.mark.parametrize(
    "setting", [pytest.param(setting, id=name) for name, setting in SETTINGS.items()]
)


def start(node: Node, setting: Setting, priority: int = 100) -> None:
    node.start(instance(priority, **setting.ours))


@each_setting
def test_we_obey_a_keepalived_of_higher_priority_and_follow_it(
    lan: Lan, setting: Setting
) -> None:
    peer = Keepalived(lan.two, 150, **setting.theirs)
    peer.start()
    lan.two.wait_for(*setting.vips, within=10)

    start(lan.one, setting)

    eventually(
        lambda: lan.one.status().get("active") is not None,
        within=5,
        what="keepalived is heard",
        explain=lan.one.vrrpd.tail,
    )
    assert lan.one.status()["state"] == "backup"
    assert not any(lan.one.has(vip) for vip in setting.vips)
    peer.stop()
    lan.one.wait_for(*setting.vips, within=10)
    lan.two.wait_without(*setting.vips)
    assert lan.one.status()["discarded"] == lan.one.status()["noticed"] == {}
    assert peer.complaints() == []


@each_setting
def test_a_keepalived_of_lower_priority_obeys_us_and_follows_us(
    lan: Lan, setting: Setting
) -> None:
    peer = Keepalived(lan.two, 50, **setting.theirs)
    peer.start()
    lan.two.wait_for(*setting.vips, within=10)

    start(lan.one, setting)

    lan.one.wait_for(*setting.vips, within=10)
    lan.two.wait_without(*setting.vips)
    lan.one.vrrpd.stop()
    lan.two.wait_for(*setting.vips, within=10)
    assert peer.complaints() == []


def test_a_keepalived_of_lower_priority_is_left_alone_for_the_delay(lan: Lan) -> None:
    Keepalived(lan.two, 50).start()
    lan.two.wait_for(VIP)

    lan.one.start(instance(100, preempt_delay=1.5))

    eventually(
        lambda: lan.one.status().get("active") == "10.0.0.2", within=5, what="it hears"
    )
    lan.one.wait_for(VIP)
    lan.two.wait_without(VIP)
    took_part, took_over = (line for line in lan.one.log() if "state" in line)
    waited = datetime.fromisoformat(took_over["timestamp"])
    waited -= datetime.fromisoformat(took_part["timestamp"])
    assert waited.total_seconds() >= 1.5


def test_a_keepalived_of_lower_priority_stays_where_we_do_not_preempt(lan: Lan) -> None:
    Keepalived(lan.two, 50).start()
    lan.two.wait_for(VIP)

    lan.one.start(instance(100, preempt=False))

    eventually(
        lambda: lan.one.status().get("active") == "10.0.0.2", within=5, what="it hears"
    )
    lan.forget()
    for _ in range(10):  # for twice its own down interval and more
        lan.hear_advertisement("10.0.0.2", within=2)
    assert lan.one.status()["state"] == "backup"
    assert lan.two.has(VIP)


def test_two_intervals_in_version_2_are_reported_loudly(lan: Lan) -> None:
    Keepalived(lan.two, 150, version=2, interval=1).start()
    lan.two.wait_for(VIP, within=10)

    lan.one.start(instance(100, version=2, interval=2))

    lan.one.wait_for_log(
        level="error",
        event="advertisement discarded",
        kind="interval",
        reason="its interval is 1 s, not 2 s: version 2 forbids to heed it, so both "
        "routers will be Active until the intervals are equal",
    )


def test_another_password_is_refused_by_both(lan: Lan) -> None:
    peer = Keepalived(lan.two, 150, version=2, interval=1, lines=PASSWORD)
    peer.start()
    lan.two.wait_for(VIP)

    lan.one.start(instance(200, version=2, interval=1, password="public"))

    lan.one.wait_for_log(event="advertisement discarded", kind="password")
    lan.one.wait_for(VIP)
    eventually(peer.complaints, within=5, what="keepalived complains")
    assert "password" in peer.log()


def test_in_version_3_we_learn_the_interval_of_the_active(lan: Lan) -> None:
    Keepalived(lan.two, 150, interval=0.4).start()
    lan.two.wait_for(VIP)
    lan.one.start(instance(100, interval=0.1))
    eventually(
        lambda: lan.one.status().get("active") == "10.0.0.2",
        within=5,
        what="keepalived is heard",
    )
    transitions = lan.one.status()["transitions"]

    lan.forget()
    # Our own interval would be over three times before its second advertisement.
    heard = [lan.hear_advertisement("10.0.0.2", within=2) for _ in range(4)]

    assert heard[-1] - heard[0] > 1.0
    assert lan.one.status()["transitions"] == transitions


def cut_off(lan: Lan, node: Node, *, is_so: bool) -> None:
    """Let a node hear no multicast any more, or hear it again."""
    flood = "off" if is_so else "on"
    leg = ("dev", node.host.name, "mcast_flood", flood)
    lan.front.switch.run("bridge", "link", "set", *leg)


def forget_addresses(node: Node, vips: tuple[str, ...]) -> None:
    """Take away what a kill left."""
    for vip in vips:
        ip = vip.partition("/")[0]
        alone = f"{ip}/{128 if ':' in ip else 32}"
        node.host.run("ip", "address", "flush", "to", alone)
    for left in ("pid", "vrrp.pid"):
        (node.directory / left).unlink(missing_ok=True)


@in_each_version
def test_a_keepalived_that_leads_is_cut_off_and_is_killed_and_comes_back(
    lan: Lan, setting: Setting
) -> None:
    peer = Keepalived(lan.two, 150, **setting.theirs)
    peer.start()
    start(lan.one, setting)
    lan.two.wait_for(*setting.vips, within=10)
    eventually(
        lambda: lan.one.status().get("state") == "backup" and lan.one.status()["active"],
        within=10,
        what="keepalived is heard",
        explain=lan.one.vrrpd.tail,
    )

    cut_off(lan, lan.one, is_so=True)
    lan.one.wait_for(*setting.vips, within=10)
    assert lan.two.has(*setting.vips)
    cut_off(lan, lan.one, is_so=False)
    lan.one.wait_without(*setting.vips)
    assert lan.two.has(*setting.vips)

    lan.two.host.kill_everything()
    lan.one.wait_for(*setting.vips, within=10)
    forget_addresses(lan.two, setting.vips)
    peer.start()
    lan.two.wait_for(*setting.vips, within=10)
    lan.one.wait_without(*setting.vips)
    assert peer.complaints() == []


@in_each_version
def test_a_keepalived_that_follows_takes_over_from_who_is_cut_off_or_killed(
    lan: Lan, setting: Setting
) -> None:
    start(lan.one, setting)
    peer = Keepalived(lan.two, 50, **setting.theirs)
    peer.start()
    lan.one.wait_for(*setting.vips, within=10)
    lan.two.wait_without(*setting.vips)

    cut_off(lan, lan.two, is_so=True)
    lan.two.wait_for(*setting.vips, within=10)
    assert lan.one.has(*setting.vips)
    cut_off(lan, lan.two, is_so=False)
    lan.two.wait_without(*setting.vips)
    assert lan.one.status()["state"] == "active"

    lan.one.vrrpd.kill()
    lan.two.wait_for(*setting.vips, within=10)
    assert peer.complaints() == []
