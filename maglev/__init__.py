"""Consistent hashing: Maglev tables. Arithmetic only, and nothing of load balancers.

``build`` makes the table of the Maglev paper with weights; ``overlay`` gives the slots of
backends that are down to the others and moves nothing else.
"""

from maglev.overlay import overlay
from maglev.table import build, default_size

__all__ = ["build", "default_size", "overlay"]
