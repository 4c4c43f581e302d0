"""Small numbers for services and backends. Pure.

They are kept as long as what they name lives, and stored nowhere but in the maps: whoever
starts reads them back from there.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Self

from control.addresses import IpAddress
from dataplane.abi import NO_BACKEND_ID
from dataplane.image import Image
from dataplane.records import Endpoint
from dataplane.source import Limits


@dataclass(frozen=True, slots=True)
class BackendPlace:
    """What a backend's id stands for; it survives a change of MAC, weight or name."""

    service_id: int
    address: IpAddress
    port: int


@dataclass(frozen=True, slots=True)
class Ids:
    """Who has which number, and which ones are free.

    A number of somebody who is going is not free in the same round: packets may still hold
    it.
    """

    services: Mapping[Endpoint, int]
    backends: Mapping[BackendPlace, int]
    others: AbstractSet[int] = frozenset()  # of backends that are not to be looked at

    @classmethod
    def of(cls, image: Image) -> Self:
        """Read the numbers from the maps' contents."""
        return cls(
            {endpoint: service.id for endpoint, service in image.services.items()},
            {
                BackendPlace(one.service_id, one.address, one.port): index.number
                for index, one in image.backends.items()
            },
        )

    def within(self, limits: Limits) -> Self:
        """Return those that maps of these sizes can have: they may be of larger ones."""
        return type(self)(
            {key: n for key, n in self.services.items() if n < limits.services},
            {place: n for place, n in self.backends.items() if n < limits.backends},
            self.others,
        )

    def free_services(self, limits: Limits) -> Iterator[int]:
        """Yield the ids that new services may have."""
        return _free(0, limits.services, set(self.services.values()))

    def free_backends(self, limits: Limits) -> Iterator[int]:
        """Yield the ids that new backends may have."""
        taken = {*self.backends.values(), *self.others}
        return _free(NO_BACKEND_ID + 1, limits.backends, taken)


def _free(first: int, limit: int, taken: AbstractSet[int]) -> Iterator[int]:
    return (number for number in range(first, limit) if number not in taken)
