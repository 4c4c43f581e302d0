"""Full maps get other services while packets go through: the real rounds on real maps."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address

import pytest
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from control.capacity import check_capacity
from control.desired import DesiredState
from control.facts import Facts, Interface, Network, NextHop
from control.model import Backend, Mode, Protocol, Service
from control.reconciler import Reconciler
from control.rounds import Settings
from dataplane import libbpf
from tests.packet.balancer import BALANCER_MAC, LO, ROUTER_MAC, Balancer, mac
from tests.packet.environment import LIMITS
from tests.packet.families import V4

SYN = (
    Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
    / V4.ip(V4.client, V4.vip)
    / TCP(sport=5555, dport=80, flags="S")
)
PACKETS = 2_000_000  # a tenth of a second
LOOPBACK = Interface("lo", LO, mac(BALANCER_MAC))
RING_SIZE = 509  # of 63 services, and twice: 98 % of the slots
ADDRESSES = [IPv4Address("10.1.0.0") + number for number in range(1024)]
# The frame is used again: as it leaves, it has to be one that may come in.
HOP = NextHop("lo", LO, mac(BALANCER_MAC), mac(BALANCER_MAC))
FACTS = Facts(Network((LOOPBACK,), next_hops=dict.fromkeys(ADDRESSES, HOP)))


def service(vip, first: int, backends: int, **changes) -> Service:
    return Service(
        **{
            "name": f"s{vip}",
            "vip": ip_address(vip),
            "protocol": Protocol.TCP,
            "port": 80,
            "mode": Mode.DR,
            "backends": tuple(
                Backend(f"b{number}", ADDRESSES[number], 80)
                for number in range(first, first + backends)
            ),
            "checks": (),
            "ring_size": RING_SIZE,
            **changes,
        }
    )


def full(watched: Service, network: str, first: int) -> DesiredState:
    """Return as much as there is room for: ``watched`` and 62 services more."""
    others = [
        service(ip_address(network) + number, first + 4 * number, 4, mode=Mode.NAT)
        for number in range(62)
    ]
    return DesiredState((*others, watched))


BEFORE = full(service(V4.vip, 0, 6), "203.0.113.0", 10)
AFTER = {
    "as it is": full(service(V4.vip, 0, 6), "203.0.113.100", 300),
    "with other backends": full(service(V4.vip, 600, 6), "203.0.113.100", 300),
    "beside the same": full(service(V4.vip, 600, 6), "203.0.113.0", 10),
}


class Controller:
    """Rounds as guidewayd makes them."""

    def __init__(self, balancer: Balancer, wanted: DesiredState) -> None:
        check_capacity(wanted, LIMITS)
        settings = Settings(LIMITS, 0, ())
        self.reconciler = Reconciler(
            balancer.instance.maps, settings, lambda: (1, wanted), lambda: FACTS
        )

    def settle(self) -> None:
        asyncio.run(self.reconciler.settle())

    def round(self) -> None:
        asyncio.run(self.reconciler.round())


@pytest.fixture
def balancer(balancer: Balancer) -> Iterator[Balancer]:
    """Return the program with full maps."""
    Controller(balancer, BEFORE).settle()
    yield balancer
    balancer.image = balancer.instance.maps.read()  # to be cleared


@contextmanager
def packets(balancer: Balancer) -> Iterator[list[int]]:
    """Send packets to the watched service all the time; yield how many, when it is over."""
    sent: list[int] = []
    program, frame = balancer.instance.program, bytes(SYN)
    with ThreadPoolExecutor() as pool:
        stop = False

        def send() -> None:
            while not stop:
                libbpf.prog_run(program, frame, repeat=PACKETS)
                sent.append(PACKETS)

        work: Future[None] = pool.submit(send)
        try:
            yield sent
        finally:
            stop = True
        work.result()


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER.keys())
def test_a_service_that_stays_loses_no_packet_when_all_others_are_replaced(
    balancer: Balancer, after: DesiredState
) -> None:
    controller = Controller(balancer, after)

    with packets(balancer) as sent:
        controller.settle()

    assert controller.reconciler.compiled is not None
    assert balancer.instance.maps.read() == controller.reconciler.compiled.image
    reasons = {name: counter.packets for name, counter in balancer.reasons().items()}
    assert reasons == {"forwarded_dr": sum(sent)}


def test_who_starts_between_two_rounds_goes_on_to_the_end(balancer: Balancer) -> None:
    after = AFTER["with other backends"]
    killed = Controller(balancer, after)
    killed.round()
    assert killed.reconciler.waiting

    successor = Controller(balancer, after)
    successor.settle()

    image = balancer.instance.maps.read()
    assert len(image.services) == len(after.services)
    assert {one.address for one in image.backends.values()} == {
        each.address for one in after for each in one.backends
    }


def test_there_and_back_again_leaves_the_maps_as_they_were(balancer: Balancer) -> None:
    for wanted in (AFTER["as it is"], BEFORE) * 3:
        Controller(balancer, wanted).settle()

    image = balancer.instance.maps.read()

    assert {one.address for one in image.backends.values()} == {
        each.address for one in BEFORE for each in one.backends
    }
    assert balancer.instance.maps.strays == 0
