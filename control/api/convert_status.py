"""From what a node says about itself to the API's messages."""

from typing import Final

from control.api.convert import backend_to_pb, service_to_pb
from control.api.convert_configuration import pending_to_pb
from control.api.v1 import guideway_pb2 as pb
from control.status import (
    BackendStatus,
    DataPlaneStatus,
    Health,
    NodeStatus,
    PoolStatus,
    ReasonTraffic,
    ServiceStatus,
    Statistics,
    Traffic,
)

HEALTH_TO_PB: Final = {
    Health.UP: pb.HEALTH_UP,
    Health.DOWN: pb.HEALTH_DOWN,
    Health.UNKNOWN: pb.HEALTH_UNKNOWN,
    Health.UNCHECKED: pb.HEALTH_UNCHECKED,
}
_VERDICTS: Final = {
    "forward": pb.VERDICT_FORWARD,
    "pass": pb.VERDICT_PASS,
    "drop": pb.VERDICT_DROP,
}
_XDP_MODES: Final = {
    "native": pb.XDP_MODE_NATIVE,
    "generic": pb.XDP_MODE_GENERIC,
}


def service_status_to_pb(status: ServiceStatus) -> pb.ServiceStatus:
    """Return a service with its backends, as the node serves it."""
    return pb.ServiceStatus(
        service=service_to_pb(status.service),
        ring_size=status.ring_size,
        backends=[backend_status_to_pb(backend) for backend in status.backends],
        pool=_pool_status_to_pb(status.pool),
    )


def node_to_pb(node: NodeStatus) -> pb.NodeStatus:
    """Return the node's status."""
    return pb.NodeStatus(
        release=node.release,
        instance=node.instance,
        abi=node.abi,
        digest=node.digest,
        interfaces=[
            pb.InterfaceStatus(
                name=interface.name,
                mode=_XDP_MODES.get(interface.mode, pb.XDP_MODE_UNSPECIFIED),
                vlans=[
                    pb.VlanStatus(name=vlan.name, tags=vlan.tags)
                    for vlan in interface.vlans
                ],
            )
            for interface in node.interfaces
        ],
        adopted=node.adopted,
        desired_version=node.desired_version,
        applied_version=node.applied_version,
        warnings=node.warnings,
        started=node.started,
        repairs=node.repairs,
        repaired=node.repaired,
        detached=node.detached,
        pending=pending_to_pb(node.pending),
        peers=[
            pb.PeerStatus(
                address=peer.address,
                synced=peer.synced,
                since=peer.since,
                lag=peer.lag,
                rings=peer.rings,
                flows=peer.flows,
                problem=peer.problem,
            )
            for peer in node.peers
        ],
        followers=[
            pb.FollowerStatus(
                author=follower.author,
                via=follower.via,
                rings=follower.rings,
                flows=follower.flows,
                seconds=follower.seconds,
            )
            for follower in node.followers
        ],
    )


def data_plane_to_pb(status: DataPlaneStatus) -> pb.DataPlane:
    """Return program, links and maps."""
    return pb.DataPlane(
        abi=status.abi,
        digest=status.digest,
        adopted=status.adopted,
        loaded=status.loaded,
        interfaces=[
            pb.Attachment(
                name=one.name,
                mode=_XDP_MODES.get(one.mode, pb.XDP_MODE_UNSPECIFIED),
                attached=one.attached,
            )
            for one in status.interfaces
        ],
        maps=[
            pb.MapUsage(name=one.name, used=one.used, limit=one.limit, bytes=one.bytes)
            for one in status.maps
        ],
    )


def statistics_to_pb(statistics: Statistics) -> pb.GetStatisticsResponse:
    """Return all counters."""
    return pb.GetStatisticsResponse(
        reasons=[_reason_to_pb(reason) for reason in statistics.reasons],
        services=[
            pb.ServiceTraffic(service=service, traffic=_traffic_to_pb(traffic))
            for service, traffic in statistics.services.items()
        ],
        backends=[
            pb.BackendTraffic(
                service=service, backend=backend, traffic=_traffic_to_pb(traffic)
            )
            for (service, backend), traffic in statistics.backends.items()
        ],
    )


def backend_status_to_pb(status: BackendStatus) -> pb.BackendStatus:
    """Return a backend, as the node serves it."""
    return pb.BackendStatus(
        backend=backend_to_pb(status.backend),
        health=HEALTH_TO_PB[status.health],
        reason=status.reason,
        since=status.since,
        share=status.share,
        mac=status.mac,
        dynamic_weight=status.dynamic_weight,
        kept=status.kept,
        ramp=status.ramp,
        suspected=status.suspected,
    )


def _pool_status_to_pb(status: PoolStatus | None) -> pb.PoolStatus | None:
    if status is None:
        return None
    return pb.PoolStatus(
        live_weight=status.live_weight,
        quorum=status.quorum,
        sorry=status.sorry,
        sorry_problem=status.sorry_problem,
    )


def _reason_to_pb(reason: ReasonTraffic) -> pb.ReasonTraffic:
    return pb.ReasonTraffic(
        reason=reason.reason,
        verdict=_VERDICTS[reason.verdict],
        meaning=reason.meaning,
        traffic=_traffic_to_pb(reason.traffic),
    )


def _traffic_to_pb(traffic: Traffic) -> pb.Traffic:
    return pb.Traffic(packets=traffic.packets, bytes=traffic.bytes, flows=traffic.flows)
