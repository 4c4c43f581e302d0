"""The program's counters, summed over the CPUs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from dataplane import libbpf
from dataplane.abi import REASONS, Reason, sizeof
from dataplane.maps import Maps
from dataplane.records import Counter

_FIELDS: Final = sizeof("gw_counter") // 8  # packets, bytes, flows


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


def _read(maps: Maps, name: str) -> dict[int, Counter]:
    words = np.frombuffer(maps.values(name), np.uint64)
    by_cpu = words.reshape(-1, libbpf.possible_cpus(), _FIELDS)
    totals = by_cpu.sum(axis=1)
    counted = np.flatnonzero(totals.any(axis=1))
    values = totals[counted].tolist()
    return {
        number: Counter(*one) for number, one in zip(counted.tolist(), values, strict=True)
    }
