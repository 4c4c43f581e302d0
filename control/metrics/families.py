"""Metrics, with their names, units and meanings. Pure: from what was seen to text.

Names are Prometheus's way: base units, ``_total`` for what only grows, ``_ratio`` for parts
of one. What people build dashboards and alerts on stays: names are added, not changed.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from control.metrics.peers import peer_families
from control.metrics.pools import pool_families
from control.metrics.routers import router_families
from control.metrics.seen import Seen
from control.metrics.text import counter, gauge, labels, one
from control.model import Backend
from control.serving import Served
from control.status import Health
from dataplane.counters import Counters
from dataplane.records import Counter

_COUNTED: Final = (  # what there is to every counter of the program
    ("packets", "packets", "Packets"),
    ("bytes", "bytes", "Bytes of frames, without the FCS,"),
    ("new_flows", "flows", "TCP connections that began,"),
)
_NOTHING: Final = Counter()


def families(seen: Seen) -> Iterator[str]:
    """Yield the text of each metric of the node."""
    yield from _node(seen)
    yield from _work(seen)
    if seen.counters is not None:
        yield from _reasons(seen.counters)
    yield from _services(seen)
    yield from pool_families(seen.served)
    yield from _backends(seen)
    if seen.handshakes:
        yield from _handshakes(seen)
    yield from _maps(seen)
    if seen.routers is not None:
        yield from router_families(seen.routers)


def _node(seen: Seen) -> Iterator[str]:
    node = seen.node
    build = labels(version=node.release, abi=str(node.abi), program=node.digest)
    yield gauge(
        "build_info", "1; the labels say which release and which program", [(build, 1)]
    )
    yield gauge(
        "start_time_seconds", "Unix time at which guidewayd was started", one(node.started)
    )
    yield gauge(
        "data_plane_attached",
        "0 after the data plane was detached",
        one(int(not node.detached)),
    )
    yield gauge(
        "interface_attached",
        "1: packets of this interface come through an XDP program",
        [
            (labels(interface=each.name, mode=each.mode), int(each.mode != "none"))
            for each in node.interfaces
        ],
    )
    yield gauge(
        "desired_version", "Version of the desired state", one(node.desired_version)
    )
    yield gauge(
        "applied_version",
        "Version of the desired state that the kernel has; 0: none",
        one(node.applied_version),
    )
    yield gauge(
        "warnings", "How many things `guideway status` warns of", one(len(node.warnings))
    )
    yield from peer_families(node)


def _work(seen: Seen) -> Iterator[str]:
    work = seen.work
    if work.reconciled is not None:
        yield gauge(
            "last_successful_reconcile_timestamp_seconds",
            "Unix time at which the kernel was last made equal to what is wanted",
            one(work.reconciled),
        )
    yield counter(
        "reconcile_failures",
        "Rounds since the start of guidewayd in which the kernel could not be made so",
        one(work.failures),
    )
    yield counter(
        "map_repairs",
        "Foreign writes to the maps that were found and mended",
        one(seen.node.repairs),
    )
    yield gauge(
        "probes_without_result",
        "Health checks that could not be made, for a reason that is this host's",
        one(work.hindered),
    )
    yield counter(
        "probe_lateness_seconds",
        "Time by which guidewayd was woken late while it probed",
        one(work.lost),
    )


def _reasons(counters: Counters) -> Iterator[str]:
    reasons = [
        (labels(reason=reason.name, verdict=reason.verdict.value), counted)
        for reason, counted in counters.reasons.items()
    ]
    yield from _counted("", "by why they went where they went", reasons)


def _counted(prefix: str, what: str, every: Sequence[tuple[str, Counter]]) -> Iterator[str]:
    for name, field, meaning in _COUNTED:
        samples = ((of, getattr(counted, field)) for of, counted in every)
        yield counter(f"{prefix}{name}", f"{meaning} {what}", samples)


def _services(seen: Seen) -> Iterator[str]:
    every = [(labels(service=each.service.name), each) for each in seen.served]
    if seen.counters is not None:
        found = seen.counters.services
        counted = [(of, found.get(each.id, _NOTHING)) for of, each in every]
        yield from _counted("service_", "sent to backends of a service", counted)
    yield gauge(
        "service_slots",
        "Slots of the service's Maglev table; 0: nobody can serve",
        ((of, len(each.ring)) for of, each in every),
    )
    yield gauge(
        "service_backends",
        "Backends that are configured",
        ((of, len(each.service.backends)) for of, each in every),
    )
    yield gauge(
        "service_backends_serving",
        "Backends that get new flows",
        ((of, _serving(each)) for of, each in every),
    )


def _serving(served: Served) -> int:
    slots = (served.slots.get(backend.name) for backend in served.service.backends)
    return sum(map(bool, slots))


def _backends(seen: Seen) -> Iterator[str]:
    every = [
        (labels(service=each.service.name, backend=backend.name), each, backend)
        for each in seen.served
        for backend in each.service.backends
    ]
    if seen.counters is not None:
        found = seen.counters.backends
        counted = [
            (
                labels(service=each.service.name, backend=backend.name),
                found.get(number, _NOTHING),
            )
            for each in seen.served
            for backend in each.service.members
            if (number := each.backend_ids.get(backend.name)) is not None
        ]
        yield from _counted("backend_", "sent to a backend", counted)
    yield gauge(
        "backend_up",
        "1: it passes its health checks, or has none; 0: it does not, or is not known to",
        ((of, _up(seen, each, backend)) for of, each, backend in every),
    )
    yield gauge(
        "backend_slots_ratio",
        "Part of its service's slots that it has",
        (
            (of, each.slots.get(backend.name, 0) / (len(each.ring) or 1))
            for of, each, backend in every
        ),
    )
    yield gauge(
        "backend_weight",
        "Its weight, by its checks or else as configured; 0 while it is draining",
        ((of, _weight(seen, each, backend)) for of, each, backend in every),
    )


def _handshakes(seen: Seen) -> Iterator[str]:
    every = [
        (labels(service=service, backend=backend), found)
        for (service, backend), found in seen.handshakes.items()
    ]
    yield gauge(
        "backend_suspected",
        "1: far fewer of its TCP handshakes are completed than of others; if watched",
        ((of, int(found.is_suspected)) for of, found in every),
    )
    yield gauge(
        "backend_handshakes_ratio",
        "Part of its TCP handshakes of the last seconds that was completed; if watched",
        ((of, found.ratio) for of, found in every if found.ratio is not None),
    )


def _up(seen: Seen, served: Served, backend: Backend) -> int:
    verdict = seen.health.get((served.service.name, backend.name))
    return int(not served.service.checks_of(backend) or verdict is Health.UP)


def _weight(seen: Seen, served: Served, backend: Backend) -> int:
    if not backend.in_table:
        return 0
    return seen.weights.get((served.service.name, backend.name), backend.weight)


def _maps(seen: Seen) -> Iterator[str]:
    every = [(labels(map=each.name), each) for each in seen.maps]
    yield gauge(
        "map_entries",
        "Entries of a map that are in use, counted once a minute",
        ((of, each.used) for of, each in every),
    )
    yield gauge(
        "map_limit_entries",
        "Entries that a map has room for",
        ((of, each.limit) for of, each in every),
    )
    yield gauge(
        "map_memory_bytes",
        "The kernel's memory that a map takes",
        ((of, each.bytes) for of, each in every),
    )
