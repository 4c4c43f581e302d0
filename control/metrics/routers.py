"""Metrics of guideway-vrrpd's virtual routers. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from control.metrics.seen import Router
from control.metrics.text import counter, gauge, histogram, labels

_STATES: Final = ("initialize", "backup", "active")


def router_families(routers: Mapping[str, Router]) -> Iterator[str]:
    """Yield the text of each metric of VRRP."""
    every = [(labels(router=name), each) for name, each in routers.items()]
    yield gauge(
        "vrrp_state",
        "1 for the state in which a virtual router is, 0 for the others",
        (
            (labels(router=name, state=state), int(each.state == state))
            for name, each in routers.items()
            for state in _STATES
        ),
    )
    for name, meaning, field in (
        ("state_since_timestamp_seconds", "Unix time of its last transition", "since"),
        ("priority", "Its priority, as tracking has it", "priority"),
        ("timer_lateness_max_seconds", "By how much a timer was late at most", "latest"),
    ):
        yield gauge(f"vrrp_{name}", meaning, ((of, getattr(e, field)) for of, e in every))
    yield gauge(
        "vrrp_resting",
        "1: it takes no part, for it fails a check",
        ((of, int(bool(each.problem))) for of, each in every),
    )
    for name, meaning in (
        ("transitions", "Changes of its state"),
        ("fenced", "How often it gave its addresses up, being late itself"),
        ("handed_over", "How often a peer took over because it was asked to"),
    ):
        yield counter(f"vrrp_{name}", meaning, ((of, getattr(e, name)) for of, e in every))
    for name, meaning in (
        ("sent", "Advertisements that were sent: it is alive, or resigns"),
        ("heard", "Advertisements that were heeded, likewise"),
    ):
        yield counter(
            f"vrrp_{name}_packets",
            meaning,
            (
                (labels(router=router, kind=kind), count)
                for router, each in routers.items()
                for kind, count in getattr(each, name).items()
            ),
        )
    yield counter(
        "vrrp_unsent_packets",
        "Advertisements that the kernel did not take",
        ((of, each.unsent) for of, each in every),
    )
    yield histogram(
        "vrrp_timer_lateness_seconds",
        "By how much timers were late",
        (
            ({"router": router}, each.late, each.late_total)
            for router, each in routers.items()
            if each.late
        ),
    )
    for name, meaning in (
        ("noticed", "Advertisements that were heeded but are odd, by what is odd"),
        ("discarded", "Advertisements that were not accepted, by what is wrong with them"),
    ):
        yield counter(
            f"vrrp_{name}_packets",
            meaning,
            (
                (labels(router=router, reason=reason), count)
                for router, each in routers.items()
                for reason, count in getattr(each, name).items()
            ),
        )
