"""Metrics of services with a policy for their pool. Pure."""

from collections.abc import Iterator, Sequence

from control.metrics.text import gauge, labels
from control.pool_policy import EACH_BY_ITSELF
from control.serving import Served


def pool_families(served: Sequence[Served]) -> Iterator[str]:
    """Yield the text of each metric; there are none if every backend serves by itself."""
    every = [
        (labels(service=one.service.name), one.pool)
        for one in served
        if one.service.pool != EACH_BY_ITSELF
    ]
    if not every:
        return
    yield gauge(
        "service_live_weight",
        "Weight of the backends that are up, of a service with a policy for its pool",
        ((of, pool.live_weight) for of, pool in every),
    )
    yield gauge(
        "service_quorum",
        "1: there is a quorum; 0: it is lost",
        ((of, int(pool.quorum)) for of, pool in every),
    )
    yield gauge(
        "service_sorry",
        "1: the sorry server gets all new flows",
        ((of, int(pool.sorry)) for of, pool in every),
    )
    yield gauge(
        "service_backends_kept",
        "Backends that serve although their checks fail, for the pool's policy wants it",
        ((of, len(pool.kept)) for of, pool in every),
    )
    yield gauge(
        "service_backends_starting",
        "Backends that have less than their weights, for the pool has a slow start",
        ((of, len(pool.steps)) for of, pool in every),
    )
