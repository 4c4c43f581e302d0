"""Which slot a flow gets."""

from collections import Counter

from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether

from tests.packet.balancer import BACKEND_MACS, BALANCER_MAC, ROUTER_MAC, Balancer
from tests.packet.families import V4, V6, Family

CLIENTS = {4: "192.0.2.{}", 6: "2001:db8:1::{:x}"}


def flows_of(family: Family) -> list[tuple[str, int]]:
    return [
        (CLIENTS[family.version].format(host), 1024 + 7 * step)
        for host in range(1, 41)
        for step in range(50)
    ]


FLOWS = flows_of(V4)


def backend_of(balancer: Balancer, client: str, sport: int, flags: str = "A") -> int:
    family = V6 if ":" in client else V4
    packet = (
        Ether(src=ROUTER_MAC, dst=BALANCER_MAC)
        / family.ip(client, family.vip)
        / TCP(sport=sport, dport=80, flags=flags)
    )
    _, sent = balancer.send(packet)
    return BACKEND_MACS.index(sent.dst)


def test_flows_spread_evenly_over_the_ring(balancer: Balancer, family: Family) -> None:
    balancer.add_service(family, backends=4, ring_size=4093)
    flows = flows_of(family)

    shares = Counter(backend_of(balancer, *flow) for flow in flows)

    even = len(flows) / 4
    assert all(abs(share - even) < even * 0.15 for share in shares.values()), shares


def test_all_packets_of_a_flow_go_to_one_backend(balancer: Balancer) -> None:
    balancer.add_service(backends=8, ring_size=4093)

    for flow in FLOWS[:50]:
        met = {backend_of(balancer, *flow, flags=flags) for flags in ("S", "A", "PA", "FA")}
        assert len(met) == 1


def test_another_seed_spreads_the_flows_in_another_way(balancer: Balancer) -> None:
    balancer.add_service(backends=8, ring_size=4093, seed=1)
    first = [backend_of(balancer, *flow) for flow in FLOWS[:200]]
    balancer.clear()
    balancer.start()
    balancer.add_service(backends=8, ring_size=4093, seed=2)

    second = [backend_of(balancer, *flow) for flow in FLOWS[:200]]

    same = sum(a == b for a, b in zip(first, second, strict=True))
    assert same < 60  # 25 by chance, of 200
