"""What the node says of itself, put together from those who know."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version

from control.advice import NO_SEED, down_warnings, merge_warnings, waiting_warnings
from control.config import NodeConfig
from control.confirmation import Pending
from control.desired import DesiredState
from control.entries import unreachable
from control.errors import HostError
from control.explainer import Explainer
from control.explanation import Explanation, Question
from control.facts import BackendKey, Network
from control.health.monitor import Monitor
from control.health.suspicion import Suspicion
from control.model import Backend, Mode, Service
from control.network import nat_warnings, source_warnings
from control.pool_policy import EACH_BY_ITSELF
from control.ramp import STEPS
from control.reconciler import Reconciler
from control.serving import UNHEALTHY, UNPROBED, Served
from control.status import (
    Attachment,
    BackendStatus,
    DataPlaneStatus,
    Health,
    InterfaceStatus,
    MapStatus,
    NodeStatus,
    PoolStatus,
    ProbeStatus,
    ReasonTraffic,
    ServiceStatus,
    Standing,
    Statistics,
    Traffic,
    VlanStatus,
)
from control.sync.exchange import Exchange
from control.vlans import vlan_warnings
from dataplane.abi import VERSION
from dataplane.errors import DetachedError
from dataplane.instance import Instance
from dataplane.records import Counter

_NOT_YET = "not yet in the kernel's tables"
_SHOWN = 4  # reasons why health checks have no result


@dataclass(frozen=True, slots=True)
class NodeObserver:
    """A :class:`control.status.Observer` of the running daemon."""

    config: NodeConfig
    instance: Instance
    wanted: Callable[[], tuple[int, DesiredState]]
    network: Callable[[], Network]
    unattached: Callable[[], str]  # why, if packets of an interface do not come through us
    monitor: Monitor
    reconciler: Reconciler
    explainer: Explainer
    unserved: Callable[[], str] = str  # why metrics cannot be had; "": they can
    unkept: Callable[[], str] = str  # why health is not remembered; "": it is
    unread: Callable[[], str] = str  # what was wrong with the file; "": it was taken over
    started: float = field(default_factory=time.time)
    pending: Callable[[], tuple[Pending, float] | None] = lambda: None
    modes: Callable[[], Mapping[str, str]] = dict  # how XDP runs, by interface
    unnotified: Callable[[], list[str]] = list  # why somebody was not told of something
    exchange: Exchange | None = None
    down: Callable[[], Mapping[str, str]] = dict  # why, by service; "": it is up
    suspicion: Suspicion = field(default_factory=Suspicion)

    def node(self) -> NodeStatus:
        """Return the node's status."""
        desired_version, desired = self.wanted()
        exchange = self.exchange
        return NodeStatus(
            release=version("guideway"),
            instance=self.config.instance,
            abi=VERSION,
            digest=self.instance.digest,
            interfaces=tuple(
                InterfaceStatus(
                    one.name,
                    self.modes().get(one.name, one.xdp),
                    _vlans_on(one.ifindex, self.network()),
                )
                for one in self.network().interfaces
            ),
            adopted=self.instance.adopted,
            desired_version=desired_version,
            applied_version=self.reconciler.applied_version,
            warnings=self._warnings(desired),
            started=self.started,
            repairs=self.reconciler.repairs.count,
            repaired=self.reconciler.repairs.last,
            detached=self.instance.detached,
            pending=self.pending(),
            peers=tuple(peer.status() for peer in exchange.peers.values())
            if exchange
            else (),
            followers=tuple(each.status() for each in exchange.followers)
            if exchange
            else (),
        )

    def services(self) -> tuple[ServiceStatus, ...]:
        """Return the status of all services."""
        compiled = self.reconciler.compiled
        served = {one.service.name: one for one in compiled.services} if compiled else {}
        _, desired = self.wanted()
        health, weights = self.monitor.health(), self.monitor.weights()
        return tuple(
            self._service(service, served.get(service.name), health, weights)
            for service in desired
        )

    def probes(self, service: str, backend: str) -> tuple[ProbeStatus, ...]:
        """Return what the probes of a backend have found; none if there are none."""
        return self.monitor.probes((service, backend))

    def standing(self) -> Standing:
        """Return who cannot serve, and who weighs something else than configured."""
        compiled = self.reconciler.compiled
        served = compiled.services if compiled else ()
        health = self.monitor.health()
        return Standing(
            unable=frozenset(
                (one.service.name, backend.identity)
                for one in served
                for backend in one.service.backends
                for number in [one.backend_ids.get(backend.name)]
                if number is None or number in one.down  # None: it was never reached
            ),
            weights=self.monitor.weights(),
            failing=frozenset(
                (one.service.name, backend.identity)
                for one in served
                for backend in one.service.backends
                if health.get((one.service.name, backend.name)) is Health.DOWN
            ),
            lost=frozenset(one.service.name for one in served if not one.pool.quorum),
            suspected=self.suspicion.suspects(),
        )

    def trouble(self) -> str:
        """Return why packets are not balanced by what is wanted; "": they are."""
        if self.instance.detached:
            return "the data plane is detached"
        if self.reconciler.compiled is None:
            return "the tables are not in the kernel yet"
        return self.unattached() or self.reconciler.problem

    async def statistics(self) -> Statistics:
        """Read the counters from the kernel. Raises HostError if there are none."""
        try:
            read = await asyncio.to_thread(self.instance.counters)
        except DetachedError as error:
            raise HostError(str(error)) from error
        compiled = self.reconciler.compiled
        served = compiled.services if compiled else ()
        return Statistics(
            reasons=tuple(
                ReasonTraffic(
                    reason.name, reason.verdict.value, reason.meaning, _traffic(counter)
                )
                for reason, counter in read.reasons.items()
            ),
            services={
                one.service.name: _traffic(read.services.get(one.id)) for one in served
            },
            backends={
                (one.service.name, name): _traffic(read.backends.get(number))
                for one in served
                for name, number in one.backend_ids.items()
            },
        )

    async def data_plane(self) -> DataPlaneStatus:
        """Return program, links and maps, the maps' entries counted."""
        modes = self.modes()
        instance = self.instance
        missing = await asyncio.to_thread(instance.unattached, self.config.interfaces)
        try:
            maps = await asyncio.to_thread(instance.usage)
            loaded = time.time() - await asyncio.to_thread(instance.age)
        except DetachedError:
            maps, loaded = (), None
        return DataPlaneStatus(
            abi=VERSION,
            digest=instance.digest,
            adopted=instance.adopted,
            loaded=loaded,
            interfaces=tuple(
                Attachment(name, modes.get(name, "none"), attached=name not in missing)
                for name in self.config.interfaces
            ),
            maps=tuple(
                MapStatus(one.name, one.used, one.limit, one.memory) for one in maps
            ),
        )

    async def explain(self, question: Question) -> Explanation:
        """Return what would become of a packet. Raises ConfigError or HostError."""
        return await self.explainer.explain(question)

    def _warnings(self, desired: DesiredState) -> tuple[str, ...]:
        network = self.network()
        missing = set(self.config.interfaces) - {i.name for i in network.interfaces}
        warnings = [f"interface {name} is gone" for name in sorted(missing)]
        if self.instance.detached:
            warnings.append(f"nothing is balanced: {DetachedError()}")
        wanted = "native" if self.config.native else "generic"
        warnings.extend(
            f"{one.name} runs in {one.xdp} mode, and the file wants {wanted}: stop "
            "guidewayd, run `guidewayd --detach`, and start it again"
            for one in network.interfaces
            if one.xdp not in (wanted, "none")
        )
        if problem := self.unattached():
            warnings.append(f"packets of an interface are not balanced: {problem}")
        warnings.extend(
            f"health checks without a result: {count}; {why}"
            for why, count in self.monitor.hindrances().most_common(_SHOWN)
        )
        if problem := self.unread():
            warnings.append(f"the file was not taken over when it was read last: {problem}")
        if problem := self.unkept():
            warnings.append(f"a restart will not know the health of backends: {problem}")
        if problem := self.unserved():
            warnings.append(f"no metrics: {problem}")
        warnings.extend(self.unnotified())
        peers = self.exchange.peers.values() if self.exchange else ()
        warnings.extend(
            f"peer {peer.name} is not followed: {peer.problem}"
            for peer in peers
            if peer.problem
        )
        if self.reconciler.problem:
            warnings.append(f"the kernel is not up to date: {self.reconciler.problem}")
        warnings.extend(waiting_warnings(self.reconciler.waiting))
        warnings.extend(down_warnings(self.down()))
        ways = {
            (backend.address.version, hop.interface)
            for service in desired
            if service.mode is Mode.NAT
            for backend in service.members
            if (hop := network.next_hops.get(backend.address))
        }
        warnings.extend(nat_warnings(ways))
        warnings.extend(source_warnings({one.vip for one in desired}, network))
        warnings.extend(vlan_warnings(network))
        warnings.extend(merge_warnings(network))
        if desired.services and not self.config.hash_seed:
            warnings.append(NO_SEED)
        return tuple(warnings)

    def _service(
        self,
        service: Service,
        served: Served | None,
        health: Mapping[BackendKey, Health],
        weights: Mapping[BackendKey, int],
    ) -> ServiceStatus:
        backends = (
            self._backend(service, backend, served, health.get(key), weights.get(key))
            for backend in service.backends
            if (key := (service.name, backend.name))
        )
        return ServiceStatus(
            service,
            len(served.ring) if served else 0,
            tuple(backends),
            self._pool(service, served),
        )

    def _pool(self, service: Service, served: Served | None) -> PoolStatus | None:
        if service.pool == EACH_BY_ITSELF or served is None:
            return None
        sorry, pool = service.sorry, served.pool
        problem = unreachable(sorry, self.network()) if sorry else ""
        return PoolStatus(pool.live_weight, pool.quorum, pool.sorry, problem)

    def _backend(
        self,
        service: Service,
        backend: Backend,
        served: Served | None,
        health: Health | None,
        weight: int | None,
    ) -> BackendStatus:
        key = (service.name, backend.name)
        hop = self.network().next_hops.get(backend.address)
        slots = served.slots.get(backend.name, 0) if served else 0
        current = served is not None and backend in served.service.backends
        return BackendStatus(
            backend=backend,
            health=(
                (health or Health.UNKNOWN)
                if service.checks_of(backend)
                else Health.UNCHECKED
            ),
            reason=self._reason(key, served) if served and current else _NOT_YET,
            since=self.monitor.since(key),
            share=slots / len(served.ring) if served and served.ring else 0.0,
            mac=hop.mac.hex(":") if hop and hop.mac else None,
            dynamic_weight=weight,
            kept=self._kept(key, served) if served and current else "",
            ramp=_ramp(served, backend) if served and current else None,
            suspected=self._suspected(key),
        )

    def _suspected(self, key: BackendKey) -> str:
        found = self.suspicion.finding(key)
        return str(found) if found and found.is_suspected else ""

    def _kept(self, key: BackendKey, served: Served) -> str:
        """Say why a backend serves although its checks fail; "" if it does not."""
        if not served.slots.get(key[1]) or not (policy := served.pool.kept.get(key[1])):
            return ""
        probed = self.monitor.problem(key)
        return f"failed, but kept ({policy})" + (f": {probed}" if probed else "")

    def _reason(self, key: BackendKey, served: Served) -> str:
        """Say why a backend gets no traffic, with what its last probe met."""
        problem = served.problems.get(key[1], "")
        asked = problem in (UNHEALTHY, UNPROBED)
        probed = self.monitor.problem(key) if asked else ""
        return f"{problem}: {probed}" if probed else problem


def _ramp(served: Served, backend: Backend) -> float | None:
    step = served.pool.steps.get(backend.name)
    return None if step is None or not served.slots.get(backend.name) else step / STEPS


def _vlans_on(ifindex: int, network: Network) -> tuple[VlanStatus, ...]:
    """Return the VLANs of an interface that services are balanced in."""
    return tuple(
        VlanStatus(vlan.name, tuple(map(str, vlan.segment.tags)))
        for vlan in network.vlans.values()
        if vlan.segment and vlan.segment.ifindex == ifindex
    )


def _traffic(counter: Counter | None) -> Traffic:
    counted = counter or Counter()
    return Traffic(counted.packets, counted.bytes, counted.flows)
