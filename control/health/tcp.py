"""A probe by TCP: the backend accepts a connection."""

from control.health.peer import Peer
from control.health.result import PASSED, Result


async def probe(peer: Peer) -> Result:
    """Connect; raises OSError, NoResultError."""
    (await peer.connect()).close()  # nothing was sent, so there is nothing to wait for
    return PASSED
