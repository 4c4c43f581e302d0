"""Records of flows in bulk, as arrays: a million of them is a matter of a second.

:mod:`dataplane.records` has single keys and values; here the same bytes are columns.
"""

from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataplane import abi, libbpf
from dataplane.maps import Maps

# struct gw_flow; ports are as on the wire.
FLOW: Final = np.dtype(
    [("client", "V16"), ("service_id", "u4"), ("client_port", "V2"), ("port", "V2")]
)
# struct gw_record
RECORD: Final = np.dtype([("seen_ns", "u8"), ("backend_id", "u4"), ("owner", "u4")])

Flows = NDArray[np.void]  # of FLOW
Records = NDArray[np.void]  # of RECORD


def read_flows(maps: Maps, services: Collection[int]) -> tuple[Flows, Records]:
    """Return the recorded flows of the services with these ids, and their records."""
    wanted = np.fromiter(services, np.uint32, len(services))
    found: list[tuple[Any, Any]] = []
    for keys, values in libbpf.map_batches(maps.fd("records")):
        flows, records = np.frombuffer(keys, FLOW), np.frombuffer(values, RECORD)
        ours = np.isin(flows["service_id"], wanted)
        if ours.any():
            found.append((flows[ours], records[ours]))
    if not found:
        return np.empty(0, FLOW), np.empty(0, RECORD)
    return (
        np.concatenate([flows for flows, _ in found]),
        np.concatenate([records for _, records in found]),
    )


def write_flows(maps: Maps, flows: Flows, records: Records) -> None:
    """Record these flows, whatever is recorded of them."""
    if len(flows):
        count = len(flows)
        fd = maps.fd("records")
        libbpf.map_update_batch(fd, flows.tobytes(), records.tobytes(), count)


def write_newer_flows(maps: Maps, flows: Flows, records: Records, margin_ns: int) -> int:
    """Record those that are not recorded, or were seen longer ago, by ``margin_ns``.

    Returns how many that were.
    """
    fd, size, written = maps.fd("records"), abi.sizeof("gw_record"), 0
    for flow, record, seen_ns in zip(
        flows, records, records["seen_ns"].tolist(), strict=True
    ):
        key = flow.tobytes()
        known = libbpf.map_lookup(fd, key, size)
        if known and int(np.frombuffer(known, RECORD)["seen_ns"][0]) + margin_ns > seen_ns:
            continue
        libbpf.map_update(fd, key, record.tobytes())
        written += 1
    return written
