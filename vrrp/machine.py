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

from vrrp.packet import CLASSIC, CURRENT, Advertisement, IpAddress

OWNER_PRIORITY: Final = 255
RESIGN_PRIORITY: Final = 0

# A neighbour that keeps losing against us must not make us flood the LAN.
ANNOUNCE_GAP: Final = 1.0  # seconds
# Nor must it make us answer more often than it takes to hear us.
ANSWER_GAP: Final = 0.01  # seconds, or half an interval if that is less
_SHORTEST_SKEW: Final = 2 / 256  # of priority 254, in intervals
# A peer that heard us resign speaks after its skew, which is less than one interval.
_HAND_OVER: Final = 2  # intervals
# Who says that he has the addresses has them a moment later, when his kernel has let him.
_OVERLAP: Final = 0.2  # seconds
_NEVER: Final = float("inf")
_SILENCE: Final = "nobody was heard to be Active"
_OWNS: Final = "it owns the addresses"


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

    repeat: int  # frames for each address


@dataclass(frozen=True, slots=True)
class Release:
    """Take the virtual addresses off this host, and keep them off."""

    after: float = 0.0  # seconds, unless they are taken before


Effect = Send | Take | Announce | Release


@dataclass(frozen=True, slots=True)
class Announcements:
    """How often neighbours and switches are told; keepalived's ``garp_master_…``.

    Switches learn from an announcement where the addresses are now. Some miss the first: a
    port has only just come up, or the former Active's own announcement arrives after ours.
    """

    repeat: int = 5  # frames at a time: they get lost, and nobody confirms them
    delay: float = 5.0  # seconds until they are all sent once more; 0: they are not
    refresh: float = 0.0  # seconds between announcements while all is quiet; 0: none
    refresh_repeat: int = 1


@dataclass(frozen=True, slots=True)
class Config:
    """What the operator says about a virtual router."""

    vrid: int  # 1…255
    addresses: tuple[IpAddress, ...]  # as advertised, 1…255 of them
    priority: int = 100  # 1…255; 255 owns the addresses
    interval: float = 1.0  # seconds, 0.01…40.95; in version 2 1…255
    preempt: bool = (
        True  # take over from an Active with a lower priority; the owner always does
    )
    preempt_delay: float = 0.0  # seconds for which such an Active is left alone
    down_adverts: int = 3  # advertisements that may get lost, 1…100
    version: int = CURRENT
    announcements: Announcements = Announcements()


