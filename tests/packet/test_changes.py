"""The maps change while packets go through."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import ip_address

from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from dataplane import libbpf
from dataplane.plan import Delete, Put
from dataplane.records import Endpoint
from tests.packet.balancer import BALANCER_MAC, ROUTER_MAC, Balancer, mac
from tests.packet.families import V4

SYN = (
    Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
    / V4.ip(V4.client, V4.vip)
    / TCP(sport=5555, dport=80, flags="S")
)
PACKETS = 20_000_000  # they take about a second
CHANGES_AT_LEAST = 200


def test_no_packet_misses_its_service_while_that_changes_and_others_come_and_go(
    balancer: Balancer,
) -> None:
    balancer.add_service()
    # The frame is used again: as it leaves, it has to be one that may come in.
    for index, backend in balancer.image.backends.items():
        balancer.fill(backends={index: replace(backend, mac=mac(BALANCER_MAC))})
    endpoint = Endpoint(ip_address(V4.vip), 80, 6)
    service = balancer.image.services[endpoint]
    changes = 0

    with ThreadPoolExecutor() as pool:
        run = pool.submit(
            libbpf.prog_run, balancer.instance.program, bytes(SYN), repeat=PACKETS
        )
        while not run.done():
            changes += 1
            changed = replace(service, changed_ns=changes)
            other = Endpoint(ip_address(V4.vip), 1 + changes, 17)
            balancer.instance.maps.apply(
                [Put("services", endpoint, changed), Put("services", other, service)]
            )
            balancer.instance.maps.apply([Delete("services", other)])

    assert changes > CHANGES_AT_LEAST
    assert balancer.reasons()["forwarded_dr"].packets == PACKETS
    assert set(balancer.reasons()) == {"forwarded_dr"}
