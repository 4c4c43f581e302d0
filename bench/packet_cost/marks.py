"""What to compare with: published or demanded figures, net nanoseconds per packet."""

from dataclasses import dataclass
from typing import Final

from bench.packet_cost.cases import MILLION, Case, Way
from bench.packet_cost.layout import Kind

KATRAN: Final = "Katran 19f08fe, on a 3.0 GHz Xeon"

# Least and most of several loads, by family, path, kind and flows.
_KATRAN: Final = {
    (4, Way.DR, Kind.ACK, 1): (79, 79),
    (4, Way.DR, Kind.ACK, MILLION): (258, 266),
    (4, Way.DR, Kind.SYN, MILLION): (105, 105),
    (4, Way.DR, Kind.UDP, 1): (100, 100),
    (4, Way.DR, Kind.UDP, MILLION): (276, 276),
    (4, Way.PASS, Kind.ACK, 1): (35, 35),
    (6, Way.DR, Kind.ACK, 1): (78, 78),
    (6, Way.DR, Kind.ACK, MILLION): (236, 252),
    (6, Way.DR, Kind.SYN, MILLION): (110, 110),
    (6, Way.DR, Kind.UDP, 1): (95, 95),
    (6, Way.DR, Kind.UDP, MILLION): (264, 264),
    (6, Way.PASS, Kind.ACK, 1): (37, 37),
}
_TARGETS: Final = {
    (4, Way.DR, Kind.ACK, 1): 32,
    (4, Way.DR, Kind.ACK, MILLION): 36,
    (4, Way.DR, Kind.SYN, MILLION): 36,
    (4, Way.DR, Kind.UDP, 1): 32,
    (4, Way.DR, Kind.UDP, MILLION): 36,
    (4, Way.PASS, Kind.ACK, 1): 18,
    (4, Way.NAT, Kind.ACK, 1): 42,
    (4, Way.RETURN, Kind.ACK, 1): 42,
    (6, Way.DR, Kind.ACK, 1): 42,
    (6, Way.DR, Kind.ACK, MILLION): 48,
    (6, Way.DR, Kind.SYN, MILLION): 48,
    (6, Way.DR, Kind.UDP, 1): 42,
    (6, Way.DR, Kind.UDP, MILLION): 48,
    (6, Way.PASS, Kind.ACK, 1): 20,
    (6, Way.NAT, Kind.ACK, 1): 52,
    (6, Way.RETURN, Kind.ACK, 1): 52,
}


@dataclass(frozen=True, slots=True)
class Marks:
    """Nanoseconds; None where there is no figure."""

    katran: tuple[int, int] | None  # least and most
    target: int | None


def marks(case: Case) -> Marks:
    """Return what the figure of ``case`` is to be compared with."""
    usual = Case(case.family, case.way, case.kind, case.flows)
    if case != usual:
        return Marks(None, None)
    key = case.family, case.way, case.kind, case.flows
    return Marks(_KATRAN.get(key), _TARGETS.get(key))