class VirtualRouter:
    """One virtual router on one interface."""

    def __init__(self, config: Config, *, together: bool = False) -> None:
        """``together``: it only wants to become Active, and waits for :meth:`lead`."""
        self.config = config
        self._together = together
        self.wants = False
        self.state = State.INITIALIZE
        self.priority = config.priority  # what tracking makes of it; may be changed
        self.active: IpAddress | None = None  # the Active's address, ours included
        self.address: IpAddress = IPv4Address(0)  # from which we advertise
        self._active_interval = config.interval  # learned from the Active
        self._timer: float | None = None  # next advertisement, or the Active is down
        self._spoke = 0.0  # when we advertised last ...
        self._promised = config.interval  # ... and when we said we would again, at most
        self._preempt_at: float | None = None  # when an inferior Active has had its time
        self._announcements: tuple[float, ...] = ()  # when, earliest first
        self._announced = float("-inf")
        self._refresh = _NEVER
        self._resumes_at: float | None = None  # if nobody takes over from us until then
        self.stands_back = False  # it has handed over, and leaves an inferior Active alone
        self.fenced = 0  # how often it let go since it had been silent for too long
        self.handed_over = 0  # how often a peer took over since it was asked to
        self.reason = ""  # why it came to its state, for people
        self._why_next = _SILENCE  # why it will be Active when its timer runs out

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` has to be called; None: nothing is awaited."""
        awaited = [*self._announcements, self._refresh]
        if self._timer is not None:
            awaited.append(self._timer)
        first = min(awaited)
        return None if first == _NEVER else first

    @property
    def hands_over(self) -> bool:
        """Whether it is still Active, and waits for somebody to take over."""
        return self._resumes_at is not None

    @property
    def skew(self) -> float:
        """Skew_Time in seconds: the higher the priority, the sooner we take over."""
        unit = 1.0 if self.config.version == CLASSIC else self._active_interval
        return (256 - self.priority) * unit / 256

    @property
    def down_interval(self) -> float:
        """Active_Down_Interval in seconds: after such a silence the Active is gone."""
        return self.config.down_adverts * self._active_interval + self.skew

    def start(self, address: IpAddress, now: float) -> list[Effect]:
        """Begin on an interface whose own address is ``address``; section 6.4.1.

        Only in INITIALIZE. Only the owner becomes Active without listening first.
        """
        self.address = address
        self._active_interval = self.config.interval
        if self.priority != OWNER_PRIORITY:
            self._become_backup(now, "it takes part")
            return []
        if not self._together:
            self._why_next = _OWNS
            return self._become_active(now)
        self._become_backup(now, "it takes part")
        self._why_next = _OWNS
        self._want()
        return []

    def stop(self) -> list[Effect]:
        """Go back to INITIALIZE; an Active resigns, so that nobody has to time out."""
        was = self.state
        self.state = State.INITIALIZE
        self.reason = ""
        self.active = self._timer = self._resumes_at = None
        self.wants = self.stands_back = False
        self._hush()
        if was is State.ACTIVE:
            return [self._advertise(RESIGN_PRIORITY), Release()]
        return []

    def lead(self, now: float) -> list[Effect]:
        """Become Active, as it wants to: all others of its group are ready too."""
        return self._become_active(now)

    def follow(self, now: float, why: str) -> list[Effect]:
        """Resign as Active, since another of its group had to yield."""
        self.stands_back = self.hands_over
        self.handed_over += self.hands_over
        self._become_backup(now, why)
        return [self._advertise(RESIGN_PRIORITY), self._release()]

    def hand_over(self, now: float) -> list[Effect]:
        """Resign, but keep the addresses until a peer has them.

        So no packet finds nobody, while that one waits for its skew, says that it is Active
        and then for its kernel: they stay for a moment after that. An Active only; if
        nobody has taken over after two intervals, it goes on as if nothing had been. Else
        it stands back: it leaves that peer alone, whatever their priorities, until that
        one goes.
        """
        self._spoke, self._promised = now, self.config.interval
        self._resumes_at = self._timer = now + _HAND_OVER * self._promised
        self._hush()
        return [self._advertise(RESIGN_PRIORITY)]

    def tick(self, now: float) -> list[Effect]:
        """Act on the timers that are due; harmless if none is."""
        effects = self._yield_if_late(now)
        if self._timer is not None and now >= self._timer:
            if self.state is State.BACKUP and self._together:
                if self._why_next == _SILENCE:
                    self.active = None
                self._want()
                return effects
            if self.state is State.BACKUP:
                return effects + self._become_active(now)
            self._timer = self._next_after(self._timer, now)
            self._resumes_at = None
            effects.append(self._speak(now))
        return effects + self._announce_what_is_due(now)

    def receive(
        self,
        heard: Advertisement,
        source: IpAddress,
        now: float,
        arrived: float | None = None,
    ) -> list[Effect]:
        """Act on another router's advertisement; sections 6.4.2 and 6.4.3.

        It may have ``arrived`` before now, if we had no time for it; None: it has not. A
        Backup goes by that: what was said long ago does not say that somebody is alive.
        """
        # One that bears our own address was reflected, or comes from a misconfigured clone.
        # To answer a clone would be to talk to it without a pause, for ever.
        if heard.vrid != self.config.vrid or source == self.address:
            return []
        effects = self._yield_if_late(now)
        match self.state:
            case State.BACKUP:
                self._receive_as_backup(heard, source, now if arrived is None else arrived)
            case State.ACTIVE:
                effects += self._receive_as_active(heard, source, now)
            case State.INITIALIZE:
                pass
        return effects

    def _receive_as_backup(
        self, heard: Advertisement, source: IpAddress, arrived: float
    ) -> None:
        if heard.priority == RESIGN_PRIORITY:
            self.active = None
            if not self.wants:
                self._timer = arrived + self.skew
                self._why_next = f"{source} resigned"
            return
        self.active = source
        if heard.priority >= self.priority:
            self._preempt_at = None
        elif self._preempts(arrived):
            self._why_next = f"{source} has a lower priority, {heard.priority}"
            return  # the timer runs on, and when it ends we take over
        self._active_interval = heard.interval
        self._timer = arrived + self.down_interval
        self._why_next = _SILENCE
        self.wants = False

    def _preempts(self, now: float) -> bool:
        """Whether an Active of lower priority is to be relieved by us now."""
        if self.stands_back:
            return False
        if self.priority == OWNER_PRIORITY:
            return True
        if not self.config.preempt:
            return False
        if self._preempt_at is None:
            self._preempt_at = now + self.config.preempt_delay
        return now >= self._preempt_at

    def _receive_as_active(
        self, heard: Advertisement, source: IpAddress, now: float
    ) -> list[Effect]:
        handed_over = self.hands_over
        if heard.priority == RESIGN_PRIORITY:
            return [] if handed_over else self._answer(now, self._next_after(now, now))
        superior = (heard.priority, source.packed) > (self.priority, self.address.packed)
        if superior or handed_over:
            self._active_interval = heard.interval
            self.handed_over += handed_over
            why = f"handed over to {source}" if handed_over else _superior(heard, source)
            self._become_backup(now, why)
            self.active = source
            self.stands_back = handed_over
            return [self._release()]
        # It loses: tell it so at once, and repair what the switches learned from it. The
        # timer runs on.
        return [*self._answer(now, self._timer), *self._announce(now)]

    def _answer(self, now: float, timer: float | None) -> list[Effect]:
        """Advertise, unless we have just done so, and go on at ``timer``."""
        if now - self._spoke < min(ANSWER_GAP, self.config.interval / 2):
            return []
        self._timer = timer
        return [self._speak(now)]

    def _yield_if_late(self, now: float) -> list[Effect]:
        """Let the addresses go if we were silent for so long that a peer may have them.

        For the peer of the highest priority we are down then. Whether there is one, one
        interval of listening will tell: an Active speaks in it.
        """
        config = self.config
        unit = 1.0 if config.version == CLASSIC else self._promised
        adverts = config.down_adverts
        if self.hands_over:  # which it was silent for
            adverts = max(adverts, _HAND_OVER + 1)
        peers_wait = adverts * self._promised + _SHORTEST_SKEW * unit
        if self.state is not State.ACTIVE or now - self._spoke < peers_wait:
            return []
        self.fenced += 1
        self._active_interval = config.interval
        self._become_backup(
            now, f"it was itself late: silent for {now - self._spoke:.3f} s"
        )
        self._timer = now + config.interval + self.skew
        return [Release()]

    def _want(self) -> None:
        self.wants = True
        self._timer = None

    def _become_active(self, now: float) -> list[Effect]:
        self.state = State.ACTIVE
        self.reason = self._why_next
        self.wants = self.stands_back = False
        self.active = self.address
        self._timer = now + self.config.interval
        self._announced = float("-inf")
        if self.config.announcements.refresh:
            self._refresh = now + self.config.announcements.refresh
        return [self._speak(now), Take(), *self._announce(now)]

    def _become_backup(self, now: float, why: str) -> None:
        self.state = State.BACKUP
        self.reason, self._why_next = why, _SILENCE
        self.wants = False
        self.active = self._resumes_at = None
        self._timer = now + self.down_interval
        self._preempt_at = None
        self._hush()

    def _announce(self, now: float) -> list[Effect]:
        """Announce now and once more later; if we just did, wait until the gap is over."""
        gap_ends = self._announced + ANNOUNCE_GAP
        if now < gap_ends:
            self._announcements = tuple(sorted({gap_ends, *self._announcements}))
            return []
        self._announced = now
        how = self.config.announcements
        self._announcements = (now + how.delay,) if how.delay else ()
        return [Announce(how.repeat)]

    def _announce_what_is_due(self, now: float) -> list[Effect]:
        how = self.config.announcements
        later = tuple(at for at in self._announcements if at > now)
        due, self._announcements = later != self._announcements, later
        repeat = how.repeat if due else how.refresh_repeat
        if now >= self._refresh:
            self._refresh = now + how.refresh
            due = True
        if not due:
            return []
        self._announced = now
        return [Announce(repeat)]

    def _release(self) -> Release:
        """Let go of what was taken over: at once, unless that was agreed."""
        return Release(_OVERLAP if self.stands_back else 0.0)

    def _hush(self) -> None:
        """Announce nothing any more."""
        self._announcements = ()
        self._refresh = _NEVER

    def _speak(self, now: float) -> Send:
        self._spoke, self._promised = now, self.config.interval
        return self._advertise()

    def _advertise(self, priority: int | None = None) -> Send:
        config = self.config
        spoken = self.priority if priority is None else priority
        return Send(Advertisement(config.vrid, spoken, config.interval, config.addresses))

    def _next_after(self, due: float, now: float) -> float:
        """Keep the beat, so that lateness does not add up; never catch up in a burst."""
        following = due + self.config.interval
        return following if following > now else now + self.config.interval


def _superior(heard: Advertisement, source: IpAddress) -> str:
    return f"{source} is superior, with priority {heard.priority}"
