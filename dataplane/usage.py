"""How full the maps are, and what they cost: counted when somebody asks.

The bytes are those that the kernel charges for a map (``memlock`` in ``/proc/PID/fdinfo``);
before Linux 6.4 it charged an estimate that is too low for hashes.
"""

from dataclasses import dataclass
from typing import Final

from dataplane import libbpf
from dataplane.abi import MAPS
from dataplane.maps import Maps

_BATCHED: Final = (libbpf.MAP_HASH, libbpf.MAP_LRU_HASH)


@dataclass(frozen=True, slots=True)
class MapUsage:
    """One map."""

    name: str
    used: int  # entries; of an array, those that are not zero
    limit: int  # entries
    memory: int  # bytes of the kernel's memory


def read_usage(maps: Maps) -> tuple[MapUsage, ...]:
    """Return the usage of all maps; takes 0.5 s for a million entries."""
    return tuple(
        MapUsage(name, _used(maps, name), maps.shape(name).max_entries, _memory(maps, name))
        for name in MAPS
    )


def memory(maps: Maps) -> dict[str, int]:
    """Return the bytes that each map takes."""
    return {name: _memory(maps, name) for name in MAPS}


def _used(maps: Maps, name: str) -> int:
    if name == "slots":  # a ring at a time: there are millions of slots
        return maps.slots_used()
    if name == "backends":  # who went leaves traces there too
        return maps.backends_used()
    if name in ("directory", "endpoints"):  # what is gone leaves its traces there
        return maps.endpoints_used()
    fd, shape = maps.fd(name), maps.shape(name)
    if shape.kind in (libbpf.MAP_ARRAY, libbpf.MAP_PERCPU_ARRAY):
        data = libbpf.array_read(fd, per_cpu=shape.kind == libbpf.MAP_PERCPU_ARRAY)
        size = len(data) // shape.max_entries
        nothing = bytes(size)
        entries = range(0, len(data), size)
        return sum(data[start : start + size] != nothing for start in entries)
    if shape.kind in _BATCHED:
        return sum(len(keys) for keys, _ in libbpf.map_batches(fd)) // shape.key_size
    return sum(1 for _ in libbpf.map_items(fd))


def _memory(maps: Maps, name: str) -> int:
    return int(libbpf.fdinfo(maps.fd(name))["memlock"])
