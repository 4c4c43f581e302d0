"""A node and its data plane as plain values: see :mod:`control.cli.plain`."""

from typing import TypedDict

from control.api.v1 import guideway_pb2 as pb
from control.cli.plain import spelled


class VlanPlain(TypedDict):
    """A VLAN of an interface in which services are balanced."""

    name: str  # of the host's interface for it
    tags: list[str]  # the outer one first: "802.1ad 7", "802.1Q 10"


class InterfacePlain(TypedDict):
    """An interface that the program is attached to."""

    name: str
    mode: str  # "native" or "generic"
    vlans: list[VlanPlain]


class PendingPlain(TypedDict):
    """A version that is undone unless it is confirmed."""

    version: int
    base: int  # the version that comes back; 0: nothing is wanted then
    remaining: float  # seconds


class PeerPlain(TypedDict):
    """A node that this one follows."""

    address: str
    synced: bool
    since: float  # Unix time of the last change of that
    lag: float | None  # seconds since it had told everything; null: it never has
    rings: int
    flows: int
    problem: str  # "": there is a connection


class FollowerPlain(TypedDict):
    """A node that follows this one."""

    author: str
    via: str
    rings: int
    flows: int
    seconds: float  # that the last look at what is news took


class NodePlain(TypedDict):
    """The answer of ``status``."""

    release: str
    instance: str
    abi: int
    digest: str
    interfaces: list[InterfacePlain]
    adopted: bool
    desired_version: int
    applied_version: int
    warnings: list[str]
    started: float  # Unix time
    repairs: int  # foreign writes to the maps that were found and mended
    repaired: float | None  # Unix time of the last one; null: never
    detached: bool
    pending: PendingPlain | None  # null: no version waits to be confirmed
    peers: list[PeerPlain]
    followers: list[FollowerPlain]


class AttachmentPlain(TypedDict):
    """An interface of the configuration."""

    name: str
    mode: str  # "native", "generic" or "unspecified": no XDP program
    attached: bool  # the program is guideway's


class MapPlain(TypedDict):
    """A map of the data plane."""

    name: str
    used: int  # entries; of an array, those that are not zero
    limit: int
    bytes: int


class DataPlanePlain(TypedDict):
    """The answer of ``dataplane status``."""

    abi: int
    digest: str  # "": detached
    adopted: bool
    loaded: float | None  # Unix time; null: detached
    interfaces: list[AttachmentPlain]
    maps: list[MapPlain]


def node_plain(node: pb.NodeStatus) -> NodePlain:
    """Return the node's status."""
    return {
        "release": node.release,
        "instance": node.instance,
        "abi": node.abi,
        "digest": node.digest,
        "interfaces": [
            {
                "name": interface.name,
                "mode": spelled(pb.XdpMode, interface.mode),
                "vlans": [
                    {"name": vlan.name, "tags": list(vlan.tags)} for vlan in interface.vlans
                ],
            }
            for interface in node.interfaces
        ],
        "adopted": node.adopted,
        "desired_version": node.desired_version,
        "applied_version": node.applied_version,
        "warnings": list(node.warnings),
        "started": node.started,
        "repairs": node.repairs,
        "repaired": node.repaired if node.HasField("repaired") else None,
        "detached": node.detached,
        "pending": pending_plain(node.pending) if node.HasField("pending") else None,
        "peers": [
            {
                "address": peer.address,
                "synced": peer.synced,
                "since": peer.since,
                "lag": peer.lag if peer.HasField("lag") else None,
                "rings": peer.rings,
                "flows": peer.flows,
                "problem": peer.problem,
            }
            for peer in node.peers
        ],
        "followers": [
            {
                "author": follower.author,
                "via": follower.via,
                "rings": follower.rings,
                "flows": follower.flows,
                "seconds": follower.seconds,
            }
            for follower in node.followers
        ],
    }


def pending_plain(pending: pb.PendingVersion) -> PendingPlain:
    """Return the version that waits to be confirmed."""
    return {
        "version": pending.version,
        "base": pending.base,
        "remaining": pending.remaining,
    }


def data_plane_plain(plane: pb.DataPlane) -> DataPlanePlain:
    """Return program, links and maps."""
    return {
        "abi": plane.abi,
        "digest": plane.digest,
        "adopted": plane.adopted,
        "loaded": plane.loaded if plane.HasField("loaded") else None,
        "interfaces": [
            {
                "name": one.name,
                "mode": spelled(pb.XdpMode, one.mode),
                "attached": one.attached,
            }
            for one in plane.interfaces
        ],
        "maps": [
            {"name": one.name, "used": one.used, "limit": one.limit, "bytes": one.bytes}
            for one in plane.maps
        ],
    }
