"""What an instance hears: which of it counts, and what is said of the rest."""

from collections import Counter
from typing import Final

from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from vrrp.admission import Datagram
from vrrp.errors import Fault, MalformedError, Oddity
from vrrp.instance import Instance
from vrrp.machine import OWNER_PRIORITY
from vrrp.packet import Advertisement, IpAddress

_log: Final[FilteringBoundLogger] = get_logger()
_COMPLAIN_EVERY: Final = 60.0  # seconds; a neighbour's mistake comes with every packet


class Hearing:
    """Admits advertisements of peers; counts what is discarded, and what is odd."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._admission = instance.admission
        self.discarded: Counter[Fault] = Counter()
        self.noticed: Counter[Oddity] = Counter()
        self._complain_at: dict[Fault | Oddity, float] = {}  # not before
        self._log = _log.bind(instance=instance.name)

    def adopt(self, instance: Instance) -> None:
        """Go by ``instance`` from now on."""
        self._instance = instance
        self._admission = instance.admission

    def admit(self, datagram: Datagram, own: IpAddress, now: float) -> Advertisement | None:
        """Return what ``datagram`` advertises, None if it is not for us or no good.

        ``own`` is the address from which we send.
        """
        try:
            heard = self._admission.admit(datagram, own)
        except MalformedError as error:
            self.discard(error, datagram.source, now)
            return None
        self._notice(heard, datagram.source, now)
        return heard

    def discard(self, error: MalformedError, source: IpAddress | None, now: float) -> None:
        """Count a packet, and say why, once a minute for each kind."""
        fault = error.fault
        self.discarded[fault] += 1
        # Other virtual routers share the LAN lawfully.
        if fault is Fault.VRID or not self._may_complain(fault, now):
            return
        say = self._log.error if fault is Fault.INTERVAL else self._log.warning
        say(
            "advertisement discarded",
            kind=fault,
            source=str(source) if source else None,
            reason=str(error),
        )

    def _notice(self, heard: Advertisement, source: IpAddress, now: float) -> None:
        """Count what is odd about an advertisement, and say so likewise."""
        ours = self._instance.router
        odd = {
            Oddity.ADDRESSES: {*heard.addresses} != {*ours.addresses},
            Oddity.OWNER: heard.priority == ours.priority == OWNER_PRIORITY,
        }
        for oddity in (each for each, is_so in odd.items() if is_so):
            self.noticed[oddity] += 1
            if self._may_complain(oddity, now):
                self._log.warning(
                    "advertisement odd",
                    kind=oddity,
                    source=str(source),
                    reason=oddity.reason,
                    **_facts(heard),
                )

    def _may_complain(self, kind: Fault | Oddity, now: float) -> bool:
        if now < self._complain_at.get(kind, float("-inf")):
            return False
        self._complain_at[kind] = now + _COMPLAIN_EVERY
        return True


def _facts(heard: Advertisement) -> dict[str, object]:
    addresses = [str(address) for address in heard.addresses]
    return {"priority": heard.priority, "addresses": addresses}
