"""Consistent hashing: Maglev tables. Arithmetic only, and nothing of load balancers.

``build`` makes the table of the Maglev paper with exact weights; ``Overlay`` gives the
slots of backends that are down to the others and moves nothing else. ``Permutations`` are
what both need of the backends' identities, ``transition`` says what changes from a table to
the next, ``shares`` and ``disruption`` how good a table is. ``python -m maglev`` answers
what-if questions.
"""

from maglev.compare import Disruption, Shares, disruption, shares
from maglev.overlay import Overlay, overlay
from maglev.table import NOBODY, Permutations, Table, build, default_size
from maglev.transition import Transition, transition

__all__ = [
    "NOBODY",
    "Disruption",
    "Overlay",
    "Permutations",
    "Shares",
    "Table",
    "Transition",
    "build",
    "default_size",
    "disruption",
    "overlay",
    "shares",
    "transition",
]
