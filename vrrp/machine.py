"""The VRRP state machine, RFC 9568 section 6.4. No sockets, no clock, no tasks.

The caller passes in what happened and the time at which it happened, carries out the
effects that come back, in order, and calls :meth:`VirtualRouter.tick` again no later than
:attr:`VirtualRouter.deadline`. Times are seconds on one monotonic clock; only the wire
counts in centiseconds.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Final

from vrrp.packet import Advertisement

OWNER_PRIORITY: Final = 255
RESIGN_PRIORITY: Final = 0

# Switches learn from an announcement where the addresses are now. Some miss the first: a
# port has only just come up, or the former Active's own announcement arrives after ours.
ANNOUNCE_AGAIN: Final = 5.0  # seconds
# A neighbour that keeps losing against us must not make us flood the LAN.
ANNOUNCE_GAP: Final = 1.0  # seconds


class State(StrEnum):
    """RFC 9568, section 6.3."""

    INITIALIZE = "initialize"
    BACKUP = "backup"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True)
class Send:
    """Send an advertisement, now."""

    advertisement: Advertisement


@dataclass(frozen=True, slots=True)
class Take:
    """Put the virtual addresses on this host, and keep them there."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the neighbours and the switches that the addresses are here."""


@dataclass(frozen=True, slots=True)
class Release:
    """Take the virtual addresses off this host, and keep them off."""


Effect = Send | Take | Announce | Release


@dataclass(frozen=True, slots=True)
class Config:
    """What the operator says about a virtual router."""

    vrid: int  # 1…255
    addresses: tuple[IPv4Address, ...]  # as advertised, 1…255 of them
    priority: int = 100  # 1…255; 255 owns the addresses
    interval: float = 1.0  # seconds, 0.01…40.95
    preempt: bool = (
        True  # take over from an Active with a lower priority; the owner always does
    )


class VirtualRouter:
    """One virtual router on one interface."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.state = State.INITIALIZE
        self.active: IPv4Address | None = None  # the Active's address, ours included
        self._address = IPv4Address(0)
        self._active_interval = config.interval  # learned from the Active
        self._timer: float | None = None  # next advertisement, or the Active is down
        self._announcements: tuple[float, ...] = ()  # when, earliest first
        self._announced = float("-inf")

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` has to be called; None: nothing is awaited."""
        timer = () if self._timer is None else (self._timer,)
        return min(timer + self._announcements, default=None)

    @property
    def skew(self) -> float:
        """Skew_Time in seconds: the higher the priority, the sooner we take over."""
        return (256 - self.config.priority) * self._active_interval / 256

    @property
    def down_interval(self) -> float:
        """Active_Down_Interval in seconds: after such a silence the Active is gone."""
        return 3 * self._active_interval + self.skew

    def start(self, address: IPv4Address, now: float) -> list[Effect]:
        """Begin on an interface whose primary address is ``address``; section 6.4.1.

        Only in INITIALIZE. Only the owner becomes Active without listening first.
        """
        self._address = address
        self._active_interval = self.config.interval
        if self.config.priority == OWNER_PRIORITY:
            return self._become_active(now)
        self._become_backup(now)
        return []

    def stop(self) -> list[Effect]:
        """Go back to INITIALIZE; an Active resigns, so that nobody has to time out."""
        was = self.state
        self.state = State.INITIALIZE
        self.active = self._timer = None
        self._announcements = ()
        if was is State.ACTIVE:
            return [self._advertise(RESIGN_PRIORITY), Release()]
        return []

    def tick(self, now: float) -> list[Effect]:
        """Act on the timers that are due; harmless if none is."""
        effects: list[Effect] = []
        if self._timer is not None and now >= self._timer:
            if self.state is State.BACKUP:
                return self._become_active(now)
            self._timer = self._next_after(self._timer, now)
            effects.append(self._advertise())
        later = tuple(at for at in self._announcements if at > now)
        if later != self._announcements:
            self._announcements = later
            self._announced = now
            effects.append(Announce())
        return effects

    def receive(
        self, heard: Advertisement, source: IPv4Address, now: float
    ) -> list[Effect]:
        """Act on another router's advertisement; sections 6.4.2 and 6.4.3."""
        # One that bears our own address was reflected, or comes from a misconfigured clone.
        # To answer a clone would be to talk to it without a pause, for ever.
        if heard.vrid != self.config.vrid or source == self._address:
            return []
        match self.state:
            case State.BACKUP:
                self._receive_as_backup(heard, source, now)
                return []
            case State.ACTIVE:
                return self._receive_as_active(heard, source, now)
            case State.INITIALIZE:
                return []

    def _receive_as_backup(
        self, heard: Advertisement, source: IPv4Address, now: float
    ) -> None:
        if heard.priority == RESIGN_PRIORITY:
            self.active = None
            self._timer = now + self.skew
            return
        self.active = source
        preempts = self.config.preempt or self.config.priority == OWNER_PRIORITY
        if heard.priority >= self.config.priority or not preempts:
            self._active_interval = heard.interval
            self._timer = now + self.down_interval
        # Else the timer runs on, and when it ends we take over from the lower priority.

    def _receive_as_active(
        self, heard: Advertisement, source: IPv4Address, now: float
    ) -> list[Effect]:
        if heard.priority == RESIGN_PRIORITY:
            self._timer = now + self.config.interval
            return [self._advertise()]
        if (heard.priority, source) > (self.config.priority, self._address):
            self._active_interval = heard.interval
            self._become_backup(now)
            self.active = source
            return [Release()]
        # It loses: tell it so at once, and repair what the switches learned from it. The
        # timer runs on.
        return [self._advertise(), *self._announce(now)]

    def _become_active(self, now: float) -> list[Effect]:
        self.state = State.ACTIVE
        self.active = self._address
        self._timer = now + self.config.interval
        self._announced = float("-inf")
        return [self._advertise(), Take(), *self._announce(now)]

    def _become_backup(self, now: float) -> None:
        self.state = State.BACKUP
        self.active = None
        self._timer = now + self.down_interval
        self._announcements = ()

    def _announce(self, now: float) -> list[Effect]:
        """Announce now and once more later; if we just did, wait until the gap is over."""
        gap_ends = self._announced + ANNOUNCE_GAP
        if now < gap_ends:
            self._announcements = tuple(sorted({gap_ends, *self._announcements}))
            return []
        self._announced = now
        self._announcements = (now + ANNOUNCE_AGAIN,)
        return [Announce()]

    def _advertise(self, priority: int | None = None) -> Send:
        config = self.config
        spoken = config.priority if priority is None else priority
        return Send(Advertisement(config.vrid, spoken, config.interval, config.addresses))

    def _next_after(self, due: float, now: float) -> float:
        """Keep the beat, so that lateness does not add up; never catch up in a burst."""
        following = due + self.config.interval
        return following if following > now else now + self.config.interval
