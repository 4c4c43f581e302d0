"""Rings that remember who had their slots before. Pure.

A slot whose backend changes is *in transition*: flows that were there before stay with the
backend that they have, new ones go to the new one, and the program records which are which.
After a window, whoever has no record is new; when no record is left, the slot is ordinary
again. See ``dataplane/bpf/affinity.h`` for what a packet meets.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
from numpy.typing import NDArray

from control.model import Protocol
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.image import Ring

Ids = NDArray[np.uint32]

# How long a flow may be silent and keep its backend while slots change hands, in seconds.
PATIENCE: Final = {Protocol.TCP: 900, Protocol.UDP: 30}

_NOBODY: Final = np.uint32(NO_BACKEND_ID)
_RECORDS_ONLY: Final = np.uint32(RECORDS_ONLY)


def change(old: Ring, wanted: Ids, keepers: AbstractSet[int]) -> Ring:
    """Return the ring in which slots go to the ``wanted`` ids, flows kept where possible.

    ``keepers`` are the ids of backends that may keep flows: they are up, or draining. If
    the size changes, a slot inherits from the old slot that has most of its flows.
    """
    if not old:
        return ordinary(wanted)
    if np.array_equal(owners(old), wanted) and not is_in_transition(old):
        return old
    now, before = (_resized(column, len(wanted)) for column in _columns(old))
    able = np.fromiter(keepers, np.uint32, len(keepers))
    before = np.where((before != _NOBODY) & ~np.isin(before, able), _RECORDS_ONLY, before)
    # Unrecorded flows of a slot are those of its owner, unless an older one is waited for.
    unclaimed = (before == _NOBODY) | (before == _RECORDS_ONLY)
    inherited = (now != wanted) & unclaimed & np.isin(now, able)
    before = np.where(inherited, now, before)
    # Back to whom it was before: whoever has no record is that one's, old or new.
    before = np.where(before == wanted, _RECORDS_ONLY, before)
    return _ring(wanted, before)


def close_window(ring: Ring) -> Ring:
    """Return ``ring`` with nobody waited for any more: unrecorded flows are new."""
    now, before = _columns(ring)
    return _ring(now, np.where(before == _NOBODY, _NOBODY, _RECORDS_ONLY))


def end(ring: Ring) -> Ring:
    """Return ``ring`` with all slots ordinary: no record is left that could matter."""
    return ordinary(owners(ring))


def ordinary(wanted: Ids) -> Ring:
    """Return the ring of these ids in which no slot is in transition."""
    return _ring(wanted, np.zeros_like(wanted))


def nobody(size: int) -> Ids:
    """Return the owners of ``size`` slots that no new flow goes to."""
    return np.full(size, _NOBODY)


def owners(ring: Ring) -> Ids:
    """Return the ids that new flows go to, by slot."""
    return _columns(ring)[0]


def is_in_transition(ring: Ring) -> bool:
    """Tell whether any slot consults records."""
    return bool(_columns(ring)[1].any())


def _columns(ring: Ring) -> tuple[Ids, Ids]:
    words = np.frombuffer(ring.words, np.uint32)
    return words[::2], words[1::2]


def _ring(now: Ids, before: Ids) -> Ring:
    return Ring(np.column_stack((now, before)).astype(np.uint32).tobytes())


def _resized(column: Ids, size: int) -> Ids:
    """Return who has most of each new slot's hashes, which are in the order of slots."""
    middles = (2 * np.arange(size, dtype=np.uint64) + 1) * np.uint64(len(column))
    inherited: Ids = column[middles // np.uint64(2 * size)]
    return inherited
