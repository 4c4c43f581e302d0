"""guideway-vrrpd on real networks: two nodes, a witness, and the kernel between them."""

import os
import signal
import sys
from ipaddress import ip_address
from itertools import pairwise
from socket import AF_INET, AF_INET6, if_nametoindex
from typing import Any

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import IP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet

from tests.support.vrrp_lan import (
    DOWN_100,
    GATEWAY,
    SKEW_100,
    SLACK,
    VIP,
    Lan,
    Node,
    instance,
)
from tests.support.wait import eventually
from vagrant.lab.errors import CommandError
from vagrant.lab.segment import mac_of
from vrrp import present
from vrrp.present import Present

pytestmark = pytest.mark.waiting

EARLY = 0.01  # seconds by which what a node hears may come before what the witness hears
LINK_LOCAL = "fe80::33/64"
VIP6 = "2001:db8::100/128"
GATEWAY6 = "2001:db8:20::1/64"


def is_advertisement(frame: Packet, source: Node, priority: int) -> bool:
    return (
        VRRPv3 in frame
        and frame[IP].src == str(source.address)
        and frame[VRRPv3].priority == priority
    )


def claims_the_vip(frame: Packet, node: Node) -> bool:
    """Whether ``frame`` is gratuitous ARP of ``node`` for the VIP."""
    wanted = ARP(
        op="who-has",
        hwsrc=mac_of(node.address),
        psrc="10.0.0.100",
        hwdst="ff:ff:ff:ff:ff:ff",
        pdst="10.0.0.100",
    )
    to_all = Ether(src=wanted.hwsrc, dst="ff:ff:ff:ff:ff:ff")
    return bytes(frame) == bytes(to_all / wanted)


# Election and failover


def test_the_higher_priority_is_active_and_alone_has_the_addresses(pair: Lan) -> None:
    one, two = pair.one, pair.two

    assert one.status()["active"] == two.status()["active"] == "10.0.0.1"
    assert one.has(VIP, GATEWAY)
    assert not two.has(VIP)
    assert not two.has(GATEWAY)


def test_an_advertisement_on_the_wire_is_what_the_rfc_wants(pair: Lan) -> None:
    frame, _ = pair.hear(lambda frame: is_advertisement(frame, pair.one, 150), within=5)

    assert frame[Ether].dst == "01:00:5e:00:00:12"
    header = frame[IP]
    assert (header.src, header.dst, header.ttl, header.tos, header.proto) == (
        "10.0.0.1",
        "224.0.0.18",
        255,
        0xC0,
        112,
    )
    said = frame[VRRPv3]
    assert (said.vrid, said.priority, said.adv) == (51, 150, 10)
    assert said.addrlist == ["10.0.0.100", "10.20.0.1"]


@pytest.mark.alone
def test_a_silent_death_is_over_within_the_down_interval(pair: Lan) -> None:
    pair.one.vrrpd.kill()
    pair.front.unplug(pair.one.host)

    heard = pair.hear_until(lambda frame: claims_the_vip(frame, pair.two), within=5)

    last = max(t for frame, t in heard if is_advertisement(frame, pair.one, 150))
    assert DOWN_100 - EARLY <= heard[-1][1] - last <= DOWN_100 + SLACK
    pair.two.wait_for(VIP, GATEWAY)


def test_a_new_active_announces_itself_five_times_at_once(pair: Lan) -> None:
    pair.one.vrrpd.kill()
    pair.front.unplug(pair.one.host)

    times = [
        pair.hear(lambda frame: claims_the_vip(frame, pair.two), within=5)[1]
        for _ in range(5)
    ]

    assert times[-1] - times[0] < 0.1


