"""The program's counters, summed over the CPUs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataplane import libbpf
from dataplane.abi import REASONS, Reason, sizeof
from dataplane.maps import Maps
from dataplane.records import Counter, Handshakes

_FIELDS: Final = sizeof("gw_counter") // 8  # packets, bytes, flows
_HANDSHAKE_FIELDS: Final = sizeof("gw_handshakes") // 8  # begun, repeated, completed


@dataclass(frozen=True, slots=True)
class Counters:
    """All counters at one time; ids without a packet are left out."""

    reasons: Mapping[Reason, Counter]
    services: Mapping[int, Counter]
    backends: Mapping[int, Counter]


def read(maps: Maps) -> Counters:
    """Read the counters by one batch for each map."""
    reasons = _read(maps, "reason_counters")
    return Counters(
        {reason: reasons.get(reason.number, Counter()) for reason in REASONS},
        _read(maps, "service_counters"),
        _read(maps, "backend_counters"),
    )


def handshakes(maps: Maps) -> dict[int, Handshakes]:
    """Read what was counted of handshakes, by the backend's id; never set back to 0."""
    found = _sums(maps, "handshake_counters", _HANDSHAKE_FIELDS)
    return {number: Handshakes(*one) for number, one in found}


def _read(maps: Maps, name: str) -> dict[int, Counter]:
    return {number: Counter(*one) for number, one in _sums(maps, name, _FIELDS)}


def _sums(maps: Maps, name: str, fields: int) -> Iterator[tuple[int, list[int]]]:
    """Yield the entries that are not zero, summed over the CPUs."""
    words = np.frombuffer(maps.values(name), np.uint64)
    totals = words.reshape(-1, libbpf.possible_cpus(), fields).sum(axis=1)
    counted = np.flatnonzero(totals.any(axis=1))
    return zip(counted.tolist(), totals[counted].tolist(), strict=True)
