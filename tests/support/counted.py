"""What a node counts while something happens."""

from collections.abc import Callable

from tests.support.wait import eventually
from vagrant.lab.node import Node


def counted(node: Node, reason: str, action: Callable[[], object]) -> list[int]:
    """Return the packets that ``action`` adds: to ``reason``, to services, to backends.

    They have to be the same everywhere.
    """

    def now() -> tuple[int, int, int]:
        stats = node.api.statistics()
        return (
            sum(each.traffic.packets for each in stats.reasons if each.reason == reason),
            sum(each.traffic.packets for each in stats.services),
            sum(each.traffic.packets for each in stats.backends),
        )

    before = now()
    action()

    def gained() -> list[int]:
        """Return what was added; nothing while the last packet is counted here or there."""
        found = [b - a for a, b in zip(before, now(), strict=True)]
        return found if len(set(found)) == 1 and found[0] else []

    # The last ACK of the connection may be on its way yet.
    return eventually(
        gained,
        within=5,
        what="all have counted the same packets",
        explain=lambda: f"before {before}, now {now()}",
    )