@pytest.mark.alone
def test_announcements_come_as_often_as_the_operator_wants(lan: Lan) -> None:
    how = {"repeat": 2, "delay": 0, "refresh": 0.3, "refresh_repeat": 3}
    lan.one.start(instance(100, announce=how))

    times = [
        lan.hear(lambda frame: claims_the_vip(frame, lan.one), within=5)[1]
        for _ in range(8)
    ]

    bursts = [times[:2], times[2:5], times[5:]]
    assert all(burst[-1] - burst[0] < 0.1 for burst in bursts)
    assert all(later[0] - burst[0] > 0.2 for burst, later in pairwise(bursts))


@pytest.mark.alone
def test_sigterm_hands_over_within_the_skew(pair: Lan) -> None:
    pair.one.signal(signal.SIGTERM)

    _, resigned = pair.hear(lambda frame: is_advertisement(frame, pair.one, 0), within=5)
    _, taken = pair.hear(lambda frame: claims_the_vip(frame, pair.two), within=5)
    assert pair.one.vrrpd.wait(within=5) == 0
    assert SKEW_100 - EARLY <= taken - resigned <= SKEW_100 + SLACK
    assert pair.one.status() == {}
    assert not pair.one.has(VIP)
    assert not pair.one.has(GATEWAY)


def test_an_impatient_second_signal_does_not_disturb_the_end(pair: Lan) -> None:
    pid = pair.one.vrrpd.pid
    assert pid is not None
    for _ in range(3):  # it may have ended by then, and nobody has asked for its exit code
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGHUP)

    assert pair.one.vrrpd.wait(within=5) == 0
    assert pair.one.status() == {}
    assert not pair.one.has(VIP)


def test_a_node_that_comes_back_takes_over_again_unless_told_not_to(pair: Lan) -> None:
    pair.one.vrrpd.stop()
    pair.two.wait_for(VIP)

    pair.one.start(instance(150, preempt=False))
    pair.one.wait_until("backup")
    # It has heard the Active, which is what resets its timer.
    eventually(lambda: pair.one.status()["active"] == "10.0.0.2", within=2, what="it hears")
    assert pair.two.has(VIP)
    pair.one.configure(instance(150))
    pair.one.reload()

    pair.one.wait_for(VIP)
    pair.two.wait_without(VIP)


def test_a_partition_heals_into_one_active(pair: Lan) -> None:
    # "two" no longer hears what "one" says, and takes over while "one" is still Active.
    leg_of_two = ("bridge", "link", "set", "dev", "two", "mcast_flood")
    pair.front.switch.run(*leg_of_two, "off")
    pair.two.wait_for(VIP)
    assert pair.one.has(VIP)

    pair.front.switch.run(*leg_of_two, "on")

    pair.two.wait_without(VIP)
    assert pair.one.has(VIP)
    assert pair.two.status()["active"] == "10.0.0.1"


# IPv6


def six(priority: int) -> dict[str, Any]:
    """An instance over IPv6, with addresses before and behind the node."""
    inner = {"address": GATEWAY6, "interface": "eth1"}
    return instance(priority, addresses=[LINK_LOCAL, VIP6, inner])


@pytest.fixture
def pair6(lan: Lan) -> Lan:
    """The pair over IPv6."""
    lan.one.start(six(150))
    lan.one.wait_for(LINK_LOCAL, VIP6, GATEWAY6)
    lan.two.start(six(100))
    eventually(
        lambda: lan.two.status().get("active") is not None,
        within=5,
        what="two hears one",
        explain=lan.two.vrrpd.tail,
    )
    return lan


def is_advertisement6(frame: Packet) -> bool:
    return IPv6 in frame and frame[IPv6].nh == 112


