"""What other processes may do to our bpffs and our maps."""

import os
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.chaos.topology import BYSTANDER
from control.model import Service
from dataplane import libbpf
from dataplane.abi import PROGRAM
from dataplane.maps import Maps
from dataplane.plan import Delete
from dataplane.records import Endpoint

_OLD_ABI: Final = "1-0123456789abcdef"  # the directory of a release of long ago
_OLD_PINS: Final = (PROGRAM, "slots", "sessions")  # the last one is unknown today


def delete_service(generation: Path, service: Service) -> None:
    """Delete the entry of ``service`` in the maps of a running data plane."""
    if service.name != BYSTANDER:  # whose packets went to the host then, by right
        raise ValueError(service.name)
    with closing(Maps(generation)) as maps:
        maps.apply([Delete("services", _key(service))])


def has_service(generation: Path, service: Service) -> bool:
    """Tell whether the maps have an entry of ``service``."""
    with closing(Maps(generation)) as maps:
        return _key(service) in maps.read().services


def leave_old_pins(pins: Path, generation: Path) -> Path:
    """Pin what a release of long ago would have left there, and return its directory."""
    old = pins / _OLD_ABI
    old.mkdir()
    for name in _OLD_PINS:
        source = generation / (name if name != "sessions" else "records")
        descriptor = libbpf.get(source)
        try:
            libbpf.pin(descriptor, old / name)
        finally:
            os.close(descriptor)
    return old


def _key(service: Service) -> Endpoint:
    return Endpoint(service.vip, service.port, service.protocol.number)
