"""The maps of one data plane in the kernel: read back whole, written by a plan."""

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

from dataplane import abi, libbpf
from dataplane.abi import constants
from dataplane.backends import Backends
from dataplane.directory import KEY_BYTES, Directory
from dataplane.errors import PinError
from dataplane.gates import Gates
from dataplane.image import Image, Ring
from dataplane.membarrier import fence, wait_for_packets
from dataplane.plan import Delete, Put, Reset, Settle, Write
from dataplane.records import (
    Address,
    Endpoint,
    Index,
    Port,
    Prefix,
    Return,
    Segment,
    Service,
)

_SLOT_BYTES: Final = abi.sizeof("gw_slot")
_WORD_BYTES: Final = 8  # of the directory


def _vip(key: bytes) -> Address:
    return Address.unpack(key[: abi.sizeof("gw_address")])


# What stands in the directory: under which role, and how its key and value are read.
_ENDPOINTS: Final[dict[str, tuple[int, Callable[[bytes], Any], Callable[[bytes], Any]]]] = {
    "vips": (constants.GW_ROLE_VIP, _vip, Index.unpack),
    "services": (constants.GW_ROLE_SERVICE, Endpoint.unpack, Service.unpack),
    "returns": (constants.GW_ROLE_BACKEND, Endpoint.unpack, Return.unpack),
}
_SHARED: Final = (*_ENDPOINTS, "backends")
_HASHES: Final[dict[str, tuple[Callable[[bytes], Any], Callable[[bytes], Any]]]] = {
    "direct": (Prefix.unpack, Index.unpack),
    "vlans": (Segment.unpack, Port.unpack),
    "transmit_ports": (Index.unpack, Index.unpack),
}
_ARRAYS: Final[dict[str, tuple[str, Callable[[bytes], Any]]]] = {
    "ports": ("gw_port", Port.unpack),
}


