"""The program's counters, summed over the CPUs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dataplane import libbpf
from dataplane.abi import REASONS, Reason, ffi, sizeof
from dataplane.maps import Maps
from dataplane.records import Counter

_FIELDS: Final = 3  # of struct gw_counter: packets, bytes, flows


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
    data = maps.values(name)
    entry = sizeof("gw_counter") * libbpf.possible_cpus()
    nothing = bytes(entry)
    counters = {}
    for number in range(len(data) // entry):
        one = data[number * entry : (number + 1) * entry]
        if one != nothing:
            words = ffi.unpack(ffi.cast("__u64 *", ffi.from_buffer(one)), entry // 8)
            values = (words[field::_FIELDS] for field in range(_FIELDS))
            counters[number] = Counter.total(zip(*values, strict=True))
    return counters
