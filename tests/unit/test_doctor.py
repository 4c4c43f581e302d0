"""What ``guideway doctor`` makes of what it sees; the faults themselves are in netns."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from control.cli.main import guideway
from control.doctor.examine import examine
from control.doctor.facts import Daemon, Drops, Host, Member, Node, Pool, Settings
from control.doctor.findings import Finding, Severity, worst
from control.doctor.frames import Ends, echo, read, reset, syn, who_has
from control.doctor.paths import cases, judge
from control.facts import Interface, Link, Network, NextHop
from control.metrics.seen import Router

OURS = bytes.fromhex("020000000001")
THEIRS = bytes.fromhex("020000000002")
VIP = IPv4Address("10.0.0.100")
BACKEND = IPv4Address("10.0.0.21")
OWN = IPv4Address("10.0.0.11")
ENDS4 = Ends(OURS, THEIRS, OWN, BACKEND)
ENDS6 = Ends(OURS, THEIRS, IPv6Address("2001:db8::b"), IPv6Address("2001:db8::15"))
LINK = Link("eth0", 2, OURS, is_up=True, receive_queues=4)
NETWORK = Network(
    interfaces=(Interface("eth0", 2, OURS, "native"),),
    addresses=frozenset({OWN, VIP}),
    next_hops={BACKEND: NextHop("eth0", 2, OURS, THEIRS)},
)
HOST = Host(
    kernel=(6, 1),
    is_root=True,
    has_bcc=True,
    has_bpffs=True,
    has_jit=True,
    cpus=4,
    clock_is_set=True,
    free=1 << 30,
    links={"eth0": LINK},
    addresses={"eth0": (IPv4Interface("10.0.0.11/24"), IPv6Interface("fe80::1/64"))},
    physical=frozenset({"eth0"}),
    network=NETWORK,
)
POOL = Pool("web", VIP, "tcp", 80, "dr", (Member("b1", BACKEND, 80, "up", "", 1.0),))
DAEMON = Daemon((POOL,), {"eth0": True}, desired_version=1, applied_version=1)
SETTINGS = Settings(("eth0",), "/sys/fs/bpf", "/var/lib/guideway", "/run/x", (POOL,))
HEALTHY = Node(HOST, SETTINGS, daemon=DAEMON)


def codes(node: Node) -> set[str]:
    return {finding.code for finding in examine(node)}


def on_host(**changes: object) -> Node:
    return replace(HEALTHY, host=replace(HOST, **changes))  # type: ignore[arg-type]


def on_link(**changes: object) -> Node:
    return on_host(links={"eth0": replace(LINK, **changes)})  # type: ignore[arg-type]


def in_mode(xdp: str) -> Node:
    interfaces = (Interface("eth0", 2, OURS, xdp),)
    return on_host(network=replace(NETWORK, interfaces=interfaces))


def of_daemon(**changes: object) -> Node:
    return replace(HEALTHY, daemon=replace(DAEMON, **changes))  # type: ignore[arg-type]


def of_member(**changes: object) -> Node:
    member = replace(POOL.members[0], **changes)  # type: ignore[arg-type]
    return of_daemon(pools=(replace(POOL, members=(member,)),))


FAULTS = {
    "not-root": on_host(is_root=False),
    "kernel-old": on_host(kernel=(5, 10)),
    "bcc-missing": on_host(has_bcc=False),
    "bpffs-missing": on_host(has_bpffs=False),
    "jit-off": on_host(has_jit=False),
    "clock-unset": on_host(clock_is_set=False),
    "disk-full": on_host(free=1 << 20),
    "interface-missing": on_host(links={}),
    "interface-down": on_link(is_up=False),
    "no-carrier": on_link(has_carrier=False),
    "one-queue": on_link(receive_queues=1),
    "generic-mode": in_mode("generic"),
    "program-foreign": replace(
        in_mode("native"), daemon=replace(DAEMON, attached={"eth0": False})
    ),
    "program-missing": replace(
        in_mode("none"), daemon=replace(DAEMON, attached={"eth0": False})
    ),
    "file-refused": replace(HEALTHY, settings=None, misconfigured="a: b"),
    "daemon-silent": replace(HEALTHY, daemon=None, silent="is it running?"),
    "elsewhere": in_mode("none"),
    "detached": of_daemon(detached=True),
    "behind": of_daemon(applied_version=0),
    "status": of_daemon(warnings=("this is wrong: mend it",)),
    "map-full": of_daemon(maps={"slots": (95, 100), "records": (100, 100)}),
    "drops-rising": of_daemon(drops=(Drops("martian", 3, "a source", "filter"),)),
    "nobody-serves": of_member(share=0.0),
    "backend-down": of_member(health="down", reason="refused"),
    "backend-unreachable": on_host(network=replace(NETWORK, next_hops={})),
    "vip-nowhere": on_host(network=replace(NETWORK, addresses=frozenset())),
    "vrrp-rests": replace(
        HEALTHY, routers={"front": Router("backup", 0.0, 100, problem="maintenance")}
    ),
    "vrrp-discards": replace(HEALTHY, routers={}, discarded={("front", "password"): 2}),
}


def test_on_a_healthy_node_nothing_is_found() -> None:
    assert codes(HEALTHY) == set()


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_is_found_alone(code: str) -> None:
    assert codes(FAULTS[code]) == {code}


@pytest.mark.parametrize("code", FAULTS)
def test_a_finding_says_what_is_wrong_and_what_to_do(code: str) -> None:
    for finding in examine(FAULTS[code]):
        assert finding.problem
        assert finding.remedy
        assert not finding.problem.endswith(".")


@pytest.mark.parametrize(
    "code",
    [
        *FAULTS,
        "mtu-differs",
        "more-backends",
        "vip-not-on-backend",
        "vip-refused",
        "vip-claimed-by-backend",
        "replies-elsewhere",
        "checksum-offloaded",
        "not-asked",
        "not-all-asked",
    ],
)
def test_the_manual_has_every_code(code: str) -> None:
    manual = Path(__file__).parents[2] / "docs" / "guideway.md"
    assert f"`{code}`" in manual.read_text()


def test_interfaces_of_several_mtus_are_found() -> None:
    links = {"eth0": LINK, "eth1": replace(LINK, name="eth1", mtu=9000)}
    node = replace(on_host(links=links), daemon=None, silent="x")
    both = replace(node, settings=replace(SETTINGS, interfaces=("eth0", "eth1")))

    assert "mtu-differs" in codes(both)


def test_of_many_backends_in_trouble_some_are_named_and_the_others_counted() -> None:
    down = tuple(
        Member(f"b{n}", BACKEND, 80, "down", "refused", share=1.0) for n in range(10)
    )

    found = [*examine(of_daemon(pools=(replace(POOL, members=down),)))]

    assert sum(finding.code == "backend-down" for finding in found) == 4
    (more,) = [finding for finding in found if finding.code == "more-backends"]
    assert more.problem.startswith("6 more backends of web")


def test_the_worst_of_all_counts() -> None:
    notes = Finding("a", Severity.NOTE, "", ""), Finding("b", Severity.ERROR, "", "")
    assert worst(notes) is Severity.ERROR
    assert worst(()) is None


def test_questions_are_what_scapy_reads_from_them() -> None:
    for ends, layer in ((ENDS4, IP), (ENDS6, IPv6)):
        frame, _ = syn(ends, 80, 61000)
        packet = Ether(frame)
        assert (packet.dst, packet.src) == ("02:00:00:00:00:02", "02:00:00:00:00:01")
        assert packet[layer].dst == str(ends.address)
        assert (packet[TCP].dport, packet[TCP].sport) == (80, 61000)
        assert str(packet[TCP].flags) == "S"
        again = Ether(rebuilt(packet))
        assert again[TCP].chksum == packet[TCP].chksum
        assert str(Ether(reset(ends, 80, 61000, 7))[TCP].flags) == "R"
    assert Ether(echo(ENDS4, 7)[0])[ICMP].id == 7
    assert Ether(echo(ENDS6, 7)[0])[ICMPv6EchoRequest].id == 7
    assert Ether(who_has(VIP, OURS, OWN)[0])[ARP].pdst == str(VIP)
    asked = IPv6Address("2001:db8::64")
    solicited = Ether(who_has(asked, OURS, ENDS6.source)[0])
    assert solicited[ICMPv6ND_NS].tgt == str(asked)
    assert solicited[IPv6].dst == "ff02::1:ff00:64"
    assert solicited.dst == "33:33:ff:00:00:64"


def rebuilt(packet: Packet) -> bytes:
    """Return the packet with checksums by scapy."""
    copy = packet.copy()
    del copy[TCP].chksum
    return bytes(copy)


def answers_of(ends: Ends) -> list[tuple[bytes, Packet]]:
    """Return questions, each with the answer that scapy makes to it."""
    ip = IP if ends.address.version == 4 else IPv6
    back = Ether(src=THEIRS, dst=OURS) / ip(src=str(ends.address), dst=str(ends.source))
    reply = (
        ICMP(type="echo-reply", id=9, seq=1)
        if ends.address.version == 4
        else ICMPv6EchoReply(id=9, seq=1)
    )
    return [
        (syn(ends, 80, 61000)[1], back / TCP(sport=80, dport=61000, flags="SA", ack=2)),
        (syn(ends, 80, 61000)[1], back / TCP(sport=80, dport=61000, flags="RA", ack=2)),
        (echo(ends, 9)[1], back / reply),
    ]


@pytest.mark.parametrize("ends", [ENDS4, ENDS6], ids=["v4", "v6"])
def test_an_answer_is_known_by_its_question(ends: Ends) -> None:
    for key, packet in answers_of(ends):
        answer = read(bytes(packet))
        assert answer is not None
        assert answer.key == key
        assert answer.mac == THEIRS
        assert answer.checksum_is_right
    accepted = read(bytes(answers_of(ends)[0][1]))
    assert accepted is not None
    assert (accepted.accepts, accepted.next) == (True, 2)


def test_neighbours_that_answer_are_known() -> None:
    arp = Ether(src=THEIRS) / ARP(op="is-at", hwsrc=THEIRS, psrc=str(VIP))
    address = IPv6Address("2001:db8::64")
    advert = Ether(src=THEIRS) / IPv6(src=str(address)) / ICMPv6ND_NA(tgt=str(address))
    for packet, of in ((arp, VIP), (advert, address)):
        answer = read(bytes(packet))
        assert answer is not None
        assert answer.key == who_has(of, OURS, of)[1]
        assert answer.mac == THEIRS


def test_a_checksum_that_nobody_has_computed_is_seen() -> None:
    packet = answers_of(ENDS4)[0][1]
    packet[TCP].chksum = 0x1234

    answer = read(bytes(packet))

    assert answer is not None
    assert not answer.checksum_is_right


@given(st.binary(max_size=120))
def test_any_frame_is_read_or_left(data: bytes) -> None:
    read(data)


@given(st.sampled_from(answers_of(ENDS4) + answers_of(ENDS6)), st.data())
def test_an_answer_that_is_cut_or_changed_raises_nothing(
    answer: tuple[object, Packet], data: st.DataObject
) -> None:
    frame = bytearray(bytes(answer[1]))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    read(bytes(frame[: data.draw(st.integers(0, len(frame)))]))
    read(bytes(frame))


def test_backends_that_are_down_or_withdrawn_are_not_asked() -> None:
    assert cases(HEALTHY)
    assert cases(of_member(health="down")) == ()
    assert cases(of_member(is_active=False)) == ()


def test_nat_backends_are_asked_for_replies_by_the_active_node_alone() -> None:
    nat = of_daemon(pools=(replace(POOL, mode="nat"),))
    backup = replace(nat, routers={"front": Router("backup", 0.0, 100)})

    assert [case.is_return for case in cases(nat)] == [False, True]
    assert [case.is_return for case in cases(backup)] == [False]


def test_silence_and_claims_are_told_apart() -> None:
    asked = cases(HEALTHY)
    neighbour, connection = (case.question.key for case in asked)
    claim = read(bytes(Ether(src=THEIRS) / ARP(op="is-at", hwsrc=THEIRS, psrc=str(VIP))))
    assert claim is not None

    silent = {finding.code for finding in judge(asked, {})}
    claimed = {finding.code for finding in judge(asked, {neighbour: (claim,)})}

    assert silent == {"vip-not-on-backend"}
    assert claimed == {"vip-not-on-backend", "vip-claimed-by-backend"}
    assert connection.speaker == VIP


def test_without_daemon_and_file_it_still_looks(tmp_path: Path) -> None:
    words = ["--socket", str(tmp_path / "none"), "-o", "json", "doctor", "--wait", "0.1"]

    result = CliRunner().invoke(guideway, [*words, "--config", str(tmp_path / "none.yaml")])

    assert result.exit_code == 4
    assert "daemon-silent" in result.stdout
    assert "file-refused" in result.stdout


def test_of_another_host_it_says_nothing(tmp_path: Path) -> None:
    files = [f"--{each}={tmp_path}" for each in ("ca", "cert", "key")]

    result = CliRunner().invoke(guideway, ["--address", "192.0.2.1:7007", *files, "doctor"])

    assert result.exit_code == 1
    assert "leave --address out" in result.stderr
