"""A dry run answers as the program that serves, and leaves no trace of that."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from random import Random

import numpy as np
import pytest

from dataplane import libbpf
from dataplane.abi import MAPS, REASONS
from dataplane.abi import Verdict as Meant
from dataplane.decision import Outcome, Rule, Slot
from dataplane.errors import LoadError
from dataplane.explainer import Probe
from dataplane.frames import ACK, SYN, TCP, Headers
from dataplane.image import Ring
from dataplane.instance import open_instance, remove_instance
from dataplane.records import AFFINITY_ALWAYS, AFFINITY_TRANSITION, MODE_NAT
from tests.packet import world
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    LO,
    OUT,
    OUT_MAC,
    ROUTER_MAC,
    Balancer,
    Verdict,
    age,
    mac,
)
from tests.packet.environment import LIMITS
from tests.packet.families import V4, Family
from tests.packet.generate import TAPE_BYTES, read_steps

PACKETS = 1500  # that are asked about
RECORDED = 1500  # that came before
SEED = 7
OLD, NEW = 1, 2  # ids of backends
WRITTEN = ("records", "replies", "fragments")
COUNTED = ("reason_counters", "service_counters", "backend_counters")
# A test run leaves room for every tag, and the maps do not change.
UNREACHED = {"no_headroom", "port_gone"}


def packets() -> Iterator[bytes]:
    """Yield generated packets of all sorts, the same in each run."""
    random = Random(SEED)
    while True:
        steps = read_steps(random.randbytes(TAPE_BYTES), ())
        yield from (step for step in steps if isinstance(step, bytes))


def counted(balancer: Balancer) -> list[np.ndarray]:
    """Return what each counter has, summed over the CPUs: packets, bytes, flows."""
    maps, cpus = balancer.instance.maps, libbpf.possible_cpus()
    return [
        np.frombuffer(maps.values(name), np.int64).reshape(-1, cpus, 3).sum(axis=1)
        for name in COUNTED
    ]


def written(balancer: Balancer) -> dict[str, dict[bytes, bytes]]:
    """Return what the program has written down of flows and datagrams."""
    maps = balancer.instance.maps
    return {name: dict(libbpf.map_items(maps.fd(name))) for name in WRITTEN}


def restore(balancer: Balancer, before: dict[str, dict[bytes, bytes]]) -> None:
    for name, now in written(balancer).items():
        fd = balancer.instance.maps.fd(name)
        for key in now.keys() - before[name].keys():
            libbpf.map_delete(fd, key)
        for key, value in before[name].items():
            if now.get(key) != value:
                libbpf.map_update(fd, key, value)


def gained(balancer: Balancer, before: list[np.ndarray]) -> list[list[int]]:
    """Return the numbers that were counted for since, by map."""
    pairs = zip(counted(balancer), before, strict=True)
    return [np.flatnonzero((now - then).any(axis=1)).tolist() for now, then in pairs]


def explain(balancer: Balancer, *frames: bytes, ifindex: int = LO) -> tuple[Outcome, ...]:
    probes = [Probe(frame, ifindex) for frame in frames]
    return balancer.instance.explain(LIMITS, probes)


def check_same(balancer: Balancer, packet: bytes, said: Outcome) -> None:
    """Send the packet, and see that what was said is what happens."""
    before = counted(balancer)
    verdict, sent = balancer.send_bytes(packet)
    reasons, services, backends = gained(balancer, before)
    decision = said.decision

    assert (said.action, said.packet) == (verdict, sent), packet.hex()
    assert [decision.reason.number] == reasons, packet.hex()
    forwarded = verdict in (Verdict.TX, Verdict.REDIRECT)
    assert forwarded == (decision.reason.verdict is Meant.FORWARD)
    if decision.rule is not Rule.NONE and forwarded:
        assert ([decision.service_id], [decision.backend_id]) == (services, backends)
        assert decision.slot is not None
        assert decision.slot.number < decision.ring_size


@pytest.mark.usefixtures("records", "replies", "fragments")
@pytest.mark.timeout(300)
def test_it_says_what_the_program_then_does_and_leaves_no_trace(balancer: Balancer) -> None:
    explain(balancer)  # compiled is that slowly that records would be forgotten meanwhile
    world.make(balancer)
    source = packets()
    for _ in range(RECORDED):
        balancer.send_bytes(next(source))
    for name in WRITTEN:
        age(balancer.instance.maps.fd(name), 5)  # old enough to be refreshed
    asked = [next(source) for _ in range(PACKETS)]
    wrote, counts = written(balancer), counted(balancer)
    assert all(wrote.values())

    said = explain(balancer, *asked)

    assert written(balancer) == wrote
    assert gained(balancer, counts) == [[], [], []]
    asked_at, older = time.monotonic(), 0
    for packet, outcome in zip(asked, said, strict=True):
        passed = int(time.monotonic() - asked_at)
        if passed > older:  # emulated, it takes so long that datagrams would be forgotten
            for name in WRITTEN:
                age(balancer.instance.maps.fd(name), older - passed)
            wrote, older = written(balancer), passed
        check_same(balancer, packet, outcome)
        restore(balancer, wrote)
    assert {one.decision.rule for one in said} == set(Rule)
    reached = {one.decision.reason.name for one in said}
    assert {reason.name for reason in REASONS} - reached == UNREACHED


def headers(family: Family, port: int, client_port: int) -> Headers:
    return Headers(
        mac(ROUTER_MAC),
        mac(BALANCER_MAC),
        (),
        ip_address(family.client),
        ip_address(family.vip),
        64,
        TCP,
        client_port,
        port,
    )


def change_hands(balancer: Balancer, **fields: int) -> None:
    """Let every service have one slot, which NEW has got from OLD, by place."""
    services, rings = {}, {}
    for place, (endpoint, service) in enumerate(balancer.image.services.items()):
        first = 2 * place
        rings[place] = Ring.of([first + NEW], [first + OLD])
        services[endpoint] = replace(
            service,
            ring_offset=place,
            ring_size=1,
            affinity=AFFINITY_TRANSITION,
            idle_seconds=60,
            **fields,
        )
    balancer.become(replace(balancer.image, services=services, rings=rings))


@pytest.mark.usefixtures("records")
def test_while_a_slot_changes_hands_it_says_which_rule_decides(
    balancer: Balancer, family: Family
) -> None:
    balancer.add_service(family, backends=2)
    balancer.add_service(family, port=81, mode=MODE_NAT, backends=2, backend_port=8080)
    change_hands(balancer)
    ports = (80, 81)
    for port in ports:
        balancer.send_bytes(headers(family, port, 2).frame(SYN))  # leaves a record
    frames = [
        headers(family, port, client_port).frame(flags)
        for port in ports
        for client_port, flags in ((3, SYN), (2, ACK), (1, ACK))
    ]

    said = explain(balancer, *frames)

    for place, outcomes in enumerate((said[:3], said[3:])):
        old, new = 2 * place + OLD, 2 * place + NEW
        decisions = [one.decision for one in outcomes]
        assert [(d.rule, d.backend_id) for d in decisions] == [
            (Rule.NOW, new),
            (Rule.RECORD, new),
            (Rule.BEFORE, old),
        ]
        assert {(d.service_id, d.ring_size) for d in decisions} == {(place, 1)}
        assert {d.slot for d in decisions} == {Slot(0, new, old)}
        assert {d.out_ifindex for d in decisions} == {LO}
    assert Headers.of(said[3].packet) == replace(
        headers(family, 81, 3),
        source_mac=mac(BALANCER_MAC),
        destination_mac=mac(BACKEND_MACS[1]),
        destination=ip_address(family.backends[1]),
        destination_port=8080,
        ttl=63,
    )


@pytest.mark.usefixtures("records")
def test_a_service_that_records_everything_says_so(balancer: Balancer) -> None:
    balancer.add_service()
    ((endpoint, service),) = balancer.image.services.items()
    balancer.fill(
        services={endpoint: replace(service, affinity=AFFINITY_ALWAYS, idle_seconds=60)}
    )
    known, unknown = (headers(V4, 80, port).frame(ACK) for port in (1, 2))
    balancer.send_bytes(known)

    said = explain(balancer, known, unknown)

    assert [one.decision.rule for one in said] == [Rule.RECORD, Rule.NOW]
    assert {one.decision.slot for one in said} == {Slot(0, 1, 0)}


def test_a_packet_comes_in_by_the_interface_that_is_asked_about(balancer: Balancer) -> None:
    balancer.add_service()
    frame = replace(headers(V4, 80, 1), destination_mac=mac(OUT_MAC)).frame(SYN)

    (by_out,) = explain(balancer, frame, ifindex=OUT)
    (by_lo,) = explain(balancer, frame, ifindex=LO)

    assert (by_out.action, by_out.decision.out_ifindex) == (Verdict.REDIRECT, LO)
    assert (by_lo.action, by_lo.decision.reason.name) == (Verdict.PASS, "other_station")


def test_the_program_that_serves_has_no_map_for_decisions(balancer: Balancer) -> None:
    instance = balancer.instance

    used = libbpf.program_info(instance.program).map_ids

    assert used == {instance.maps.id(name) for name in MAPS}


def test_a_program_that_is_not_the_one_on_disk_is_not_asked(balancer: Balancer) -> None:
    others = replace(LIMITS, services=LIMITS.services + 1)

    with pytest.raises(LoadError, match="is not the one that runs"):
        balancer.instance.explain(others, [])


@pytest.mark.usefixtures("balancer")
def test_while_the_program_is_loaded_anew_the_one_that_serves_is_asked(
    bpffs: Path, compiled: Path
) -> None:
    root = bpffs / "guideway" / "explained"
    with closing(open_instance(root, LIMITS, compiled)) as instance:
        serving = Balancer(instance)
        serving.add_service()
        instance.attach([], native=False)

        instance.renew(LIMITS)
        (said,) = explain(serving, headers(V4, 80, 1).frame(SYN))

        assert said.decision.reason.name == "forwarded_dr"
        instance.revert()
    remove_instance(root)
