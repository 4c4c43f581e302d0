"""One instance at work: socket and timer into the state machine, its effects out again."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace
from typing import Final, TypeVar

from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from vrrp.admission import Datagram
from vrrp.errors import MalformedError
from vrrp.group import Group
from vrrp.hearing import Hearing
from vrrp.instance import Instance
from vrrp.keeper import Keeper
from vrrp.links import Footing
from vrrp.machine import (
    Announce,
    Effect,
    Release,
    Send,
    State,
    Take,
    VirtualRouter,
)
from vrrp.notify import Turn, turn_of
from vrrp.packet import Advertisement
from vrrp.status import Status
from vrrp.tally import Lateness, Traffic, advert
from vrrp.tracking import Standing
from vrrp.transport import SURVIVABLE, Port, Transport, open_transport
from vrrp.virtual_mac import mac_of

_log: Final[FilteringBoundLogger] = get_logger()
T = TypeVar("T")

_COMPLAIN_EVERY: Final = 60.0  # seconds; on a busy host a timer is late again and again
_OPEN_AGAIN: Final = 1.0  # seconds


class Runner:
    """Takes part in one virtual router for as long as its interfaces are up.

    :meth:`run` speaks and listens, and the keeper's ``run`` looks after addresses: both
    have to run, as tasks of their own, so that an advertisement never waits for an address.
    """

    def __init__(
        self,
        instance: Instance,
        kernel: Executor,
        changed: Callable[[], None],
        group: Group | None = None,
        turned: Callable[["Runner", Turn], None] = lambda *_: None,
    ) -> None:
        """Call ``changed`` when the status is another, and ``turned`` when the state is.

        The latter with Active only when the addresses are here.
        """
        self.instance = instance
        self.keeper = Keeper(instance, kernel, self._find)
        self._status = Status(State.INITIALIZE, time.time(), instance.router.priority)
        self._kernel = kernel
        self._changed = changed
        self._turned = turned
        self._turn: Turn | None = None  # told last
        self._retiring = False
        self._handed_over = asyncio.Event()
        self.router = VirtualRouter(instance.router, together=group is not None)
        self._group = group
        self._standing = Standing(instance.router.priority)
        self._ground: Footing | None = None  # as the keeper found it
        self._ground_problem = ""
        self._fenced = 0
        self._lateness = Lateness()
        self._traffic = Traffic()
        self._late_said = float("-inf")
        self._transport: Transport | None = None
        self._footing: Footing | None = None
        self._problem = ""
        self._wake = asyncio.Event()
        self._hearing = Hearing(instance)
        self._unsent = ""
        self._unopened = ""
        self._log = _log.bind(instance=instance.name)

    @property
    def status(self) -> Status:
        """How it stands now."""
        return replace(
            self._status,
            priority=self.router.priority,
            discarded=dict(self._hearing.discarded),
            noticed=dict(self._hearing.noticed),
            problem=self._problem,
            latest=round(self._lateness.most, 3),
            fenced=self.router.fenced,
            stands_back=self.router.stands_back,
            waits=self.router.wants,
            sent=dict(self._traffic.sent),
            unsent=self._traffic.unsent,
            heard=dict(self._traffic.heard),
            handed_over=self.router.handed_over,
            late=self._lateness.told(),
            late_total=round(self._lateness.total, 4),
            virtual_mac=mac_of(self.instance).hex(":") if self.instance.virtual_mac else "",
        )

    @property
    def turn(self) -> Turn | None:
        """What was told of it last."""
        return self._turn

    @property
    def name(self) -> str:
        """What the operator calls the instance."""
        return self.instance.name

    @property
    def fit(self) -> bool:
        """Whether nothing of its own keeps it from taking part."""
        return self._ground is not None and not self._standing.problem

    @property
    def known(self) -> bool:
        """Whether it has been found out if it is fit: at first nobody has looked yet."""
        return self._ground is not None or bool(self._ground_problem)

    def judge(self, standing: Standing) -> None:
        """Be what the tracked checks allow from now on."""
        if standing == self._standing:
            return
        if standing.priority != self.router.priority:
            self._log.info(
                "priority changed", priority=standing.priority, was=self.router.priority
            )
        self._standing = standing
        self.router.priority = standing.priority
        self._fitness_changed()
        self._changed()

    def adopt(self, instance: Instance) -> None:
        """Go on as ``instance``, which has the same core; to be judged anew afterwards."""
        self.instance = instance
        self.router.config = instance.router
        self._hearing.adopt(instance)

    def lead(self) -> None:
        """Become Active with the others of the group."""
        self._carry_out(self.router.lead(asyncio.get_running_loop().time()))
        self._wake.set()

    def follow(self, why: str) -> None:
        """Give the addresses up with the others of the group."""
        self._carry_out(self.router.follow(asyncio.get_running_loop().time(), why))
        self._wake.set()

    async def hand_over(self) -> bool:
        """Have a peer take over, and return whether one has; at once if there is no need.

        Takes two intervals at most.
        """
        self._handed_over.clear()
        if self.router.state is State.ACTIVE:
            if not self.router.hands_over:
                now = asyncio.get_running_loop().time()
                self._carry_out(self.router.hand_over(now))
                self._wake.set()
            await self._handed_over.wait()
        return self.router.state is not State.ACTIVE

    def retire(self) -> None:
        """Note that it is about to stop, and not since something is wrong."""
        self._retiring = True
        self._tell_turn()

    def look_around(self) -> None:
        """Rest or take part, as links, checks and the group have it."""
        problem = (
            self._ground_problem
            or self._standing.problem
            or (self._group.problem_of(self) if self._group else "")
        )
        footing = None if problem else self._ground
        if problem != self._problem:
            if problem:
                self._log.warning("instance at rest", problem=problem)
            self._problem = problem
            self._tell_turn()
            self._changed()
        if footing != self._footing:
            self._footing = footing
            self._wake.set()

    def _fitness_changed(self) -> None:
        if self._group:
            self._group.fitness_changed()
        else:
            self.look_around()

    async def run(self) -> None:
        """Take part until cancelled; an Active resigns then."""
        while True:
            footing = await self._wait_for_footing()
            try:
                transport = await self._open(footing)
            except OSError as error:
                if error.errno not in SURVIVABLE:
                    raise
                # The interface went while we looked at it, or its IPv6 address is not
                # known to be unique yet.
                self._report_unopened(error.strerror or str(error))
                await asyncio.sleep(_OPEN_AGAIN)
                continue
            self._unopened = ""
            try:
                if self._footing == footing:  # else it changed while we opened
                    await self._take_part(footing, transport)
            finally:
                await self._in_kernel_thread(transport.close)

    async def _take_part(self, footing: Footing, transport: Transport) -> None:
        """Run the state machine until the footing changes or we are cancelled."""
        loop = asyncio.get_running_loop()
        self._transport = transport
        loop.add_reader(transport, self._wake.set)
        try:
            looked = loop.time()
            self._carry_out(self.router.start(footing.address, looked))
            while self._footing == footing:
                # First what has arrived: when we are late, an Active's advertisement may
                # have been waiting here while our timer for it ran out.
                since, looked = looked, loop.time()
                for datagram in transport.drain():
                    self._hear(datagram, loop.time(), since)
                self._carry_out(self.router.tick(loop.time()))
                if self._group:
                    self._group.settle()
                await self._wait(self.router.deadline)
        finally:
            self._carry_out(self.router.stop())
            loop.remove_reader(transport)
            self._transport = None

    async def _wait(self, deadline: float | None) -> None:
        """Wait until something arrives, the footing changes, or ``deadline``."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._wake.wait()
        self._wake.clear()
        if deadline is not None:
            now = asyncio.get_running_loop().time()
            self._note_lateness(now - deadline, now)

    def _note_lateness(self, late: float, now: float) -> None:
        """Count by how much a timer was late; say so if that is an interval."""
        self._lateness.add(late)
        interval = self.instance.router.interval
        if late >= interval and now >= self._late_said + _COMPLAIN_EVERY:
            self._late_said = now
            self._log.warning("timer late", seconds=round(late, 3), interval=interval)

    async def _wait_for_footing(self) -> Footing:
        while self._footing is None:
            await self._wait(None)
        return self._footing

    async def _open(self, footing: Footing) -> Transport:
        instance = self.instance
        port = Port(
            instance.interface,
            footing.index,
            footing.address,
            instance.dialect,
            instance.peers,
            mac_of(instance) if instance.advertise_mac else b"",
        )
        return await self._in_kernel_thread(lambda: open_transport(port))

    def _report_unopened(self, problem: str) -> None:
        if problem != self._unopened:
            self._log.warning("socket not opened yet", problem=problem)
        self._unopened = problem

    async def _in_kernel_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._kernel, work)

    def _find(self, footing: Footing | None, problem: str) -> None:
        """Note what the keeper found out about links."""
        if footing and footing.down:
            problem, footing = f"down: {', '.join(footing.down)}", None
        if (footing, problem) != (self._ground, self._ground_problem):
            self._ground, self._ground_problem = footing, problem
            self._fitness_changed()
        self._tell_turn()  # the addresses may have come

    def _hear(self, datagram: Datagram | MalformedError, now: float, since: float) -> None:
        """Act on what has arrived after ``since``, when we looked before."""
        if isinstance(datagram, MalformedError):
            self._hearing.discard(datagram, None, now)
            return
        heard = self._hearing.admit(datagram, self.router.address, now)
        if heard is None:
            return
        self._traffic.heard[advert(heard.priority)] += 1
        # Whatever the clock says by which it was stamped: that one may be set.
        arrived = max(since, now - datagram.waited)
        self._carry_out(self.router.receive(heard, datagram.source, now, arrived))

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(advertisement):
                    self._send(advertisement)
                case Take():
                    self.keeper.take()
                case Announce(repeat):
                    self.keeper.announce(repeat)
                case Release(after):
                    self.keeper.release(after)
                    if self._group:
                        self._group.yielded(self)
        self._note()

    def _send(self, advertisement: Advertisement) -> None:
        if self._transport is None:
            return
        unsent = ""
        try:
            self._transport.send(advertisement)
        except OSError as error:
            if error.errno not in SURVIVABLE:
                raise
            unsent = error.strerror or str(error)
            self._traffic.unsent += 1
        else:
            self._traffic.sent[advert(advertisement.priority)] += 1
        if unsent != self._unsent:
            if unsent:
                self._log.warning("advertisement not sent", problem=unsent)
            self._unsent = unsent

    def _note(self) -> None:
        """Publish the state if it is a new one."""
        router, old = self.router, self._status
        if router.fenced != self._fenced:
            self._fenced = router.fenced
            self._log.warning("addresses given up: we were silent for too long")
        if not router.hands_over:
            self._handed_over.set()
        new = old.moved(router.state, router.active, time.time(), router.reason)
        if new == old:
            return
        self._status = new
        if new.state is not old.state:
            self._log.info(
                "state changed",
                state=new.state,
                was=old.state,
                priority=router.priority,
                active=str(new.active) if new.active else None,
                reason=new.reason or self._problem,
            )
        self._tell_turn()
        self._changed()

    def _tell_turn(self) -> None:
        """Tell what it has become, if that is news."""
        turn = turn_of(self.router.state)
        if self._turn is None and not (self._group.known if self._group else self.known):
            return
        if turn is Turn.BACKUP and self._problem:
            turn = Turn.FAULT  # in a moment
        if turn is Turn.FAULT and self._retiring:
            turn = Turn.STOP
        elif turn is Turn.FAULT and not self._problem:
            return  # it is about to start
        if turn is Turn.ACTIVE and not self.keeper.settled:
            return
        if turn is not self._turn:
            self._turn = turn
            self._turned(self, turn)
