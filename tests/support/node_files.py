"""What both daemons' files say of a node that serves one VIP and moves it, and no more."""

from ipaddress import IPv4Address
from typing import Any, Final

from vagrant.lab.topology import VIP

INSTANCE: Final = {
    "name": "front",
    "interface": "eth0",
    "vrid": 51,
    "interval": 0.1,
    "addresses": [f"{VIP}/32"],
    "track": ["xdp"],
}
VRRPD: Final = {
    "checks": [{"name": "xdp", "type": "guidewayd", "backends": False}],
    "instances": [INSTANCE],
}


def web(backend: IPv4Address, **more: object) -> dict[str, Any]:
    """Return a service of guidewayd's file; ``more``: what it says besides, or instead."""
    service = {"name": "web", "vip": str(VIP), "port": 80, "mode": "dr"}
    return {**service, "backends": [{"address": str(backend)}], **more}


def guidewayd(*services: dict[str, Any]) -> dict[str, Any]:
    """Return guidewayd's file, with limits that take little memory."""
    return {
        "interfaces": ["eth0"],
        "hash_seed": 7,
        "limits": {"services": 16, "backends": 64, "slots": 65536, "records": 1024},
        "services": services,
    }
