"""What guidewayd and guideway-vrrpd of a node are told: their files, as plain values."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from control.check_schema import from_check
from control.document import pool_document
from control.model import Backend, Service
from vagrant.lab.hosts import PROJECT
from vagrant.lab.topology import Topology

INSTANCE: Final = "lab"  # of VRRP, over IPv4; that of IPv6 is another
_IPV6_INSTANCE: Final = "lab6"
_VRID: Final = 51
_AILING: Final = 110  # what a node without backends loses: more than the nodes differ by
# Seconds: a dead node is noticed within 0.4 s. An emulated machine is busy with that alone.
_INTERVAL: Final = float(os.environ.get("GUIDEWAY_LAB_INTERVAL", "0.1"))
_HASH_SEED: Final = 0x67756964  # whatever it is, all nodes have it
# Small maps are made faster; this is plenty for a lab.
_LIMITS: Final = {"services": 64, "backends": 256, "slots": 262_144}


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where a node's files are: all in its own directory."""

    directory: Path
    bpffs: Path  # a directory of one

    @property
    def guidewayd_file(self) -> Path:
        """The configuration of guidewayd."""
        return self.directory / "guideway.yaml"

    @property
    def vrrpd_file(self) -> Path:
        """The configuration of guideway-vrrpd."""
        return self.directory / "vrrp.yaml"

    @property
    def socket(self) -> Path:
        """Where the API answers."""
        return self.directory / "guidewayd.sock"

    @property
    def beacon(self) -> Path:
        """Where guidewayd says whether it can serve."""
        return self.directory / "guidewayd.json"

    @property
    def state_directory(self) -> Path:
        """Where guidewayd keeps what has to survive it."""
        return self.directory / "state"

    @property
    def vrrp_status(self) -> Path:
        """Where guideway-vrrpd says what it is."""
        return self.directory / "vrrp.json"

    def pins(self, node: str) -> Path:
        """Return the directory in which the node ``node`` pins."""
        return self.bpffs / "guideway" / node


def guidewayd_file(
    node: str, topology: type[Topology], services: Iterable[Service], paths: NodePaths
) -> dict[str, Any]:
    """Return the file of guidewayd on the node ``node``."""
    return {
        "interfaces": list(topology.interfaces),
        "instance": node,
        "bpffs": str(paths.bpffs),
        "state_directory": str(paths.state_directory),
        "cache_directory": str(PROJECT / ".cache"),  # of all labs
        "hash_seed": _HASH_SEED,
        "api": {"socket": str(paths.socket)},
        "limits": _LIMITS,
        "metrics": {"vrrp_status": str(paths.vrrp_status)},
        "services": [_service(service) for service in services],
    }


def vrrpd_file(
    node: str, topology: type[Topology], priority: int, paths: NodePaths
) -> dict[str, Any]:
    """Return the file of guideway-vrrpd on the node ``node`` with that priority.

    Over IPv4 the nodes speak by multicast, over IPv6 to each other.
    """
    common = {
        "interface": "eth0",
        "vrid": _VRID,
        "priority": priority,
        "interval": _INTERVAL,
        # Without a data plane it must not lead, without backends the other one should:
        # unless that one has none either.
        "track": ["data-plane", {"check": "backends", "weight": -_AILING}],
    }
    return {
        "status_file": str(paths.vrrp_status),
        "maintenance_file": str(paths.directory / "vrrp.maintenance"),
        "pins": str(paths.bpffs / "guideway"),
        "checks": [
            _data_plane("data-plane", paths, backends=False),
            _data_plane("backends", paths, backends=True),
        ],
        "instances": [
            {"name": INSTANCE, **common, "addresses": topology.virtual_addresses()},
            {
                "name": _IPV6_INSTANCE,
                **common,
                "addresses": topology.virtual_ipv6_addresses(),
                "peers": topology.ipv6_peers(node),
            },
        ],
        # Who has one VIP has the other: what its peers know of flows is on one node.
        "sync_groups": [{"name": "both", "instances": [INSTANCE, _IPV6_INSTANCE]}],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file the way an operator would, in YAML."""
    text = yaml.safe_dump(content, sort_keys=False)
    path.write_text(text, encoding="utf-8")


def _data_plane(name: str, paths: NodePaths, *, backends: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": "guidewayd",
        "status_file": str(paths.beacon),
        "interval": _INTERVAL,
        "backends": backends,
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "vip": str(service.vip),
        "protocol": service.protocol.value,
        "port": service.port,
        "mode": service.mode.value,
        "backends": [_backend(backend) for backend in service.backends],
        "checks": [msgspec.to_builtins(from_check(check)) for check in service.checks],
        **({} if service.ring_size is None else {"ring_size": service.ring_size}),
        "affinity": service.affinity.value,
        "returns": service.returns.value,
        "hash": service.hash.value,
        "pool": pool_document(service.pool, service.port),
    }


def _backend(backend: Backend) -> dict[str, Any]:
    return {
        "name": backend.name,
        "address": str(backend.address),
        "port": backend.port,
        "weight": backend.weight,
        "state": backend.state.value,
    }