def announces_the_vip6(frame: Packet, node: Node) -> bool:
    """Whether ``frame`` is the unsolicited neighbour advertisement of ``node``."""
    mac = mac_of(node.address)
    wanted = (
        Ether(src=mac, dst="33:33:00:00:00:01")
        / IPv6(src="2001:db8::100", dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(tgt="2001:db8::100", R=1, S=0, O=1)
        / ICMPv6NDOptDstLLAddr(lladdr=mac)
    )
    return bytes(frame) == bytes(wanted)


def test_over_ipv6_an_advertisement_is_what_the_rfc_wants(pair6: Lan) -> None:
    frame, _ = pair6.hear(is_advertisement6, within=5)

    assert frame[Ether].dst == "33:33:00:00:00:12"
    header = frame[IPv6]
    assert (header.dst, header.hlim, header.tc) == ("ff02::12", 255, 0xC0)
    assert header.src.startswith("fe80::")
    assert header.src != "fe80::33"
    assert VRRPv3 in frame
    assert frame[VRRPv3].addrlist == ["fe80::33", "2001:db8::100", "2001:db8:20::1"]


@pytest.mark.alone
def test_over_ipv6_a_silent_death_is_over_within_the_down_interval(pair6: Lan) -> None:
    pair6.one.vrrpd.kill()
    pair6.front.unplug(pair6.one.host)

    heard = pair6.hear_until(lambda frame: announces_the_vip6(frame, pair6.two), within=5)

    own = mac_of(pair6.one.address)
    last = max(t for frame, t in heard if is_advertisement6(frame) and frame.src == own)
    assert DOWN_100 - EARLY <= heard[-1][1] - last <= DOWN_100 + SLACK
    pair6.two.wait_for(LINK_LOCAL, VIP6, GATEWAY6)


def test_the_vip_over_ipv6_is_of_use_at_once_and_no_source_of_our_own(pair6: Lan) -> None:
    host = pair6.one.host

    shown = host.run("ip", "-6", "-oneline", "address", "show", "to", VIP6)
    route = host.run("ip", "-6", "route", "get", "2001:db8::9")

    assert "nodad" in shown
    assert "deprecated" in shown
    assert "preferred_lft 0sec" in shown
    assert "tentative" not in shown
    assert " src 2001:db8::1 " in route


def test_over_ipv6_addresses_go_when_the_daemon_does_and_strays_come_back(
    pair6: Lan,
) -> None:
    pair6.one.host.run("ip", "address", "del", VIP6, "dev", "eth0")
    pair6.one.wait_for(VIP6)

    pair6.one.vrrpd.stop()

    assert not any(pair6.one.has(each) for each in (LINK_LOCAL, VIP6, GATEWAY6))
    pair6.two.wait_for(LINK_LOCAL, VIP6, GATEWAY6)


def test_over_ipv6_what_a_killed_run_left_is_removed_by_the_next(pair6: Lan) -> None:
    pair6.one.vrrpd.kill()
    pair6.two.wait_for(VIP6)
    assert pair6.one.has(LINK_LOCAL, VIP6, GATEWAY6)

    pair6.one.start(six(50))

    pair6.one.wait_without(LINK_LOCAL, VIP6, GATEWAY6)
    pair6.one.wait_until("backup")


def test_over_ipv6_it_waits_until_its_own_address_is_known_to_be_unique(lan: Lan) -> None:
    host = lan.one.host
    host.sysctl("net.ipv6.conf.eth0.accept_dad", 1)

    def begin_anew(questions: int) -> None:
        """Have the kernel ask so often, once in a second, who has the address."""
        host.sysctl("net.ipv6.conf.eth0.dad_transmits", questions)
        host.run("ip", "link", "set", "eth0", "down")
        host.run("ip", "link", "set", "eth0", "up")

    begin_anew(60)
    lan.one.start(six(100))
    lan.one.wait_for_log(event="socket not opened yet")
    begin_anew(1)

    lan.one.wait_until("active")


def test_both_families_move_together_in_a_sync_group(lan: Lan) -> None:
    group = {"sync_groups": [{"name": "both", "instances": ["front", "six"]}]}

    def both(priority: int) -> tuple[dict[str, Any], ...]:
        return instance(priority), {**six(priority), "name": "six"}

    lan.one.start(*both(150), **group)
    lan.one.wait_for(VIP, VIP6)
    lan.two.start(*both(100), **group)

    lan.one.host.run("ip", "address", "flush", "dev", "eth0", "scope", "link")

    lan.two.wait_for(VIP, GATEWAY, VIP6, GATEWAY6)
    lan.one.wait_without(VIP, GATEWAY, VIP6, GATEWAY6)


def test_addresses_of_the_other_family_may_move_along_unadvertised(lan: Lan) -> None:
    lan.one.start(instance(150, unadvertised=[VIP6]))
    lan.two.start(instance(100, unadvertised=[VIP6]))
    lan.one.wait_for(VIP, VIP6)

    lan.one.vrrpd.stop()

    lan.two.wait_for(VIP, VIP6)
    assert not lan.one.has(VIP6)


def test_both_forms_of_the_checksum_are_understood(lan: Lan) -> None:
    lan.one.start(instance(150, checksum="plain"))
    lan.one.wait_for(VIP)

    lan.two.start(instance(100))

    lan.wait_until_two_hears_one()
    assert lan.two.status()["discarded"] == {}


def test_several_instances_of_both_families_share_an_interface(lan: Lan) -> None:
    other = instance(100, name="other", vrid=52, addresses=["10.0.0.101/32"])
    sixth = instance(100, name="sixth", addresses=[LINK_LOCAL, VIP6])
    mine = {"front": instance(150), "other": other, "sixth": sixth}
    lan.one.start(*mine.values())
    lan.one.wait_for(VIP, "10.0.0.101/32", VIP6)

    lan.two.start(*({**each, "priority": 120} for each in mine.values()))

    lan.two.wait_for("10.0.0.101/32", LINK_LOCAL, VIP6)
    lan.one.wait_without("10.0.0.101/32", LINK_LOCAL, VIP6)
    assert lan.one.has(VIP)
    assert not lan.two.has(VIP)


# Addresses


def test_an_address_that_somebody_removed_is_put_back(pair: Lan) -> None:
    host = pair.one.host

    host.run("ip", "address", "del", VIP, "dev", "eth0")
    host.run("ip", "address", "del", GATEWAY, "dev", "eth1")

    pair.one.wait_for(VIP, GATEWAY)
    pair.one.wait_for_log(event="address put back", address=f"{VIP} on eth0")


def test_an_address_may_have_a_label(lan: Lan) -> None:
    labelled = {"address": VIP, "label": "eth0:vip"}
    lan.one.start(instance(100, addresses=[labelled]))
    lan.one.wait_for(VIP)

    assert "global eth0:vip" in lan.one.host.run("ip", "-oneline", "address", "show")


def test_what_a_killed_run_left_is_removed_by_the_next(pair: Lan) -> None:
    pair.one.vrrpd.kill()
    pair.two.wait_for(VIP)
    assert pair.one.has(VIP, GATEWAY)

    pair.one.start(instance(50))

    pair.one.wait_without(VIP, GATEWAY)
    pair.one.wait_until("backup")


def test_an_owner_keeps_its_own_address_when_it_stops(lan: Lan) -> None:
    own = "10.0.0.1/24"
    lan.one.start(instance(255, addresses=[own]))
    lan.one.wait_until("active")

    lan.one.vrrpd.stop()

    assert lan.one.has(own)


# Interfaces


def test_a_node_without_a_cable_rests_until_it_has_one(pair: Lan) -> None:
    pair.front.unplug(pair.one.host)

    pair.one.wait_until("initialize")
    pair.one.wait_without(VIP, GATEWAY)
    pair.two.wait_for(VIP, GATEWAY)
    pair.front.plug(pair.one.host)
    pair.one.wait_until("active")
    pair.one.wait_for(VIP, GATEWAY)
    pair.two.wait_without(VIP, GATEWAY)


def test_a_node_that_loses_its_inner_interface_resigns(pair: Lan) -> None:
    pair.one.host.run("ip", "link", "set", "eth1", "down")

    pair.hear(lambda frame: is_advertisement(frame, pair.one, 0), within=2)
    pair.two.wait_for(VIP, GATEWAY)
    pair.one.wait_without(VIP, GATEWAY)


def test_an_interface_may_vanish_and_come_back(pair: Lan) -> None:
    pair.one.host.run("ip", "link", "del", "eth0")

    pair.one.wait_until("initialize")
    pair.two.wait_for(VIP, GATEWAY)
    pair.one.wait_without(GATEWAY)
    pair.front.connect(pair.one.host, "eth0", pair.one.address)
    pair.one.wait_until("active")
    pair.one.wait_for(VIP, GATEWAY)
    assert pair.one.vrrpd.running


def test_an_interface_may_get_another_address(pair: Lan) -> None:
    change = f"addr del {pair.one.address}/24 dev eth0\naddr add 10.0.0.3/24 dev eth0\n"
    batch = pair.one.directory / "batch"
    batch.write_text(change)

    pair.one.host.run("ip", "-batch", str(batch))

    eventually(
        lambda: pair.two.status()["active"] == "10.0.0.3",
        within=5,
        what="one speaks from its new address",
        explain=pair.one.vrrpd.tail,
    )


# Signals and files


def test_a_reload_leaves_alone_what_has_not_changed(lan: Lan) -> None:
    other = instance(100, name="other", vrid=52, addresses=["10.0.0.101/32"])
    lan.one.start(instance(100), other)
    lan.one.wait_until("active")
    lan.one.wait_until("active", name="other")
    before = lan.one.standing()
    added = instance(100, name="added", vrid=53, addresses=["10.0.0.102/32"])

    lan.one.configure(instance(100), {**other, "priority": 90}, added)
    lan.one.reload()

    lan.one.wait_until("active", name="added")
    eventually(
        lambda: lan.one.status("other").get("priority") == 90, within=2, what="changed"
    )
    assert lan.one.standing() == before
    lan.one.wait_for(VIP, "10.0.0.102/32")


def refuse_a_reload(node: Node, changed: dict[str, Any], problem: str, **more: str) -> None:
    """Let ``node`` be Active, and read a file that it has to refuse: nothing changes."""
    node.start(instance(100))
    node.wait_until("active")
    before = node.standing()

    node.configure(changed, **more)
    node.reload()

    node.wait_for_log(event="configuration not reloaded", problem=problem)
    assert node.standing() == before
    assert node.vrrpd.running


def test_a_mistake_in_the_new_file_changes_nothing(lan: Lan) -> None:
    place = f"{lan.one.directory}/vrrp.yaml:1: instances[0] (front), priority"

    refuse_a_reload(lan.one, instance(0), f"{place}: Expected `int` >= 1")


def test_what_waits_for_a_restart_is_named_with_its_line(lan: Lan) -> None:
    problem = (
        f"{lan.one.directory}/vrrp.yaml:1: maintenance_file: "
        "cannot change while guideway-vrrpd runs: restart it"
    )

    refuse_a_reload(lan.one, instance(100), problem, maintenance_file="/elsewhere")


def test_a_reload_refuses_an_interface_that_is_not_there(lan: Lan) -> None:
    problem = "there is no interface eth7, which instance front needs"

    refuse_a_reload(lan.one, instance(100, interface="eth7"), problem)


def test_addresses_are_read_as_pyroute2_reads_them(lan: Lan) -> None:
    host = lan.one.host
    host.sysctl("net.ipv6.conf.eth1.disable_ipv6", 0)
    host.run("ip", "address", "add", "10.7.0.1", "peer", "10.7.0.2/32", "dev", "eth1")
    host.run("ip", "address", "add", "2001:db8::1", "peer", "2001:db8::2", "dev", "eth1")
    old = ("2001:db8::3/64", "dev", "eth1", "preferred_lft", "0", "nodad")
    host.run("ip", "address", "add", *old)
    many = (f"address add 10.8.{n >> 8}.{n & 255}/24 dev eth1" for n in range(1, 1000))
    batch = lan.one.directory / "batch"
    batch.write_text("\n".join(many))  # more than fit into an answer
    host.run("ip", "-batch", str(batch))

    with host.inside(), IPRoute(strict_check=True) as ip:
        for family in (AF_INET, AF_INET6):
            index = if_nametoindex("eth1")
            told = ip.addr("dump", index=index, family=family)
            assert present.read(index, family) == [
                Present(
                    ip_address(each.get("IFA_LOCAL") or each.get("IFA_ADDRESS")).packed,
                    each["prefixlen"],
                    each.get("IFA_PROTO") or 0,
                    bool(each["flags"] & 0x20),
                )
                for each in told
            ]
        with pytest.raises(OSError, match="No such device"):
            present.read(99, AF_INET)


def refusal(node: Node, *prefix: str) -> str:
    """Start guideway-vrrpd where it cannot run, and return its last words."""
    configuration = str(node.directory / "vrrp.yaml")
    command = (sys.executable, "-m", "vrrp.daemon", "--config", configuration)
    with pytest.raises(CommandError) as caught:
        node.host.run(*prefix, *command)
    assert caught.value.code == 1
    return caught.value.output


def test_a_second_daemon_with_the_same_status_file_is_refused(lan: Lan) -> None:
    lan.one.start(instance(100))
    lan.one.wait_until("active")

    said = refusal(lan.one)

    assert said == (
        "guideway-vrrpd: another guideway-vrrpd is running with status file "
        f"{lan.one.directory}/vrrp.json: stop it, or name another `status_file`\n"
    )
    assert lan.one.has(VIP)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"interface": "eth7"},
            "there is no interface eth7, which instance front needs",
            id="no such interface",
        ),
        pytest.param(
            {"addresses": [{"address": GATEWAY, "interface": "eth7"}]},
            "there is no interface eth7, which instance front needs",
            id="no such interface for an address",
        ),
        pytest.param(
            {"interface": "eth1"},
            "interface eth1 has no IPv4 address of its own, from which instance front could"
            " advertise: give it one",
            id="no address",
        ),
        pytest.param(
            {"interface": "eth1", "addresses": [LINK_LOCAL]},
            "interface eth1 has no link-local IPv6 address of its own, from which instance"
            " front could advertise: give it one",
            id="no link-local address",
        ),
        pytest.param(
            {"source": "10.0.0.77", "peers": ["10.0.0.2"]},
            "interface eth0 has no address 10.0.0.77 of its own, from which instance front"
            " could advertise: give it one",
            id="no such source",
        ),
    ],
)
def test_who_lacks_something_rests_and_says_what(
    lan: Lan, changes: dict[str, object], sentence: str
) -> None:
    lan.one.host.run("ip", "address", "flush", "dev", "eth1")
    before = lan.one.host.run("ip", "-brief", "address")

    lan.one.start(instance(100, **changes))

    lan.one.wait_for_log(event="instance at rest", problem=sentence)
    lan.one.wait_until("initialize")
    assert lan.one.host.run("ip", "-brief", "address") == before


def test_an_interface_that_comes_after_the_start_is_waited_for(lan: Lan) -> None:
    lan.one.start(
        instance(100), instance(100, name="late", interface="eth7", addresses=["10.7.0.9"])
    )
    lan.one.wait_until("active")
    assert lan.one.status("late")["problem"] == (
        "there is no interface eth7, which instance late needs"
    )

    lan.one.host.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "eth8")
    lan.one.host.run("ip", "address", "add", "10.7.0.1/24", "dev", "eth7")
    for end in ("eth7", "eth8"):
        lan.one.host.run("ip", "link", "set", end, "up")

    lan.one.wait_until("active", "late")
    lan.one.wait_for("10.7.0.9/32")


def test_without_the_capabilities_it_does_not_start(lan: Lan) -> None:
    lan.one.configure(instance(100))

    said = refusal(lan.one, "setpriv", "--bounding-set", "-net_admin")

    assert said == (
        "guideway-vrrpd: CAP_NET_ADMIN and CAP_NET_RAW are needed: run it as root\n"
    )
