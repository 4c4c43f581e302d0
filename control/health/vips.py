"""Which backends are probed through which VIPs, and what that takes. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from control.addresses import IpAddress
from control.check_common import PortCheck, Via
from control.checks import AnyCheck
from control.desired import DesiredState
from control.facts import Network
from control.health.peer import Way
from dataplane.stand_ins import TARGETS, Prefixes, Target

Pair = tuple[IpAddress, IpAddress]  # a VIP, and a backend by its own address
_MOST: Final = TARGETS - 1  # numbers; 0 is nobody's


def is_via_vip(check: AnyCheck) -> bool:
    """Tell whether a check asks its backends through the VIP."""
    return isinstance(check, PortCheck) and check.via is Via.VIP


def pairs(desired: DesiredState) -> tuple[Pair, ...]:
    """Return who is probed through which VIP."""
    return tuple(
        dict.fromkeys(
            (service.vip, backend.address)
            for service in desired
            for backend in service.backends
            if any(is_via_vip(check) for check in service.checks_of(backend))
        )
    )


@dataclass(frozen=True, slots=True)
class StandIns:
    """The number of each pair; they keep it as long as they are wanted."""

    numbers: Mapping[Pair, int] = field(default_factory=dict)

    def following(self, wanted: Collection[Pair]) -> Self:
        """Return those of ``wanted``; for some of too many there is none."""
        kept = {pair: self.numbers[pair] for pair in wanted if pair in self.numbers}
        free = _free(frozenset(kept.values()))
        new = (pair for pair in wanted if pair not in kept)
        return type(self)(kept | dict(zip(new, free, strict=False)))

    def targets(self, network: Network) -> dict[int, Target]:
        """Return what packets to stand-ins become, of backends whose MAC is known."""
        return {
            number: Target(vip, hop.ifindex, hop.mac, hop.source_mac)
            for (vip, address), number in self.numbers.items()
            if (hop := network.next_hops.get(address)) and hop.mac
        }

    def ways(
        self,
        network: Network,
        vips: Collection[IpAddress],
        reached: Collection[int],
        prefixes: Prefixes,
    ) -> dict[Pair, Way]:
        """Return how sockets reach those whose numbers are ``reached``.

        From one of ``vips`` nobody is asked: who has it too would keep the answer.
        """
        return {
            pair: Way(
                prefixes.address(pair[0].version, number),
                None if hop.source in vips else hop.source,
            )
            for pair, number in self.numbers.items()
            if number in reached and (hop := network.next_hops.get(pair[1]))
        }


def _free(taken: frozenset[int]) -> Iterator[int]:
    return (number for number in range(1, _MOST + 1) if number not in taken)
