"""The maps change while packets go through."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address

from scapy.layers.inet import TCP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from dataplane import libbpf
from dataplane.plan import Delete, Put
from dataplane.records import Backend, Endpoint, Index, Segment, Tag
from tests.packet.balancer import BALANCER_MAC, ELSEWHERE, LO, ROUTER_MAC, Balancer, mac
from tests.packet.families import V4

SYN = (
    Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
    / V4.ip(V4.client, V4.vip)
    / TCP(sport=5555, dport=80, flags="S")
)
PACKETS = 2_500_000  # in a row: they take about an eighth of a second
CHANGES_AT_LEAST = 50


def sent_during(
    balancer: Balancer, frame: Packet, at_least: int, change: Callable[[int], None]
) -> int:
    """Send packets while ``change`` is called, with the number of the call from 1 on.

    A busy machine changes little while it sends: it sends on, until there were ``at_least``
    changes. Return how many packets were sent.
    """
    program, sent, changes = balancer.instance.program, 0, 0
    with ThreadPoolExecutor() as pool:
        while changes <= at_least or sent < 8 * PACKETS * at_least // CHANGES_AT_LEAST:
            run = pool.submit(libbpf.prog_run, program, bytes(frame), repeat=PACKETS)
            while not run.done():
                changes += 1
                change(changes)
            run.result()
            sent += PACKETS
    return sent


def test_no_packet_misses_its_service_while_that_changes_and_others_come_and_go(
    balancer: Balancer,
) -> None:
    balancer.add_service()
    # The frame is used again: as it leaves, it has to be one that may come in.
    for index, backend in balancer.image.backends.items():
        balancer.fill(backends={index: replace(backend, mac=mac(BALANCER_MAC))})
    endpoint = Endpoint(ip_address(V4.vip), 80, 6)
    service = balancer.image.services[endpoint]

    def change(number: int) -> None:
        changed = replace(service, changed_ns=number)
        other = Endpoint(ip_address(V4.vip), 1 + number, 17)
        balancer.instance.maps.apply(
            [Put("services", endpoint, changed), Put("services", other, service)]
        )
        balancer.instance.maps.apply([Delete("services", other)])

    sent = sent_during(balancer, SYN, CHANGES_AT_LEAST, change)

    assert balancer.reasons()["forwarded_dr"].packets == sent
    assert set(balancer.reasons()) == {"forwarded_dr"}


def test_no_packet_sees_half_of_a_backend_whose_interface_and_vlan_change(
    balancer: Balancer,
) -> None:
    """It goes out by the one way and not by the other; half of each is a gone port."""
    vlan = Segment(LO, (Tag(5),))
    ports = range(80, 88)
    for port in ports:  # entries at all places of a cache line; halves are seen at its end
        balancer.add_service(port=port)
    image = balancer.image
    balancer.fill(
        backends={
            index: replace(one, mac=mac(BALANCER_MAC), segment=vlan)
            for index, one in image.backends.items()
        }
    )
    frame = Ether(src=ROUTER_MAC, dst=BALANCER_MAC) / Dot1Q(vlan=5) / SYN.payload
    sent = 0

    for port, (index, backend) in zip(ports, balancer.image.backends.items(), strict=True):
        ways = [replace(backend, segment=one) for one in (vlan, Segment(ELSEWHERE))]

        def change(
            number: int, index: Index = index, ways: Sequence[Backend] = ways
        ) -> None:
            balancer.instance.maps.apply([Put("backends", index, ways[number % 2])])

        frame[TCP].dport = port
        sent += sent_during(balancer, frame, CHANGES_AT_LEAST // len(ports) + 1, change)

    seen = {name: counter.packets for name, counter in balancer.reasons().items()}
    assert seen.keys() == {"forwarded_dr", "foreign_vlan"}
    assert sum(seen.values()) == sent
