"""What the program remembers of flows, in bulk, as arrays: a million takes a second.

:mod:`dataplane.records` has single keys and values; here the same bytes are columns. Ports
are as on the wire.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dataplane import libbpf
from dataplane.abi import constants
from dataplane.maps import Maps

# struct gw_flow
FLOW: Final = np.dtype(
    [("client", "V16"), ("service_id", "u4"), ("client_port", "V2"), ("port", "V2")]
)
# struct gw_record
RECORD: Final = np.dtype([("seen_ns", "u8"), ("backend_id", "u4"), ("owner", "u4")])
# struct gw_reply_flow
REPLY_FLOW: Final = np.dtype(
    [
        ("client", "V16"),
        ("backend", "V16"),
        ("client_port", "V2"),
        ("backend_port", "V2"),
        ("protocol", "u1"),
        ("pad", "V3"),
    ]
)
# struct gw_speaker
SPEAKER: Final = np.dtype(
    [("seen_ns", "u8"), ("vip", "V16"), ("port", "V2"), ("pad", "V6")]
)
REPLY_SECONDS: Final[int] = constants.GW_REPLY_SECONDS  # of silence, then it is forgotten

Flows = NDArray[np.void]  # of FLOW
Records = NDArray[np.void]  # of RECORD
ReplyFlows = NDArray[np.void]  # of REPLY_FLOW
Speakers = NDArray[np.void]  # of SPEAKER


@dataclass(frozen=True, slots=True)
class FlowMap:
    """A map of flows, whose values say when each was seen last."""

    name: str
    key: Any  # of both, the dtype
    value: Any


RECORDS: Final = FlowMap("records", FLOW, RECORD)
REPLIES: Final = FlowMap("replies", REPLY_FLOW, SPEAKER)


def read_flows(maps: Maps, services: Collection[int]) -> tuple[Flows, Records]:
    """Return the recorded flows of the services with these ids, and their records."""
    wanted = np.fromiter(services, np.uint32, len(services))
    return _read(maps, RECORDS, lambda flows: np.isin(flows["service_id"], wanted))


def read_replies(maps: Maps) -> tuple[ReplyFlows, Speakers]:
    """Return all flows to NAT backends that are written down, and whom each speaks to."""
    return _read(maps, REPLIES, lambda flows: np.ones(len(flows), np.bool_))


def _read(maps: Maps, of: FlowMap, chosen: Callable[[Any], Any]) -> tuple[Any, Any]:
    found: list[tuple[Any, Any]] = []
    for keys, values in libbpf.map_batches(maps.fd(of.name)):
        flows, facts = np.frombuffer(keys, of.key), np.frombuffer(values, of.value)
        ours = chosen(flows)
        if ours.any():
            found.append((flows[ours], facts[ours]))
    if not found:
        return np.empty(0, of.key), np.empty(0, of.value)
    return (
        np.concatenate([flows for flows, _ in found]),
        np.concatenate([facts for _, facts in found]),
    )


def write(maps: Maps, of: FlowMap, flows: Any, facts: Any) -> None:
    """Write these flows down, whatever is known of them."""
    if len(flows):
        fd = maps.fd(of.name)
        libbpf.map_update_batch(fd, flows.tobytes(), facts.tobytes(), len(flows))


def write_newer(maps: Maps, of: FlowMap, flows: Any, facts: Any, margin_ns: int) -> None:
    """Write down those that are not known, or were seen longer ago, by ``margin_ns``."""
    fd, size = maps.fd(of.name), of.value.itemsize
    for flow, fact, seen_ns in zip(flows, facts, facts["seen_ns"].tolist(), strict=True):
        key = flow.tobytes()
        known = libbpf.map_lookup(fd, key, size)
        if known and _seen(known, of) + margin_ns > seen_ns:
            continue
        libbpf.map_update(fd, key, fact.tobytes())


def _seen(value: bytes, of: FlowMap) -> int:
    return int(np.frombuffer(value, of.value)["seen_ns"][0])
