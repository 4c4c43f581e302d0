"""Handshakes of watched services are counted by backend, from the client's half."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from dataplane import counters, libbpf
from dataplane.abi import sizeof
from dataplane.records import MODE_DR, MODE_NAT, Handshakes, Index
from tests.packet.balancer import BALANCER_MAC, ROUTER_MAC, Balancer, Verdict
from tests.packet.environment import opened_map
from tests.packet.families import Family

TO_US = Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
ISN = 2**32 - 1  # so that what follows is 0
Send = Callable[..., None]


@pytest.fixture(autouse=True)
def _nothing_has_begun(bpffs: Path, balancer: Balancer) -> None:
    nobody = bytes(sizeof("gw_handshake"))
    with opened_map(bpffs, balancer.instance, "handshakes") as fd:
        values = libbpf.array_read(fd)
        for index in range(libbpf.map_shape(fd).max_entries):
            if values[index * len(nobody) :][: len(nobody)] != nobody:
                libbpf.map_update(fd, Index(index).pack(), nobody)


@pytest.fixture
def send(balancer: Balancer, family: Family) -> Send:
    """Return how to send a packet of a flow through a service that is watched."""
    watch(balancer, family)

    def send_one(flags: str, seq: int = ISN, port: int = 5555, data: bytes = b"") -> None:
        headers = TO_US / family.ip(family.client, family.vip)
        packet = headers / TCP(sport=port, dport=80, flags=flags, seq=seq) / data
        assert balancer.send(packet)[0] is Verdict.TX

    return send_one


def watch(
    balancer: Balancer, family: Family, *, mode: int = MODE_DR, watched: bool = True
) -> None:
    balancer.add_service(family, mode=mode)
    balancer.fill(
        services={
            end: replace(one, is_watched=watched)
            for end, one in balancer.image.services.items()
        }
    )


def counted(balancer: Balancer) -> Handshakes:
    """Return the counts of the only backend, and see that there are no others."""
    found = counters.handshakes(balancer.instance.maps)
    assert set(found) <= {1}
    return found.get(1, Handshakes())


def test_a_handshake_is_a_syn_and_what_follows_it(balancer: Balancer, send: Send) -> None:
    send("S")
    assert counted(balancer) == Handshakes(begun=1)

    send("A", seq=0)

    assert counted(balancer) == Handshakes(begun=1, completed=1)


def test_only_the_first_that_follows_completes_it(balancer: Balancer, send: Send) -> None:
    send("S")
    for _ in range(3):
        send("A", seq=0)

    assert counted(balancer) == Handshakes(begun=1, completed=1)


def test_data_completes_it_where_the_bare_ack_was_lost(
    balancer: Balancer, send: Send
) -> None:
    send("S")
    send("PA", seq=0, data=b"GET /")

    assert counted(balancer) == Handshakes(begun=1, completed=1)


def test_a_syn_again_is_counted_as_that(balancer: Balancer, send: Send) -> None:
    for _ in range(3):
        send("S")

    assert counted(balancer) == Handshakes(begun=1, repeated=2)


def test_a_connection_after_another_of_the_same_ports_is_a_new_one(
    balancer: Balancer, send: Send
) -> None:
    for start in (100, 7000):
        send("S", seq=start)
        send("A", seq=start + 1)

    assert counted(balancer) == Handshakes(begun=2, completed=2)


@pytest.mark.parametrize(
    ("flags", "seq", "port"),
    [
        ("A", 1, 5555),  # later in the sequence
        ("A", ISN, 5555),
        ("A", 0, 5556),  # of another flow
        ("R", 0, 5555),
        ("RA", 0, 5555),
        ("FA", 0, 5555),
        ("SA", 0, 5555),
    ],
)
def test_nothing_else_completes_it(
    balancer: Balancer, send: Send, flags: str, seq: int, port: int
) -> None:
    send("S")
    send(flags, seq=seq, port=port)

    assert counted(balancer) == Handshakes(begun=1)


@pytest.mark.parametrize("mode", [MODE_DR, MODE_NAT])
@pytest.mark.parametrize("watched", [True, False])
def test_a_service_is_watched_by_either_mode_and_only_if_it_is_to_be(
    balancer: Balancer, family: Family, mode: int, watched: bool
) -> None:
    watch(balancer, family, mode=mode, watched=watched)
    headers = TO_US / family.ip(family.client, family.vip)
    for flags, seq in (("S", 1), ("A", 2)):
        balancer.send(headers / TCP(sport=5555, dport=80, flags=flags, seq=seq))

    assert counted(balancer) == Handshakes(watched, 0, watched)


def test_a_packet_that_does_not_get_out_counts_for_nobody(
    balancer: Balancer, family: Family
) -> None:
    watch(balancer, family, mode=MODE_NAT)
    headers = TO_US / family.ip(family.client, family.vip, ttl=1)

    verdict, _ = balancer.send(headers / TCP(sport=5555, dport=80, flags="S"))

    assert verdict is Verdict.DROP
    assert counted(balancer) == Handshakes()