def _flows(keys: bytes, values: bytes) -> Iterator[tuple[bytes, Any, Any]]:
    """Yield the key, and key and value as structs, of each record of a flow."""
    size = abi.sizeof("gw_flow")
    flows = abi.ffi.from_buffer("struct gw_flow[]", keys)
    records = abi.ffi.from_buffer("struct gw_record[]", values)
    for number in range(len(keys) // size):
        key = keys[number * size : (number + 1) * size]
        yield key, flows[number], records[number]


def _key(table: str, key: Address | Endpoint) -> bytes:
    """Return ``struct gw_endpoint`` of what stands in the directory."""
    role = _ENDPOINTS[table][0]
    return key.pack().ljust(KEY_BYTES, b"\0")[:-1] + bytes([role])


class Maps:
    """Open maps; close them when done."""

    def __init__(self, directory: Path) -> None:
        """Open what is pinned in ``directory``; PinError if it is not a data plane."""
        self._fds: dict[str, int] = {}
        self.strays = 0  # entries that nobody of us wrote and that were removed, so far
        try:
            for name in abi.MAPS:
                self._fds[name] = libbpf.get(directory / name)
            self._check_shapes(directory)
            self._words = self._map("slots", _SLOT_BYTES).cast("I")
            self._gates = Gates(self._map("gates", abi.sizeof("gw_gates")))
            self._directory = Directory(
                self._map("directory", _WORD_BYTES),
                self._map("endpoints", abi.sizeof("gw_entry")),
                wait_for_packets,
                fence,
            )
            elements = self._map("backends", abi.sizeof("gw_backend"))
            self._backends = Backends(elements, wait_for_packets, fence)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file descriptors; the kernel keeps the maps."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def fd(self, name: str) -> int:
        """Return the file descriptor of a map."""
        return self._fds[name]

    def id(self, name: str) -> int:
        """Return the kernel's number of a map."""
        return libbpf.map_id(self._fds[name])

    def shape(self, name: str) -> libbpf.MapShape:
        """Return the sizes of a map."""
        return libbpf.map_shape(self._fds[name])

    def values(self, name: str) -> bytes:
        """Return all values of a per-CPU array; see :func:`libbpf.array_read`."""
        return libbpf.array_read(self._fds[name], per_cpu=True)

    def read(self) -> Image:
        """Read everything back from the kernel.

        Entries that nobody could have written by our rules are removed on the way.
        """
        tables: dict[str, Any] = self._read_directory()
        for name in _HASHES:
            tables[name] = self._read_hash(name)
        for name in _ARRAYS:
            tables[name] = self._read_array(name)
        strays = self._backends.strays
        backends = self._backends.read()
        self.strays += self._backends.strays - strays
        tables["backends"] = {Index(number): one for number, one in backends.items()}
        services: Iterable[Service] = tables["services"].values()
        tables["rings"] = {
            service.ring_offset: self.read_ring(service.ring_offset, service.ring_size)
            for service in services
            if service.ring_size
        }
        image = Image(**tables)
        answered_for = (endpoint.address for endpoint in image.returns)
        self.strays += self._gates.become(
            chain((vip.address for vip in image.vips), answered_for)
        )
        return image

    def are_intact(self, image: Image) -> bool:
        """Tell whether they hold ``image``, which we have read or written, and no more.

        A small part of the time that :meth:`read` takes.
        """
        return (
            self._directory.is_intact
            and self._backends.is_intact
            and self._gates.is_intact
            and all(
                self.read_ring(offset, len(ring)).words == ring.words
                for offset, ring in image.rings.items()
            )
            and all(self._read_hash(name) == getattr(image, name) for name in _HASHES)
            and all(self._read_array(name) == getattr(image, name) for name in _ARRAYS)
        )

    def read_ring(self, offset: int, size: int) -> Ring:
        """Return ``size`` slots from ``offset``."""
        return Ring(self._words[2 * offset : 2 * (offset + size)].tobytes())

    def slots_used(self) -> int:
        """Return how many slots the services' rings have."""
        services = (
            Service.unpack(value)
            for key, value in self._directory.entries()
            if key[-1] == constants.GW_ROLE_SERVICE
        )
        rings = {one.ring_offset: one.ring_size for one in services if one.ring_size}
        return sum(rings.values())

    def endpoints_used(self) -> int:
        """Return how many VIPs, services and NAT backends there are."""
        return sum(1 for _ in self._directory.entries())

    def backends_used(self) -> int:
        """Return how many backends there are."""
        return sum(1 for _ in self._backends.used())

    def sweep(self, now_ns: int, idle_seconds: Mapping[int, int]) -> frozenset[int]:
        """Remove the records of flows that were silent for too long.

        ``idle_seconds`` says by service how long that is; records of other services go.
        Returns the ids of the services that have records still.
        """
        fd, live = self._fds["records"], set[int]()
        for keys, values in libbpf.map_batches(fd):
            for key, flow, record in _flows(keys, values):
                idle_ns = idle_seconds.get(flow.service_id, 0) * 1_000_000_000
                if now_ns - record.seen_ns > idle_ns:
                    libbpf.map_delete(fd, key)
                else:
                    live.add(flow.service_id)
        return frozenset(live)

    def apply(self, writes: Iterable[Write]) -> int:
        """Carry out the writes in order and return how many there were."""
        count = 0
        for write in writes:
            count += 1
            match write:
                case Put("rings", offset, ring):
                    self._words[2 * offset : 2 * (offset + len(ring))] = ring.view()
                case Delete("rings", _):
                    pass  # nobody names these slots any more; they hold no one back
                case Put(table, _, _) | Delete(table, _) if table in _SHARED:
                    self._apply_shared(write)
                case Put(table, key, value):
                    libbpf.map_update(self._fds[table], key.pack(), value.pack())
                case Delete(table, key) if table in _ARRAYS:
                    nobody = bytes(abi.sizeof(_ARRAYS[table][0]))
                    libbpf.map_update(self._fds[table], key.pack(), nobody)
                case Delete(table, key):
                    libbpf.map_delete(self._fds[table], key.pack())
                case Reset(table, index):
                    nothing = bytes(abi.sizeof("gw_counter") * libbpf.possible_cpus())
                    libbpf.map_update(self._fds[table], Index(index).pack(), nothing)
                case Settle():
                    wait_for_packets()
        return count

    def _apply_shared(self, write: Put | Delete) -> None:
        """Write where packets may be reading, without a system call."""
        match write:
            case Put("backends", index, backend):
                self._backends.put(index.number, backend)
            case Delete("backends", index):
                self._backends.remove(index.number)
            case Put(table, key, value):
                self._gates.open(key.address)
                self._directory.put(_key(table, key), value.pack())
            case Delete(table, key):
                self._directory.remove(_key(table, key))

    def _read_directory(self) -> dict[str, Any]:
        tables: dict[str, Any] = {name: {} for name in _ENDPOINTS}
        roles = {role: name for name, (role, _, _) in _ENDPOINTS.items()}
        strays = self._directory.strays
        read = self._directory.read()
        self.strays += self._directory.strays - strays
        for data, value in read.items():
            name = roles.get(data[-1], "")
            try:
                _, unpack_key, unpack_value = _ENDPOINTS[name]
                tables[name][unpack_key(data)] = unpack_value(value)
            except (KeyError, ValueError):
                self.strays += 1
                self._directory.remove(data)
        return tables

    def _read_hash(self, name: str) -> dict[Any, Any]:
        unpack_key, unpack_value = _HASHES[name]
        entries = {}
        for key, value in libbpf.map_items(self._fds[name]):
            try:
                entries[unpack_key(key)] = unpack_value(value)
            except ValueError:
                self.strays += 1
                libbpf.map_delete(self._fds[name], key)
        return entries

    def _read_array(self, name: str) -> dict[Index, Any]:
        struct, unpack = _ARRAYS[name]
        size = abi.sizeof(struct)
        data, nobody = libbpf.array_read(self._fds[name]), bytes(size)
        entries = {}
        for number in range(len(data) // size):
            value = data[number * size : (number + 1) * size]
            if value == nobody:
                continue
            try:
                entries[Index(number)] = unpack(value)
            except ValueError:
                self.strays += 1
                libbpf.map_update(self._fds[name], Index(number).pack(), nobody)
        return {index: entry for index, entry in entries.items() if entry is not None}

    def _check_shapes(self, directory: Path) -> None:
        structs = {name: struct for name, (struct, _) in _ARRAYS.items()}
        for name, struct in {**structs, "backends": "gw_backend"}.items():
            if self.shape(name).value_size != abi.sizeof(struct):
                raise PinError(str(directory / name), "is a map of another layout")

    def _map(self, name: str, element_bytes: int) -> memoryview:
        """Return an array as memory shared with the kernel."""
        length = self.shape(name).max_entries * element_bytes
        pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        return memoryview(mmap.mmap(self._fds[name], pages, mmap.MAP_SHARED))[:length]
