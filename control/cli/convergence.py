"""Waiting until a version of the desired state is what the node does."""

import time
from collections.abc import Collection
from typing import Final

from control.api.v1 import guideway_pb2 as pb
from control.cli.client import Client, Failure

_CONVERGES_WITHIN: Final = 30.0  # seconds
_POLL_INTERVAL: Final = 0.1  # seconds


def wait_for(client: Client, version: int, services: Collection[str]) -> None:
    """Wait until the kernel has ``version``, all health is known and who is up serves.

    Raise Failure after half a minute, or at once if there is nothing to wait for, or if
    then nobody serves one of ``services`` that has backends.
    """
    deadline = time.monotonic() + _CONVERGES_WITHIN
    while missing := _missing(client, version):
        if time.monotonic() > deadline:
            raise Failure(
                f"version {version} is stored, but after {_CONVERGES_WITHIN:g} s "
                f"{missing}: `guideway status` and `guideway backend list` say more"
            )
        time.sleep(_POLL_INTERVAL)
    answer = client.call(lambda stub: stub.ListServices, pb.ListServicesRequest())
    for status in answer.services:
        wanted = [backend for backend in status.backends if _is_wanted(backend)]
        if status.service.name in services and wanted and not status.ring_size:
            name = wanted[0].backend.name
            raise Failure(
                f"version {version} is in the kernel, but nobody serves "
                f"{status.service.name}: {name}: {wanted[0].reason}"
            )


def _missing(client: Client, version: int) -> str:
    """Say what is not as ``version`` wants it; "" if everything is."""
    node = client.call(lambda stub: stub.GetStatus, pb.GetStatusRequest()).node
    if node.detached:
        raise Failure(
            f"version {version} is stored, but there is no kernel to wait for: the data "
            "plane is detached; `guideway dataplane reload` attaches it, and fills it with "
            "this version"
        )
    if node.applied_version < version:
        return f"the kernel has version {node.applied_version}"
    answer = client.call(lambda stub: stub.ListServices, pb.ListServicesRequest())
    waits = [
        f"{status.service.name}/{backend.backend.name}: {reason}"
        for status in answer.services
        for backend in status.backends
        if (reason := _lack(backend))
    ]
    more = f", and {len(waits) - 1} more" if len(waits) > 1 else ""
    return f"not all backends serve: {waits[0]}{more}" if waits else ""


def _lack(status: pb.BackendStatus) -> str:
    """Say what keeps a backend from serving that nothing is known against; "": nothing."""
    if status.health == pb.HEALTH_UNKNOWN:
        return "its health is not known"
    if status.health == pb.HEALTH_DOWN or status.share or not _is_wanted(status):
        return ""
    return status.reason


def _is_wanted(status: pb.BackendStatus) -> bool:
    """Tell whether a backend is meant to get new flows."""
    has_dynamic = status.HasField("dynamic_weight")
    weight = status.dynamic_weight if has_dynamic else status.backend.weight
    return bool(weight) and status.backend.state == pb.BACKEND_STATE_ACTIVE
