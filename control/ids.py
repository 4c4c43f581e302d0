"""Small numbers for services and backends. Pure.

They are kept as long as what they name lives, and stored nowhere but in the maps: whoever
starts reads them back from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Self, TypeVar

from control.addresses import IpAddress
from control.errors import HostError
from dataplane.image import Image
from dataplane.records import Endpoint

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class BackendPlace:
    """What a backend's id stands for; it survives a change of MAC, weight or name."""

    service_id: int
    address: IpAddress
    port: int


@dataclass(frozen=True, slots=True)
class Ids:
    """Who has which number."""

    services: Mapping[Endpoint, int]
    backends: Mapping[BackendPlace, int]

    @classmethod
    def of(cls, image: Image) -> Self:
        """Read the numbers from the maps' contents."""
        return cls(
            {endpoint: service.id for endpoint, service in image.services.items()},
            {
                BackendPlace(
                    backend.service_id, backend.address, backend.port
                ): index.number
                for index, backend in image.backends.items()
            },
        )


def assign(
    wanted: Iterable[Key], known: Mapping[Key, int], *, first: int, limit: int, what: str
) -> dict[Key, int]:
    """Return a number from ``first`` to ``limit - 1`` for each key, known ones unchanged.

    The number of a key that is going is not given away in the same round: packets may
    still hold it. Raises HostError if the numbers do not suffice.
    """
    taken = set(known.values())
    free = (number for number in count(first) if number not in taken)
    assigned = {}
    for key in wanted:
        number = known[key] if key in known else next(free)
        if number >= limit:
            raise HostError(f"more than {limit - first} {what}: raise `limits.{what}`")
        assigned[key] = number
    return assigned
