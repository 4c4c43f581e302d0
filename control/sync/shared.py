"""What one node tells another, as values. Pure.

Ids are each node's own, so backends are told by address and port: as *numbers*, from 1 on,
into a list of places that comes along; 0 is nobody.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from control.addresses import IpAddress
from dataplane.records import Endpoint

Place = tuple[IpAddress, int]  # address and port of a backend
Numbers = NDArray[np.uint32]

# A recorded flow: who, and which number serves it; milliseconds since it was seen.
SHARED_FLOW: Final = np.dtype(
    [
        ("client", "V16"),
        ("client_port", "V2"),
        ("port", "V2"),
        ("number", "<u4"),
        ("idle_ms", "<u4"),
    ]
)
# A flow to a NAT backend, and which VIP its client spoke to.
SHARED_REPLY: Final = np.dtype(
    [
        ("client", "V16"),
        ("backend", "V16"),
        ("vip", "V16"),
        ("client_port", "V2"),
        ("backend_port", "V2"),
        ("port", "V2"),
        ("protocol", "u1"),
        ("pad", "V1"),
        ("idle_ms", "<u4"),
    ]
)
MOST_IDLE_MS: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class SharedRing:
    """Who has the slots of a service on another node, and who had them before."""

    endpoint: Endpoint
    holds_vip: bool  # the VIP is an address of that node
    changed_ns: int  # when the ring changed, by the clock of whoever has this; 0: never
    places: tuple[Place, ...]
    now: Numbers  # by slot; none: nobody can serve
    before: Numbers  # by slot; RECORDS_ONLY as in abi.h


@dataclass(frozen=True, slots=True, eq=False)
class SharedFlows:
    """Recorded flows of a service."""

    endpoint: Endpoint
    places: tuple[Place, ...]
    flows: NDArray[np.void]  # of SHARED_FLOW


@dataclass(frozen=True, slots=True, eq=False)
class SharedReplies:
    """Whose the replies to flows are, of services of any number."""

    flows: NDArray[np.void]  # of SHARED_REPLY


@dataclass(frozen=True, slots=True)
class Gone:
    """A service is not balanced any more."""

    endpoint: Endpoint


Told = SharedRing | SharedFlows | SharedReplies | Gone
