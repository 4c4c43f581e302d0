"""What a node counts while something happens."""

from collections.abc import Callable

from tests.support.wait import eventually
from vagrant.lab.node import Node


def counted(node: Node, reason: str, action: Callable[[], object]) -> list[int]:
    """Return the packets that ``action`` adds: to ``reason``, to services, to backends."""

    def now() -> tuple[int, int, int]:
        stats = node.api.statistics()
        return (
            sum(each.traffic.packets for each in stats.reasons if each.reason == reason),
            sum(each.traffic.packets for each in stats.services),
            sum(each.traffic.packets for each in stats.backends),
        )

    before = now()
    action()

    # The last ACK of the connection may be on its way yet.
    return eventually(
        lambda: [b - a for a, b in zip(before, now(), strict=True)],
        within=5,
        what="packets are counted",
    )
