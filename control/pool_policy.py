"""What a service does when backends fail: quorum, sorry server, and their like. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from control.addresses import IpAddress, parse_address, split_port, with_port

SORRY: Final = "sorry"  # what the sorry server is called among backends
MAX_SLOW_START: Final = 3600  # seconds
MAX_QUORUM: Final = 2**32 - 1
_PORT: Final = re.compile("[0-9]{1,5}")


class WhenAllDown(StrEnum):
    """Who serves when every backend fails its checks."""

    SORRY = "sorry"  # the sorry server; without one, nobody
    NONE = "none"  # nobody: packets are dropped
    ALL = "all"  # all that can be reached: rather that the checks are wrong
    LAST_KNOWN = "last_known"  # who served last, as the kernel's tables have it


@dataclass(frozen=True, slots=True)
class SorryServer:
    """Where flows go while a service has no quorum."""

    address: IpAddress
    port: int

    def __str__(self) -> str:
        return with_port(self.address, self.port)

    @classmethod
    def parse(cls, text: str, port: int) -> Self:
        """Return the server that ``text`` is, ADDRESS[:PORT]; raise ValueError.

        ``port`` is the one if it names none.
        """
        address, own = split_port(text)
        if own is not None and not _PORT.fullmatch(own):
            raise ValueError(f"{own!r} is no port: it is ADDRESS or ADDRESS:PORT")
        return cls(parse_address(address), port if own is None else int(own))


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """How a service treats its backends as a whole; by default each serves by itself."""

    quorum: int = 1  # weight of backends that are up, 1…2³²-1
    hysteresis: int = 0  # below `quorum`
    sorry_server: SorryServer | None = None
    when_all_down: WhenAllDown = WhenAllDown.SORRY
    keep_flows: bool = False  # flows of a backend that fails stay with it; new ones do not
    slow_start: float = 0.0  # seconds from coming up to the whole weight, up to 3600
    max_ejected: float = 1.0  # of the backends, what checks may take out at a time, 0…1
    watch_handshakes: bool = False  # who answers far fewer than the others is suspected

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield each field that is wrong in itself, and why."""
        if not 1 <= self.quorum <= MAX_QUORUM:
            yield "quorum", f"quorum {self.quorum} is not in 1…{MAX_QUORUM}"
        if not 0 <= self.hysteresis < max(self.quorum, 1):
            problem = (
                f"hysteresis {self.hysteresis} is not in 0…{self.quorum - 1}: it has to be "
                "below the quorum, which could not be lost otherwise"
            )
            yield "hysteresis", problem
        if not 0 <= self.slow_start <= MAX_SLOW_START:
            most = f"0…{MAX_SLOW_START} seconds"
            yield "slow_start", f"slow_start {self.slow_start:g} is not in {most}"
        if not 0 <= self.max_ejected <= 1:
            yield "max_ejected", f"max_ejected {self.max_ejected:g} is not in 0…1"
        if self.sorry_server and self.when_all_down is WhenAllDown.NONE:
            yield (
                "when_all_down",
                "when_all_down: none contradicts the sorry server: leave one of them out",
            )


EACH_BY_ITSELF: Final = PoolPolicy()
