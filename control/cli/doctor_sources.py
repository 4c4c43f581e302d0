"""Who tells ``guideway doctor`` what: guidewayd, its file, guideway-vrrpd, the host."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from control.addresses import parse_address
from control.api.v1 import guideway_pb2 as pb
from control.cli.client import Client, Failure
from control.cli.plain_node import data_plane_plain, node_plain
from control.cli.plain_service import ServicePlain, service_plain
from control.cli.plain_statistics import statistics_plain
from control.config import NodeConfig, load
from control.desired import DesiredState
from control.doctor.facts import Daemon, Drops, Member, Node, Pool, Settings
from control.doctor.host import look
from control.errors import ConfigError
from control.metrics.vrrp import read_routers
from control.model import BackendState
from control.reasons import REMEDIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from control.cli.rpc import Method

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_BPFFS: Final = "/sys/fs/bpf"
_STATE: Final = "/var/lib/guideway"
_VRRP: Final = "/run/guideway/vrrp.json"


@dataclass(frozen=True, slots=True)
class Counters:
    """What has been counted until now."""

    dropped: "Mapping[str, tuple[int, str]]"  # packets and meaning, by reason
    discarded: "Mapping[tuple[str, str], int]"  # advertisements, by router and why


@dataclass
class Sources:
    """Those who know something of this node."""

    client: Client
    path: Path  # of guidewayd's file
    silent: str = ""  # why guidewayd says nothing

    def counters(self) -> Counters:
        """Return the counters; who has none, or does not run, has counted nothing."""
        statistics = self._ask(lambda stub: stub.GetStatistics, pb.GetStatisticsRequest())
        told = statistics_plain(statistics)["reasons"] if statistics else []
        routers = read_routers(self._vrrp_status) or {}
        return Counters(
            {
                one["reason"]: (one["packets"], one["meaning"])
                for one in told
                if one["verdict"] == "drop"
            },
            {
                (name, fault): count
                for name, router in routers.items()
                for fault, count in router.discarded.items()
            },
        )

    def node(self) -> Node:
        """Return all that is known; raises OSError or NetlinkError."""
        settings, misconfigured = self._file
        daemon = self._daemon()
        pools = daemon.pools if daemon else settings.pools if settings else ()
        attached = tuple(daemon.attached) if daemon else ()
        host = look(
            attached or (settings.interfaces if settings else ()),
            {member.address for pool in pools for member in pool.members},
            settings.bpffs if settings else _BPFFS,
            settings.state_directory if settings else _STATE,
        )
        routers = read_routers(self._vrrp_status)
        return Node(host, settings, misconfigured, daemon, self.silent, routers)

    def with_changes(self, node: Node, before: Counters) -> Node:
        """Return ``node`` with what was dropped and discarded since ``before``."""
        now = self.counters()
        drops = tuple(
            Drops(reason, packets - first, meaning, REMEDIES.get(reason, "see the docs"))
            for reason, (packets, meaning) in now.dropped.items()
            if packets > (first := before.dropped.get(reason, (packets, ""))[0])
        )
        discarded = {
            key: count - before.discarded.get(key, 0)
            for key, count in now.discarded.items()
            if count > before.discarded.get(key, 0)
        }
        daemon = replace(node.daemon, drops=drops) if node.daemon else None
        return replace(node, daemon=daemon, discarded=discarded)

    def _daemon(self) -> Daemon | None:
        status = self._ask(lambda stub: stub.GetStatus, pb.GetStatusRequest())
        services = self._ask(lambda stub: stub.ListServices, pb.ListServicesRequest())
        plane = self._ask(lambda stub: stub.GetDataPlane, pb.GetDataPlaneRequest())
        if status is None or services is None or plane is None:
            return None
        node, maps = node_plain(status.node), data_plane_plain(plane.data_plane)
        return Daemon(
            pools=tuple(_pool(service_plain(each)) for each in services.services),
            attached={one["name"]: one["attached"] for one in maps["interfaces"]},
            warnings=tuple(node["warnings"]),
            detached=node["detached"],
            desired_version=node["desired_version"],
            applied_version=node["applied_version"],
            maps={one["name"]: (one["used"], one["limit"]) for one in maps["maps"]},
        )

    def _ask(self, method: "Method[Request, Answer]", request: Request) -> Answer | None:
        try:
            return self.client.call(method, request)
        except Failure as failure:
            self.silent = failure.message
            return None

    @cached_property
    def _file(self) -> tuple[Settings | None, str]:
        """What the file says, or else what is wrong with it; read once: it may be long."""
        try:
            return _settings(*load(self.path)), ""
        except ConfigError as error:
            return None, str(error)

    @property
    def _vrrp_status(self) -> Path:
        settings, _ = self._file
        return Path(settings.vrrp_status if settings else _VRRP)


def _settings(config: NodeConfig, desired: DesiredState) -> Settings:
    return Settings(
        interfaces=config.interfaces,
        bpffs=str(config.bpffs),
        state_directory=str(config.state_directory),
        vrrp_status=str(config.metrics.vrrp_status) if config.metrics else _VRRP,
        pools=tuple(
            Pool(
                service.name,
                service.vip,
                service.protocol.value,
                service.port,
                service.mode.value,
                tuple(
                    Member(
                        backend.name,
                        backend.address,
                        backend.port,
                        is_active=backend.state is BackendState.ACTIVE,
                    )
                    for backend in service.backends
                ),
            )
            for service in desired
        ),
    )


def _pool(service: ServicePlain) -> Pool:
    return Pool(
        service["name"],
        parse_address(service["vip"]),
        service["protocol"],
        service["port"],
        service["mode"],
        tuple(
            Member(
                backend["name"],
                parse_address(backend["address"]),
                backend["port"],
                backend["health"],
                backend["reason"],
                backend["share"],
                is_active=backend["state"] == "active",
            )
            for backend in service["backends"]
        ),
    )
