"""What ``guideway doctor`` makes of what it sees; the faults themselves are in netns."""

import socket
from contextlib import suppress
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
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet

from control.cli.main import guideway
from control.doctor.answers import Advert, Answer, read, read_advert
from control.doctor.claims import claims, judge_claims
from control.doctor.examine import examine
from control.doctor.facts import (
    Daemon,
    Drops,
    Host,
    Member,
    Node,
    Pool,
    Settings,
    Station,
)
from control.doctor.findings import Finding, Severity, worst
from control.doctor.frames import Ends, echo, reset, syn, who_has
from control.doctor.paths import Answers, Subject, cases, judge
from control.doctor.vrrp import Suspicion, overheard, suspicious
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
SETTINGS = Settings(("eth0",), "/sys/fs/bpf", "/var/lib/guideway", "/run/x", (POOL,), "/p")
HEALTHY = Node(HOST, SETTINGS, daemon=DAEMON)
PEER = IPv4Address("10.0.0.12")
STATION = Station("eth0", 51, 4, frozenset({VIP}), patience=4.0)
ACTIVE = Router("active", 0.0, 100, sent={"alive": 5})
BACKUP = Router("backup", 0.0, 100, heard={"alive": 5})


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


def of_router(router: Router, station: Station = STATION, **changes: object) -> Node:
    node = replace(HEALTHY, routers={"front": router}, stations={"front": station})
    return replace(node, **changes)  # type: ignore[arg-type]


def without_daemon(**changes: object) -> Node:
    return replace(on_host(**changes), daemon=None, silent="is it running?")


NAT = of_daemon(pools=(replace(POOL, mode="nat"),))
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
    "vrrp-stalled": of_router(ACTIVE, stalled=frozenset({"front"})),
    "vrrp-unheard": of_router(
        ACTIVE,
        overheard={"front": frozenset({PEER})},
        unheeded=frozenset({"front"}),
    ),
    "vrrp-unsent": of_router(ACTIVE, unsent={"front": 3}),
    "vrrp-unread": replace(HEALTHY, routers={"front": ACTIVE}, unread="no such file"),
    "peer-unreachable": of_router(ACTIVE, replace(STATION, peers=(PEER,))),
    "sysctl": on_host(settings=("NAT needs a = 1, or else harm: `sysctl -w a=1`",)),
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
        "vip-held-twice",
        "vip-unknown",
        "backend-mtu",
        "replies-elsewhere",
        "replies-unknown",
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
    read_advert(data)


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


def is_asked_for_replies(node: Node) -> bool:
    return any(Subject.RETURN in case.asked for case in cases(node))


@pytest.mark.parametrize(
    ("states", "has_vip", "is_gateway"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"front": "active"}, True, True),
        ({"front": "backup"}, False, False),
        ({"front": "backup", "other": "active"}, False, False),
        ({"front": "active", "other": "backup"}, True, True),
        ({"inside": "active"}, False, True),  # the VIP is routed here
    ],
)
def test_replies_are_to_come_to_the_node_that_is_active_for_their_vip(
    states: dict[str, str], has_vip: bool, is_gateway: bool
) -> None:
    routers = {name: Router(state, 0.0, 100) for name, state in states.items()}
    addresses = frozenset({OWN, VIP} if has_vip else {OWN})
    network = replace(NETWORK, addresses=addresses)
    node = replace(NAT, host=replace(HOST, network=network), routers=routers or None)

    assert is_asked_for_replies(node) is is_gateway


def found_when(node: Node, *said: Subject, **by: object) -> dict[str, Severity]:
    """Return what is found where backends answer to these, ``by`` as they do it."""
    asked = cases(node)
    answers: Answers = {
        one.question.key: (replace(Answer(one.question.key, THEIRS, accepts=True), **by),)  # type: ignore[arg-type]
        for case in asked
        for subject, one in case.asked.items()
        if subject in said
    }
    return {finding.code: finding.severity for finding in judge(asked, answers)}


UDP = of_daemon(pools=(replace(POOL, protocol="udp"),))


