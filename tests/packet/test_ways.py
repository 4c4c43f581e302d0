"""The way of replies to clients: what the kernel says counts for a moment."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pyroute2 import IPRoute
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from dataplane.records import MODE_NAT
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    OUT,
    ROUTER_MAC,
    Balancer,
    Verdict,
)
from tests.packet.families import V6, Family
from tests.support.wait import eventually

OTHER_ROUTER_MAC = "02:00:00:00:00:0f"
MTU = 1500
IP_BYTES = {4: 20, 6: 40}


@pytest.fixture(autouse=True)
def _one_cpu() -> Iterator[None]:
    """Stay on one CPU: each has its own memory of ways."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    yield
    os.sched_setaffinity(0, cpus)


@contextmanager
def other_router(family: Family) -> Iterator[None]:
    """Give the client, or the router to it, another MAC."""
    with IPRoute() as ip:
        ip.neigh(
            "replace", index=OUT, dst=family.client, lladdr=OTHER_ROUTER_MAC, state=128
        )
        yield
        ip.neigh("replace", index=OUT, dst=family.client, lladdr=ROUTER_MAC, state=128)


def reply(family: Family, *, payload: bytes = b"", **fields) -> Packet:
    return (
        Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC)
        / family.ip(family.backends[0], family.client, **fields)
        / TCP(sport=80, dport=5555, flags="A")
        / payload
    )


def test_a_way_counts_for_a_moment_and_no_longer(
    balancer: Balancer, family: Family, forget_ways: Callable[[], None]
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    packet = bytes(reply(family))

    def sent_to() -> str:
        forget_ways()
        balancer.send_bytes(packet)
        with other_router(family):
            return balancer.send(reply(family))[1].dst

    # On a busy machine the moment may be over before the second packet.
    eventually(
        lambda: sent_to() == ROUTER_MAC, within=5, what="a packet goes as the one before"
    )
    with other_router(family):
        eventually(
            lambda: balancer.send(reply(family))[1].dst == OTHER_ROUTER_MAC,
            within=5,
            what="a packet goes as it should now",
        )
    assert set(balancer.reasons()) == {"replied_nat"}


def test_the_kernel_is_asked_anew_for_another_traffic_class(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    balancer.send(reply(family))
    field = {4: "tos", 6: "tc"}[family.version]

    with other_router(family):
        _, sent = balancer.send(reply(family, **{field: 0x10}))

    assert sent.dst == OTHER_ROUTER_MAC


def test_a_reply_that_is_too_long_for_the_way_is_left_to_the_host(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, mode=MODE_NAT)
    room = MTU - IP_BYTES[family.version] - 20
    balancer.send(reply(family))

    fits, _ = balancer.send(reply(family, payload=bytes(room)))
    does_not, _ = balancer.send(reply(family, payload=bytes(room + 1)))

    assert (fits, does_not) == (Verdict.REDIRECT, Verdict.PASS)
    assert balancer.reasons()["replied_by_host"].packets == 1


@contextmanager
def two_routers(destination: str) -> Iterator[None]:
    """Let two routers lead there; the kernel chooses by addresses and flow label."""
    routers = {"2001:db8:1::a": ROUTER_MAC, "2001:db8:1::b": OTHER_ROUTER_MAC}
    ways = [{"gateway": router, "oif": OUT} for router in routers]
    with IPRoute() as ip:
        for router, address in routers.items():
            ip.neigh("replace", index=OUT, dst=router, lladdr=address, state=128)
        ip.route("add", dst=destination, multipath=ways)
        try:
            yield
        finally:
            ip.route("del", dst=destination, multipath=ways)
            for router in routers:
                ip.neigh("del", index=OUT, dst=router)


def test_flows_between_two_addresses_go_one_way_whatever_their_label(
    balancer: Balancer, forget_ways: Callable[[], None]
) -> None:
    balancer.add_service(V6, mode=MODE_NAT)
    backend = V6.backends[0]

    def router_to(client: str, label: int) -> str:
        header = V6.ip(backend, client, fl=label)
        frame = Ether(src=BACKEND_MACS[0], dst=BALANCER_MAC) / header / TCP(sport=80)
        forget_ways()
        verdict, sent = balancer.send(frame)
        assert verdict is Verdict.REDIRECT
        return sent.dst

    with two_routers("2001:db8:77::/64"):
        by_label = {router_to("2001:db8:77::1", label) for label in range(32)}
        by_client = {router_to(f"2001:db8:77::{n:x}", label=0) for n in range(1, 33)}

    assert len(by_label) == 1
    assert by_client == {ROUTER_MAC, OTHER_ROUTER_MAC}
