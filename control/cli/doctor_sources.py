"""Who tells ``guideway doctor`` what: both daemons and their files, and the host."""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from control.addresses import IpAddress, parse_address
from control.api.v1 import guideway_pb2 as pb
from control.cli.client import Client, Failure
from control.cli.plain_node import data_plane_plain, node_plain
from control.cli.plain_service import ServicePlain, service_plain
from control.cli.plain_statistics import statistics_plain
from control.config import NodeConfig, load
from control.desired import DesiredState
from control.doctor.facts import (
    Daemon,
    Drops,
    Member,
    Node,
    Pool,
    Search,
    Settings,
    Station,
)
from control.doctor.host import look
from control.doctor.vrrp import suspicious
from control.errors import ConfigError
from control.metrics.vrrp import read_routers
from control.model import BackendState
from control.reasons import REMEDIES
from vrrp.config import load as load_vrrp
from vrrp.errors import VrrpError
from vrrp.instance import Instance
from vrrp.packet import CLASSIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from control.cli.rpc import Method
    from control.metrics.seen import Router

Request = TypeVar("Request")
Answer = TypeVar("Answer")
_VRRP: Final = "/run/guideway/vrrp.json"
_PAUSE: Final = 0.1  # seconds between looks at guideway-vrrpd's status


@dataclass(frozen=True, slots=True)
class Counters:
    """What has been counted until now."""

    time: float  # monotonic seconds
    dropped: "Mapping[str, tuple[int, str]]"  # packets and meaning, by reason
    routers: "Mapping[str, Router] | None"  # None: guideway-vrrpd tells nothing


@dataclass
class Sources:
    """Those who know something of this node."""

    client: Client
    path: Path  # of guidewayd's file
    vrrp_path: Path  # of guideway-vrrpd's
    silent: str = ""  # why guidewayd says nothing; "": it does, or we may not ask
    hangs: bool = False  # it took its time to say nothing, and is not asked again

    def counters(self) -> Counters:
        """Return the counters; who has none, or does not run, has counted nothing."""
        statistics = self._ask(lambda stub: stub.GetStatistics, pb.GetStatisticsRequest())
        told = statistics_plain(statistics)["reasons"] if statistics else []
        return Counters(
            time.monotonic(),
            {
                one["reason"]: (one["packets"], one["meaning"])
                for one in told
                if one["verdict"] == "drop"
            },
            self._routers(),
        )

    def node(self) -> Node:
        """Return all that is known; raises OSError or NetlinkError."""
        settings, misconfigured = self._file
        stations, unread = self._stations
        daemon = self._daemon()
        pools = daemon.pools if daemon else settings.pools if settings else ()
        peers = {peer for station in stations.values() for peer in station.peers}
        search = Search(neighbours=_members(pools) | peers)
        if settings:
            search = replace(
                search,
                interfaces=frozenset(settings.interfaces),
                bpffs=settings.bpffs,
                pins=settings.pins,
                state_directory=settings.state_directory,
            )
        if daemon:
            search = replace(search, interfaces=frozenset(daemon.attached))
        else:  # it would say so itself
            nat = _members(pool for pool in pools if pool.mode == "nat")
            search = replace(search, translated=nat)
        return Node(
            look(search),
            settings,
            misconfigured,
            daemon,
            self.silent,
            self._routers(),
            stations,
            unread,
        )

    def with_changes(self, node: Node, before: Counters) -> Node:
        """Return ``node`` with what has happened since ``before``.

        Takes up to ten seconds more where VRRP seems to stand still.
        """
        now = self.counters()
        drops = tuple(
            Drops(reason, packets - first, meaning, REMEDIES.get(reason, "see the docs"))
            for reason, (packets, meaning) in now.dropped.items()
            if packets > (first := before.dropped.get(reason, (packets, ""))[0])
        )
        daemon = replace(node.daemon, drops=drops) if node.daemon else None
        return self._with_routers(replace(node, daemon=daemon), before, now.routers)

    def _with_routers(
        self, node: Node, before: Counters, now: "Mapping[str, Router] | None"
    ) -> Node:
        asked = time.monotonic()
        first = before.routers or {}
        while True:
            last, at = now or {}, time.monotonic()
            suspects = suspicious(node, first, last)
            waiting = [
                name
                for name, suspicion in suspects.items()
                if at < max(before.time + suspicion.silence, asked + suspicion.deafness)
            ]
            if not waiting:
                break
            time.sleep(_PAUSE)
            now = self._routers()
        discarded = {
            (name, fault): more
            for name, router in last.items()
            for fault, count in router.discarded.items()
            if name in first and (more := count - first[name].discarded.get(fault, 0)) > 0
        }
        unsent = {
            name: more
            for name, router in last.items()
            if name in first and (more := router.unsent - first[name].unsent) > 0
        }
        return replace(
            node,
            routers=now,
            discarded=discarded,
            unsent=unsent,
            stalled=frozenset(name for name, each in suspects.items() if each.silence),
            unheeded=frozenset(name for name, each in suspects.items() if each.deafness),
        )

    def _routers(self) -> "Mapping[str, Router] | None":
        return read_routers(self._vrrp_status)

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
        if self.hangs:
            return None
        started = time.monotonic()
        try:
            return self.client.call(method, request)
        except Failure as failure:
            self.hangs = time.monotonic() - started > self.client.timeout / 2
            is_barred = isinstance(failure.__cause__, PermissionError)
            self.silent = "" if is_barred else failure.message
            return None

    @cached_property
    def _file(self) -> tuple[Settings | None, str]:
        """What the file says, or else what is wrong with it; read once: it may be long.

        Neither, if we may not read it.
        """
        try:
            return _settings(*load(self.path)), ""
        except ConfigError as error:
            return None, "" if _is_barred(error) else str(error)

    @cached_property
    def _stations(self) -> "tuple[Mapping[str, Station], str]":
        """What guideway-vrrpd's file says, by instance, or else why nobody knows."""
        try:
            config = load_vrrp(self.vrrp_path)
        except VrrpError as error:
            return {}, str(error)
        return {each.name: _station(each) for each in config.instances}, ""

    @property
    def _vrrp_status(self) -> Path:
        settings, _ = self._file
        return Path(settings.vrrp_status if settings else _VRRP)


def _is_barred(error: ConfigError) -> bool:
    return isinstance(error.__cause__, PermissionError)


def _members(pools: "Iterable[Pool]") -> frozenset[IpAddress]:
    return frozenset(member.address for pool in pools for member in pool.members)


def _station(instance: Instance) -> Station:
    router = instance.router
    # A peer may be Active at its own interval, which a Backup of version 3 goes by; it is
    # to be the same. The skew is one interval at most, or in version 2 one second.
    skew = 1.0 if router.version == CLASSIC else router.interval
    return Station(
        instance.interface,
        router.vrid,
        router.addresses[0].version,
        instance.virtual,
        router.down_adverts * router.interval + skew,
        # Where link-local ones are, no route tells.
        tuple(peer for peer in instance.peers if not peer.is_link_local),
    )


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
        pins=str(config.bpffs / "guideway" / config.instance / "links"),
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