@pytest.mark.parametrize(
    ("node", "said", "found"),
    [
        (HEALTHY, "VIP PING LARGE", {}),
        (HEALTHY, "VIP", {}),
        (HEALTHY, "PING LARGE", {"vip-not-on-backend": Severity.ERROR}),
        (HEALTHY, "", {"vip-not-on-backend": Severity.ERROR}),
        (UDP, "VIP PING LARGE", {}),
        (UDP, "KNOCK", {}),
        (UDP, "PING LARGE", {"vip-not-on-backend": Severity.ERROR}),
        (UDP, "", {"vip-unknown": Severity.NOTE}),
        (NAT, "SERVER RETURN PING LARGE", {}),
        (NAT, "SERVER PING LARGE", {"replies-elsewhere": Severity.ERROR}),
        (NAT, "SERVER", {"replies-unknown": Severity.NOTE}),
        (HEALTHY, "VIP PING", {"backend-mtu": Severity.WARNING}),
    ],
)
def test_silence_says_no_more_than_can_be_known(
    node: Node, said: str, found: dict[str, Severity]
) -> None:
    assert found_when(node, *(Subject[name] for name in said.split())) == found


@pytest.mark.parametrize(
    ("by", "word"),
    [({"limit": 1400}, "1400 at most"), ({"is_whole": False}, "in pieces")],
)
def test_packets_that_are_too_long_are_told_of(by: dict[str, object], word: str) -> None:
    (case,) = cases(HEALTHY)
    keys = {subject: one.question.key for subject, one in case.asked.items()}
    large = replace(Answer(keys[Subject.LARGE], THEIRS), **by)  # type: ignore[arg-type]
    others = {
        keys[each]: (Answer(keys[each], THEIRS, accepts=True),)
        for each in (Subject.VIP, Subject.PING)
    }

    (found,) = judge([case], {**others, keys[Subject.LARGE]: (large,)})

    assert found.code == "backend-mtu"
    assert word in found.problem
    assert "1500" in found.problem


def test_of_several_services_a_backend_is_asked_once_how_long_packets_may_be() -> None:
    two = of_daemon(pools=(POOL, replace(POOL, service="web2", port=443)))

    subjects = [set(case.asked) for case in cases(two)]

    assert subjects == [
        {Subject.VIP, Subject.PING, Subject.LARGE},
        {Subject.VIP, Subject.PING},
    ]


@pytest.mark.parametrize("ends", [ENDS4, ENDS6], ids=["v4", "v6"])
def test_a_long_ping_is_as_long_as_it_should_be(ends: Ends) -> None:
    frame, _ = echo(ends, 7, 1500)

    packet = Ether(frame)

    assert len(frame) == 14 + 1500
    if ends.address.version == 4:
        assert packet[IP].flags == "DF"
    kind, name = (ICMP, "chksum") if ends is ENDS4 else (ICMPv6EchoRequest, "cksum")
    copy = packet.copy()
    delattr(copy[kind], name)
    assert getattr(Ether(bytes(copy))[kind], name) == getattr(packet[kind], name)


@pytest.mark.parametrize("ends", [ENDS4, ENDS6], ids=["v4", "v6"])
def test_whoever_says_that_a_ping_is_too_long_is_understood(ends: Ends) -> None:
    frame, key = echo(ends, 7, 1500)
    asked = Ether(frame).payload
    too_long = (
        IP(src="10.0.0.1", dst=str(ends.source))
        / ICMP(type=3, code=4, nexthopmtu=1400)
        / bytes(asked)[:28]
        if ends is ENDS4
        else IPv6(src="2001:db8::1", dst=str(ends.source))
        / ICMPv6PacketTooBig(mtu=1400)
        / bytes(asked)[:1200]
    )

    answer = read(bytes(Ether(src=THEIRS) / too_long))

    assert answer == Answer(key, THEIRS, limit=1400)


@pytest.mark.parametrize("ends", [ENDS4, ENDS6], ids=["v4", "v6"])
def test_of_an_answer_in_pieces_the_first_one_counts(ends: Ends) -> None:
    _, key = echo(ends, 7)
    places = {"src": str(ends.address), "dst": str(ends.source)}
    if ends is ENDS4:
        whole = bytes(ICMP(type="echo-reply", id=7, seq=1) / bytes(1400))
        pieces = [
            IP(**places, proto=1, flags="MF") / whole[:1200],
            IP(**places, proto=1, frag=150) / whole[1200:],
        ]
    else:
        whole = bytes(ICMPv6EchoReply(id=7, seq=1) / bytes(1400))
        pieces = [
            IPv6(**places) / IPv6ExtHdrFragment(nh=58, m=1) / whole[:1200],
            IPv6(**places) / IPv6ExtHdrFragment(nh=58, offset=150) / whole[1200:],
        ]

    first, second = (read(bytes(Ether(src=THEIRS) / piece)) for piece in pieces)

    assert first == Answer(key, THEIRS, is_whole=False)
    assert second is None


