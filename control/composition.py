"""The composition root: here the parts are made and joined, nowhere else.

Start: adopt or load the data plane, look at the network, wait for the first probe of each
backend, fill the maps, and only then let packets in and requests in. The end of the process
is not the end of forwarding: program and maps are the kernel's.
"""

import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from control.api.following import follow
from control.api.peering import Peering
from control.api.server import serving
from control.applying import apply_file
from control.config import NodeConfig, load
from control.desired import DesiredState
from control.drains import overdue
from control.errors import GuidewayError
from control.events import (
    BackendChanged,
    Hub,
    PlaneFacts,
    SuspicionChanged,
    VersionConfirmed,
    stored,
)
from control.explainer import Explainer
from control.facts import BackendKey, Facts, Network
from control.following import (
    follow_drains,
    follow_plane,
    follow_pools,
    follow_serving,
    follow_vrrp,
)
from control.health.keeper import Keeper
from control.health.monitor import Monitor
from control.health.suspicion import Suspicion, follow_handshakes
from control.health.vip_path import VipPath
from control.learning import learn, recall, taken_for
from control.lookout import Lookout
from control.metrics.exposition import Exposition, Sources
from control.metrics.server import MetricsServer
from control.network import xdp_modes
from control.notifying.notifier import Notifier
from control.notifying.users import check_users
from control.observer import NodeObserver
from control.plane import Plane
from control.pool import Pool
from control.reconciler import Reconciler
from control.rounds import Settings
from control.runnable import warn_of_unrunnable
from control.showing import show
from control.starts import Starts
from control.status import Health
from control.store import Store
from control.sync.exchange import Exchange
from control.undoing import undo_unconfirmed
from control.unserved import Judge
from dataplane.errors import DataplaneError
from dataplane.image import Image
from dataplane.instance import Instance
from dataplane.probe_path import ProbePath
from dataplane.usage import memory
from service_manager import ServiceManager

_log: Final = structlog.get_logger()

_SURVEY_INTERVAL: Final = 1.0  # seconds


