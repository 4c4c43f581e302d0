"""Keeps the virtual addresses of one instance where they belong.

Level, not edge: each round makes the host what it should be by now, whatever happened since
the last one. So an address that somebody removed is put back, one that a killed run left is
removed, and Active, Backup, Active in quick succession is no more than one round.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from vrrp.announce import Claim, announce
from vrrp.errors import HostError
from vrrp.instance import Instance, VirtualAddress
from vrrp.links import Footing, read_footing, read_link
from vrrp.station import placed, settle

_log: Final[FilteringBoundLogger] = get_logger()
_EVERY: Final = 1.0  # seconds between rounds when nothing seems to happen
_RETRY: Final = 0.1  # seconds until the next when one has failed


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found and did."""

    footing: Footing | None
    problem: str  # why there is no footing; with neither, we could not see
    added: tuple[VirtualAddress, ...] = ()
    removed: tuple[VirtualAddress, ...] = ()
    fault: str = ""  # why the addresses may not be as they should


class Keeper:
    """Carries out what the state machine wants done to addresses.

    ``kernel`` is an executor with one thread: others may hold the kernel's RTNL lock for
    long, and while we wait for it the advertisements have to go on. ``found`` is called, on
    the event loop, with the footing after each round.
    """

    def __init__(
        self,
        instance: Instance,
        kernel: Executor,
        found: Callable[[Footing | None, str], None],
    ) -> None:
        self._instance = instance
        self._kernel = kernel
        self._found = found
        self._log = _log.bind(instance=instance.name)
        self._wake = asyncio.Event()
        self._held = False  # as the state machine wants it
        self._later: asyncio.TimerHandle | None = None  # when they are to go
        self._announcing = 0  # frames for each address that are to be sent
        self._settled = False  # the last round found no fault
        self._fault = ""

    @property
    def settled(self) -> bool:
        """Whether the addresses are where they belong, by the last round."""
        return self._settled

    def take(self) -> None:
        """From now on the addresses belong on this host."""
        self._want(held=True)

    def release(self, after: float = 0.0) -> None:
        """From now on, or in some seconds, they do not.

        Until then two hosts have them, as they must not have a virtual MAC.
        """
        if not after or self._instance.virtual_mac:
            self._want(held=False)
        elif self._later is None:
            self._announcing = 0
            release = partial(self._want, held=False)
            self._later = asyncio.get_running_loop().call_later(after, release)

    def announce(self, repeat: int) -> None:
        """Tell the neighbours, ``repeat`` times, once the addresses are there."""
        self._announcing = max(repeat, self._announcing)
        self._wake.set()

    def look(self) -> None:
        """Have a round soon: something about links or addresses may have changed."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; the addresses are gone then."""
        try:
            while True:
                await self._round()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_EVERY if self._settled else _RETRY):
                        await self._wake.wait()
        finally:
            self.release()
            await self._round()

    def _want(self, *, held: bool) -> None:
        if self._later:
            self._later.cancel()
            self._later = None
        self._held = held
        self._announcing = 0  # what was to be announced is no longer so
        self._settled = False
        self._wake.set()

    async def _round(self) -> None:
        self._wake.clear()
        held, announcing, settled = self._held, self._announcing, self._settled
        self._announcing = 0
        work = partial(_work, self._instance, held=held, announcing=announcing)
        done = await asyncio.get_running_loop().run_in_executor(self._kernel, work)
        if done.fault:
            if held == self._held:
                self._announcing = max(announcing, self._announcing)
        elif settled:
            self._report_strays(done)
        self._complain(done.fault)
        self._settled = held == self._held and not done.fault
        if done.footing or done.problem:  # not to see is no reason to resign
            self._found(done.footing, done.problem)

    def _report_strays(self, done: Round) -> None:
        """Say what somebody else had done to addresses that were in order."""
        for each in done.added:
            self._log.warning("address put back", address=str(each))
        for each in done.removed:
            self._log.warning("address removed again", address=str(each))

    def _complain(self, fault: str) -> None:
        if fault and fault != self._fault:
            self._log.error("addresses not in order", problem=fault, held=self._held)
        self._fault = fault


def _work(instance: Instance, *, held: bool, announcing: int) -> Round:
    """Do a round; in the kernel thread."""
    added: tuple[VirtualAddress, ...] = ()
    removed: tuple[VirtualAddress, ...] = ()
    fault = ""
    try:
        with IPRoute(strict_check=True) as ip:
            try:
                added, removed = settle(ip, instance, held=held)
                if held and announcing:
                    announce(_claims(ip, instance), announcing)
            except (NetlinkError, OSError) as error:
                fault = str(error)
            return Round(read_footing(ip, instance), "", added, removed, fault)
    except HostError as error:
        return Round(None, str(error), added, removed, fault)
    except (NetlinkError, OSError) as error:
        return Round(None, "", added, removed, str(error))


def _claims(ip: Any, instance: Instance) -> Iterator[Claim]:
    """Yield what is to be announced, each address on its interface.

    Where there is no ARP, as on a loopback or dummy interface, it is the instance's own
    interface that answers for the address.
    """
    addresses = placed(ip, instance)
    names = {instance.interface, *(each.interface for each in addresses)}
    links = {name: read_link(ip, name) for name in names}
    for virtual in addresses:
        for name in (virtual.interface, instance.interface):
            link = links[name]
            if link and link.speaks_arp:
                yield Claim(name, link.mac, virtual.address.ip)
                break