def advertised(priority: int = 100, **ip: object) -> bytes:
    vrrp = VRRPv3(vrid=51, priority=priority, addrlist=[str(VIP)])
    return bytes(Ether(src=THEIRS) / IP(src=str(PEER), proto=112, ttl=255, **ip) / vrrp)


def test_advertisements_are_known() -> None:
    assert read_advert(advertised()) == Advert(51, PEER, THEIRS)
    assert read_advert(advertised(priority=0)) is None
    assert read_advert(bytes(Ether() / IP(proto=112) / b"\x31")) is None
    assert read_advert(bytes(Ether() / ARP())) is None
    assert read_advert(b"\0" * 13) is None


def test_only_other_routers_that_speak_for_an_instance_are_its_rivals() -> None:
    rival = Advert(51, PEER, THEIRS)
    node = of_router(ACTIVE)

    def heard(by: str, advert: Advert) -> bool:
        return bool(overheard(node, [(by, advert)]))

    assert overheard(node, [("eth0", rival)]) == {"front": frozenset({PEER})}
    assert not heard("eth1", rival)
    assert not heard("eth0", replace(rival, vrid=52))
    assert not heard("eth0", replace(rival, source=OWN))
    assert not heard("eth0", replace(rival, source=IPv6Address("fe80::2")))


@pytest.mark.parametrize(
    ("before", "now", "silence"),
    [
        (ACTIVE, ACTIVE, 5.5),
        (ACTIVE, replace(ACTIVE, sent={"alive": 6}), 0.0),
        (ACTIVE, replace(ACTIVE, unsent=1), 0.0),  # which is another finding
        (BACKUP, BACKUP, 5.5),
        (BACKUP, replace(BACKUP, heard={"alive": 6}), 0.0),
        (BACKUP, replace(BACKUP, discarded={"password": 1}), 0.0),
        (BACKUP, replace(BACKUP, discarded={"vrid": 1}), 5.5),
        (BACKUP, replace(BACKUP, since=1.0), 0.0),
        (BACKUP, replace(ACTIVE, sent={}), 0.0),
        (replace(BACKUP, problem="x"), replace(BACKUP, problem="x"), 0.0),
        (Router("initialize", 0.0, 1), Router("initialize", 0.0, 1), 0.0),
    ],
)
def test_who_neither_hears_nor_speaks_is_suspicious(
    before: Router, now: Router, silence: float
) -> None:
    found = suspicious(of_router(now), {"front": before}, {"front": now})

    assert found == ({"front": Suspicion(silence)} if silence else {})


def test_nobody_waits_for_an_instance_that_may_be_silent_for_long() -> None:
    patient = of_router(BACKUP, replace(STATION, patience=120.0))

    assert suspicious(patient, {"front": BACKUP}, {"front": BACKUP}) == {}


@pytest.mark.parametrize("router", [ACTIVE, BACKUP])
def test_who_does_not_hear_what_we_hear_is_suspicious(router: Router) -> None:
    node = of_router(router, overheard={"front": frozenset({PEER})})
    still = replace(router, sent={"alive": 9})
    hears = replace(router, sent={"alive": 9}, heard={"alive": 9})

    deaf = suspicious(node, {"front": router}, {"front": still})["front"]

    assert deaf.deafness > 0
    assert suspicious(node, {"front": router}, {"front": hears}) == {}


def test_other_virtual_routers_of_the_segment_are_lawful() -> None:
    assert codes(of_router(ACTIVE, discarded={("front", "vrid"): 9})) == set()


def claimed_by(node: Node, *macs: bytes) -> dict[str, str]:
    asked = claims(node)
    keys = {claim.question.key for claim in asked}
    answers = {key: tuple(Answer(key, mac) for mac in macs) for key in keys}
    rival = Advert(51, PEER, RIVAL)
    return {one.code: one.problem for one in judge_claims(node, asked, answers, [rival])}


RIVAL = bytes.fromhex("020000000003")
HELD = on_host(
    addresses={"eth0": (IPv4Interface("10.0.0.11/24"), IPv4Interface("10.0.0.100/32"))}
)


def test_who_else_answers_for_the_vip_is_named() -> None:
    assert claimed_by(HELD) == {}
    assert claimed_by(HELD, OURS) == {}
    assert claimed_by(HELD, THEIRS).keys() == {"vip-claimed-by-backend"}
    assert "02:00:00:00:00:03 (10.0.0.12)" in claimed_by(HELD, RIVAL)["vip-held-twice"]


