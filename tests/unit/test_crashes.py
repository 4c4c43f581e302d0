"""Wherever guidewayd dies, packets never meet half a table, and the next one goes on.

The maps are in memory; compiling and planning are real, from one desired state to the next.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from control.compile import Compiled, compile_image
from control.desired import DesiredState
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import Affinity, Backend, BackendState, Mode, Protocol, Service
from control.rounds import Settings
from control.status import Health
from control.tables import Tables
from dataplane.abi import NO_BACKEND_ID
from dataplane.image import Image
from dataplane.plan import plan
from dataplane.records import Endpoint
from dataplane.source import Limits
from tests.support.kernel_maps import KernelMaps

ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
ETH1 = Interface("eth1", 4, b"\2\0\0\0\0\2")
# So few slots that their places have to be used again and again.
SETTINGS = Settings(Limits(services=8, backends=32, slots=66), 0, ())
ENDPOINTS = [
    (IPv4Address("192.0.2.1"), Protocol.TCP, 80),
    (IPv4Address("192.0.2.1"), Protocol.UDP, 80),
    (IPv4Address("192.0.2.2"), Protocol.TCP, 80),
]


@dataclass(frozen=True)
class Step:
    """What is wanted and known at a time, and how far the writing gets then."""

    desired: DesiredState
    facts: Facts
    reached: float  # 0…1 of the writes; 1: guidewayd lives on


@st.composite
def services(draw: st.DrawFn, number: int) -> Service:
    vip, protocol, port = ENDPOINTS[number]
    hosts = draw(st.sets(st.integers(1, 4), min_size=1))
    backends = tuple(
        Backend(
            f"b{host}",
            IPv4Address(f"10.0.{number}.{host}"),
            port,
            draw(st.integers(0, 3)),
            draw(st.sampled_from(BackendState)),
        )
        for host in sorted(hosts)
    )
    return Service(
        f"s{number}",
        vip,
        protocol,
        port,
        draw(st.sampled_from(Mode)),
        backends,
        ring_size=draw(st.sampled_from([5, 7, 11])),
        affinity=draw(st.sampled_from([Affinity.NONE, Affinity.TRANSITION])),
    )


@st.composite
def steps(draw: st.DrawFn) -> Step:
    numbers = draw(st.sets(st.sampled_from(range(3))))
    state = DesiredState(tuple(draw(services(number)) for number in sorted(numbers)))
    interfaces = draw(st.sampled_from([(ETH0,), (ETH0, ETH1)]))
    backends = [(s.name, b) for s in state for b in s.backends]
    hops = {
        backend.address: NextHop(
            way.name,
            way.ifindex,
            way.mac,
            draw(st.sampled_from([None, backend.address.packed + b"\0\0"])),
        )
        for _, backend in backends
        for way in [draw(st.sampled_from([ETH0, ETH0, ETH1]))]
    }
    health = {
        (name, backend.name): draw(st.sampled_from([Health.UP, Health.UP, Health.DOWN]))
        for name, backend in backends
    }
    reached = draw(st.just(1.0) | st.floats(0, 1))
    return Step(state, Facts(Network(interfaces, next_hops=hops), health), reached)


def compiled(step: Step, known: Image, now_ns: int) -> Compiled:
    return compile_image(
        step.desired, step.facts, SETTINGS, known, Tables(), Moment(now_ns)
    )


def new_flows(image: Image) -> dict[Endpoint, list[IPv4Address]]:
    """Return whom new flows go to, by service and slot; of nobody, there is no slot."""
    addresses = {index.number: one.address for index, one in image.backends.items()}
    return {
        endpoint: [addresses[n] for n in ring if n != NO_BACKEND_ID]
        for endpoint, service in image.services.items()
        for ring in [image.rings[service.ring_offset] if service.ring_size else ()]
    }


@given(st.lists(steps(), min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_wherever_it_dies_packets_find_their_way_and_the_next_one_gets_there(
    history: list[Step],
) -> None:
    maps = KernelMaps()
    for number, step in enumerate(history):
        wanted = compiled(step, maps.read(), number).image
        writes = list(plan(maps.read(), wanted))

        for write in writes[: round(step.reached * len(writes))]:
            maps.write(write)
            assert maps.dangling() == []
        maps.settle()  # the next one starts later than any packet takes

    last = history[-1]
    direct = compiled(last, Image(), 0).image
    wanted = compiled(last, maps.read(), len(history)).image
    for write in plan(maps.read(), wanted):
        maps.write(write)
        assert maps.dangling() == []

    assert maps.read() == wanted
    assert new_flows(wanted) == new_flows(direct)
    assert maps.changed_in_place == []