class Daemon:
    """The parts, joined; each does one thing and knows the others by functions only."""

    def __init__(
        self,
        path: Path,
        config: NodeConfig,
        store: Store,
        keeper: Keeper,
        instance: Instance,
        seed: Image | None,
    ) -> None:
        """Join the parts; ``seed`` is what the program served by before this one."""
        self._path = path
        self._config = config
        self._store = store
        self._keeper = keeper
        self._instance = instance
        self._seed = seed
        self._tasks = asyncio.TaskGroup()
        self._manager = ServiceManager()
        self._serving = False
        self._unread = ""  # what was wrong with the file
        self._judge = Judge(lambda: self._reconciler.compiled)
        self._hub = Hub()
        self._starts = Starts(
            lambda: store.state,
            lambda: c.services if (c := self._reconciler.compiled) else None,
        )
        self._vip_path = VipPath(ProbePath(config.instance, config.cache))
        self._monitor = Monitor(
            self._tasks,
            changed=self._wake,
            told=self._tell,
            way_to=self._vip_path.way,
        )
        self._suspicion = Suspicion()
        self._lookout = Lookout(config.interfaces, store, self._monitor, self._follow_vips)
        self._reconciler = Reconciler(
            instance.maps,
            Settings(config.limits, config.hash_seed, config.direct),
            wanted=self._wanted,
            facts=self._facts,
            seed=seed,
        )
        self._exchange = Exchange(
            instance,
            image=lambda: c.image if (c := self._reconciler.compiled) else None,
            own=lambda: self._lookout.network.addresses,
            wake=self._wake,
            peers=[peer.where for peer in config.sync.peers],
        )
        self._plane = Plane(config, instance, self._reconciler, self._present, xdp_modes)
        self._observer = NodeObserver(
            config,
            instance,
            self._wanted,
            lambda: self._lookout.network,
            lambda: self._plane.problem,
            self._monitor,
            self._reconciler,
            Explainer(config, instance, lambda: self._lookout.network, self._reconciler),
            unserved=lambda: self._metrics.problem if self._metrics else "",
            unkept=lambda: self._keeper.problem,
            unread=lambda: self._unread,
            pending=lambda: self._store.pending,
            modes=lambda: self._plane.modes,
            unnotified=lambda: self._notifier.problems,
            exchange=self._exchange,
            down=self._judge.look,
            suspicion=self._suspicion,
        )
        self._notifier = Notifier(self._wanted, config.state_directory / "notified.json")
        self._notifier.adopt(config.notifications)
        self._hub.inform(self._notifier.hear)
        self._metrics = self._metrics_server()
        store.confirmed = lambda version: self._hub.publish(
            VersionConfirmed(version.number, version.confirmed_by)
        )

    async def run(self, signals: asyncio.Queue[int]) -> None:
        """Serve until a signal says stop. Raises GuidewayError or DataplaneError."""
        try:
            async with self._tasks:
                self._tasks.create_task(undo_unconfirmed(self._store))
                self._tasks.create_task(self._start_and_serve())
                while await signals.get() == signal.SIGHUP:
                    if self._serving:
                        self._manager.reloading()
                    await self._reload()
                    if self._serving:
                        self._manager.ready()
                self._manager.stopping()
                raise _Stopped
        except ExceptionGroup as group:
            first = group.exceptions[0]
            if isinstance(first, (GuidewayError, DataplaneError)):
                raise first from None
            if not isinstance(first, _Stopped):
                raise
        finally:
            await self._plane.finish()
            self._lookout.close()
            await asyncio.to_thread(self._keeper.finish, self._monitor)
        _log.info("stopped; packets keep flowing")

    async def _start_and_serve(self) -> None:
        """Fill the maps with what is known to be true, let packets in, then requests."""
        version = self._store.version  # a file may be read again while we learn
        state = self._store.state
        before = await asyncio.to_thread(taken_for, state, self._known)
        found = await asyncio.to_thread(recall, state, self._keeper)
        self._monitor.watch(state, before, found)
        tcp, sync = self._config.access.tcp, self._config.sync
        if tcp and sync.peers:
            self._tasks.create_task(follow(self._exchange, sync, tcp))
        await learn(self._lookout, self._monitor, self._exchange)
        verdicts = self._monitor.health().items()
        known = ((key, health, self._monitor.problem(key)) for key, health in verdicts)
        self._notifier.compare(known, time.time())
        weights = self._monitor.weights()
        await asyncio.to_thread(self._starts.recall, self._known, weights)
        await self._reconciler.settle()
        await self._plane.attach()
        sizes = memory(self._instance.maps)
        _log.info("maps", bytes=sum(sizes.values()), **sizes)
        for task in (
            self._reconciler.run(),
            self._keeper.run(self._monitor),
            self._follow_network(),
            self._follow_store(version),
            follow_plane(self._hub, self._plane_facts),
            follow_pools(self._hub, self._pools),
            follow_drains(self._store, self._wake),
            follow_vrrp(self._hub, self._config.socket.with_name("vrrp.json")),
            follow_serving(self._hub, self._judge.look, self._notifier.unserved),
            self._notifier.run(),
            follow_handshakes(
                self._suspicion,
                lambda: c.services if (c := self._reconciler.compiled) else (),
                self._instance.handshakes,
                self._suspect,
            ),
            self._manager.beat(),
            show(
                self._config,
                lambda: self._reconciler.compiled,
                lambda: self._exchange.synced,
            ),
            *([self._metrics.run()] if self._metrics else []),
        ):
            self._tasks.create_task(task)
        socket = self._config.socket
        async with serving(
            socket,
            self._store,
            self._observer,
            self._plane,
            access=self._config.access,
            hub=self._hub,
            peering=Peering(self._exchange, sync.interval),
        ):
            _log.info("serving", socket=str(socket))
            self._manager.ready()
            self._serving = True
            await asyncio.Event().wait()  # until cancelled

    def _known(self) -> Image:
        """Return what packets went by when this daemon began."""
        actual = self._instance.maps.read()
        return actual if actual.services else self._seed or actual

    async def _follow_network(self) -> None:
        while True:
            await asyncio.sleep(_SURVEY_INTERVAL)
            if await self._lookout.survey() or self._starts.moved():
                self._wake()
            await self._plane.mend()
            self._manager.status(self._summary())

    async def _follow_store(self, version: int) -> None:
        """Follow what is wanted; ``version`` is the one that was acted upon last."""
        known = self._store.state
        while True:
            version = await self._store.wait_for_change(version)
            before, known = known, self._store.state
            if self._store.newest is not None:
                self._hub.publish(stored(self._store.newest, before, known))
            self._monitor.watch(self._store.state, self._monitor.health())
            await self._lookout.find_new()
            self._wake()

    async def _reload(self) -> None:
        """Take over the file's services; with a mistake in it, nothing of it."""
        try:
            config, desired = await asyncio.to_thread(load, self._path)
            check_users(config.notifications)
            apply_file(self._store, desired, self._path)
        except GuidewayError as error:
            self._unread = str(error)
            _log.error("not reloaded", problem=self._unread)
            return
        self._unread = ""
        self._notifier.adopt(config.notifications)
        self._config = replace(self._config, notifications=config.notifications)
        if config != self._config:
            _log.warning("reloaded; most keys besides `services` wait for a restart")
        else:
            _log.info("reloaded")
        told = config.notifications
        await asyncio.to_thread(warn_of_unrunnable, told, self._store.state)

    def _metrics_server(self) -> MetricsServer | None:
        if self._config.metrics is None:
            return None
        sources = Sources(
            self._observer.node,
            self._instance,
            self._monitor,
            self._reconciler,
            self._config.metrics.vrrp_status,
            self._suspicion,
        )
        return MetricsServer(self._config.metrics, Exposition(sources))

    def _plane_facts(self) -> PlaneFacts:
        return PlaneFacts(
            applied_version=self._reconciler.applied_version,
            detached=self._plane.detached,  # unlike the instance, not in between
            reloads=self._plane.reloads,
            trouble=self._observer.trouble(),
        )

    def _tell(self, key: BackendKey, health: Health, reason: str) -> None:
        self._hub.publish(BackendChanged(*key, health, reason))

    def _suspect(self, key: BackendKey, suspected: bool) -> None:
        self._hub.publish(SuspicionChanged(*key, suspected))
        if suspected:
            self._monitor.hasten(key)
        self._wake()

    def _present(self) -> list[str]:
        return [interface.name for interface in self._lookout.network.interfaces]

    def _summary(self) -> str:
        """Say in a line how we are; `guideway status` says more."""
        problem = self._plane.problem or self._reconciler.problem
        if self._instance.detached:
            return "detached: nothing is balanced"
        balanced = f"services: {len(self._store.state.services)}"
        return f"{balanced}, on {', '.join(self._present())}; {problem or 'all is well'}"

    def _facts(self) -> Facts:
        pools = self._pools()
        return Facts(
            self._lookout.network,
            self._monitor.health(),
            self._monitor.weights(),
            frozenset(service for service, pool in pools.items() if not pool.quorum),
            overdue(self._store.state, time.time()),
            self._starts.look(),
            shared=self._exchange.shared(),
            suspected=self._suspicion.suspects(),
        )

    def _pools(self) -> Mapping[str, Pool]:
        compiled = self._reconciler.compiled
        return compiled.pools if compiled else {}

    def _wanted(self) -> tuple[int, DesiredState]:
        return self._store.version, self._store.state

    def _wake(self) -> None:
        self._reconciler.wake()

    async def _follow_vips(self, network: Network) -> None:
        detached = self._instance.detached
        await self._vip_path.follow(self._store.state, network, detached=detached)


class _Stopped(Exception):  # noqa: N818 - a way out of the task group, not an error
    """The daemon was told to stop."""
