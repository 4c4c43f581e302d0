"""Metrics of the nodes that follow each other. Pure."""

from collections.abc import Iterator

from control.metrics.text import counter, gauge, labels
from control.status import FollowerStatus, NodeStatus


def peer_families(node: NodeStatus) -> Iterator[str]:
    """Yield the text of each metric; of none if nodes do not follow each other."""
    if node.peers:
        every = [(labels(peer=peer.address), peer) for peer in node.peers]
        yield gauge(
            "peer_synced",
            "1: this peer has told its rings and flows, and goes on telling",
            [(of, int(peer.synced)) for of, peer in every],
        )
        yield gauge(
            "peer_lag_seconds",
            "Time since this peer had told everything that was true",
            [(of, peer.lag) for of, peer in every if peer.lag is not None],
        )
        yield counter(
            "peer_rings_received",
            "Rings that this peer has told",
            [(of, peer.rings) for of, peer in every],
        )
        yield counter(
            "peer_flows_received",
            "Recorded flows that this peer has told",
            [(of, peer.flows) for of, peer in every],
        )
    if node.followers:
        # By name, not by connection: each of those comes from a port of its own.
        told: dict[str, list[FollowerStatus]] = {}
        for one in node.followers:
            told.setdefault(labels(follower=one.author), []).append(one)
        yield counter(
            "follower_rings_sent",
            "Rings that a node which follows this one was told on its connection",
            [(of, sum(one.rings for one in them)) for of, them in told.items()],
        )
        yield counter(
            "follower_flows_sent",
            "Recorded flows that it was told",
            [(of, sum(one.flows for one in them)) for of, them in told.items()],
        )
        yield gauge(
            "follower_look_seconds",
            "Time that the last look took at what is news for it",
            [(of, max(one.seconds for one in them)) for of, them in told.items()],
        )