def test_where_a_node_is_backup_the_active_may_answer() -> None:
    assert claimed_by(HEALTHY, RIVAL) == {}
    assert claimed_by(HEALTHY, THEIRS).keys() == {"vip-claimed-by-backend"}


def test_a_backend_of_nat_has_no_business_with_the_vip() -> None:
    nat = replace(HELD, daemon=NAT.daemon)

    assert claimed_by(nat, THEIRS).keys() == {"vip-held-twice"}


def test_a_virtual_mac_is_another_host_where_it_answers_the_interface_below() -> None:
    virtual = bytes.fromhex("00005e000133")
    links = {"eth0": LINK, "vrrp": Link("vrrp", 3, virtual, is_up=True, lower=2)}
    addresses = {
        "eth0": (IPv4Interface("10.0.0.11/24"),),
        "vrrp": (IPv4Interface("10.0.0.100/32"),),
    }
    node = on_host(links=links, addresses=addresses)

    assert {claim.question.interface for claim in claims(node) if claim.is_here} == {"eth0"}
    assert claimed_by(node, virtual).keys() == {"vip-held-twice"}


def test_nobody_is_asked_for_a_vip_on_the_loopback() -> None:
    loopback = Link("lo", 1, bytes(6), is_up=True)
    node = replace(
        on_host(
            links={"lo": loopback}, addresses={"lo": (IPv4Interface("10.0.0.100/32"),)}
        ),
        daemon=replace(DAEMON, pools=(replace(POOL, mode="nat"),)),
    )

    assert claims(node) == ()


def test_over_ipv6_nobody_is_asked_from_an_address_that_moves() -> None:
    vip = IPv6Address("fe80::64")
    held = (IPv6Interface("fe80::64/64"), IPv6Interface("fe80::1/64"))
    station = replace(STATION, addresses=frozenset({vip}))
    node = replace(on_host(addresses={"eth0": held}), stations={"front": station})

    (claim,) = (claim for claim in claims(node) if claim.address == vip)

    assert Ether(claim.question.frame)[IPv6].src == "fe80::1"


def test_without_guidewayd_programs_are_known_by_what_is_pinned() -> None:
    network = replace(NETWORK, interfaces=(Interface("eth0", 2, OURS, "none"),))
    silent = {"daemon-silent"}

    assert codes(without_daemon(attached={"eth0": True})) == silent
    assert codes(without_daemon()) == silent  # nobody knows whose it is
    assert codes(without_daemon(attached={"eth0": False})) == silent | {"program-foreign"}
    assert codes(without_daemon(network=network)) == silent | {"program-missing"}


@pytest.mark.parametrize(
    ("attached", "goes_on"), [({"eth0": True}, True), ({"eth0": False}, False), ({}, False)]
)
def test_that_packets_go_on_is_said_where_it_is_known(
    attached: dict[str, bool], goes_on: bool
) -> None:
    found = {one.code: one.remedy for one in examine(without_daemon(attached=attached))}

    assert ("packets go on" in found["daemon-silent"]) is goes_on


def test_who_may_not_ask_guidewayd_does_not_say_that_it_is_silent() -> None:
    barred = replace(on_host(is_root=False), daemon=None, silent="")

    assert codes(barred) == {"not-root"}


def test_without_daemon_and_file_it_still_looks(tmp_path: Path) -> None:
    words = ["--socket", str(tmp_path / "none"), "-o", "json", "doctor", "--wait", "0.1"]

    result = CliRunner().invoke(guideway, [*words, "--config", str(tmp_path / "none.yaml")])

    assert result.exit_code == 4
    assert "daemon-silent" in result.stdout
    assert "file-refused" in result.stdout


def test_a_daemon_that_hangs_is_asked_once(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        hanging.settimeout(0)
        words = ["--socket", str(path), "--timeout", "0.5", "doctor", "--wait", "0.1"]

        result = CliRunner().invoke(guideway, [*words, "--config", str(tmp_path / "none")])

        asked = 0
        with suppress(BlockingIOError):
            while True:
                hanging.accept()[0].close()
                asked += 1
    assert "did not answer within 0.5 s" in result.stdout
    assert asked == 2  # whether somebody listens, and then the question


def test_of_another_host_it_says_nothing(tmp_path: Path) -> None:
    files = [f"--{each}={tmp_path}" for each in ("ca", "cert", "key")]

    result = CliRunner().invoke(guideway, ["--address", "192.0.2.1:7007", *files, "doctor"])

    assert result.exit_code == 1
    assert "leave --address out" in result.stderr
