"""What is balanced, and the network of the node that does it.

::

    balancer                                    router
    eth0 10.0.0.11 ──────────────── 10.0.0.1 eth0      every backend: 10.64.0.0/12

All backends are behind a router, which has the addresses of all of them: as many neighbours
on one link would need another `gc_thresh3` than this host has.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Final

import yaml

from vagrant.lab.hosts import Host, link_index

INTERFACE: Final = "eth0"
_PORT: Final = 80
_VIPS: Final = IPv4Network("10.128.0.0/16")
_BACKENDS: Final = IPv4Network("10.64.0.0/12")
_LINK: Final = IPv4Network("10.0.0.0/24")
_ROUTER: Final = 1  # in the link's network, as the next
_BALANCER: Final = 11
_CHECK_INTERVAL: Final = 1.0  # seconds


def set_up(balancer: Host, router: Host) -> None:
    """Connect both, and route."""
    with balancer.netlink() as ip:
        peer = {"ifname": INTERFACE, "net_ns_fd": router.namespace}
        ip.link("add", ifname=INTERFACE, kind="veth", peer=peer)
    for host, number in ((balancer, _BALANCER), (router, _ROUTER)):
        host.add_address(INTERFACE, IPv4Interface((_LINK[number], _LINK.prefixlen)))
    with balancer.netlink() as ip:
        ip.route("add", dst=str(_BACKENDS), gateway=str(_LINK[_ROUTER]))
    with router.netlink() as ip:  # all of these addresses are its own
        loopback = link_index(ip, "lo")
        local = {"type": "local", "scope": "host", "table": 255}
        ip.route("add", dst=str(_BACKENDS), oif=loopback, **local)
    balancer.sysctl("net.ipv4.ip_forward", 1)
    for scope in ("all", INTERFACE):
        balancer.sysctl(f"net.ipv4.conf.{scope}.rp_filter", 0)
    balancer.sysctl(f"net.ipv4.conf.{INTERFACE}.accept_local", 1)


def service_name(number: int) -> str:
    """Return the name of a service, by number from 0."""
    return f"service-{number}"


def backend_name(number: int) -> str:
    """Return the name of a backend of a service, by number from 0."""
    return f"backend-{number}"


def services(count: int, backends: int, verdicts: Path | None, checked: int) -> list[Any]:
    """Return ``count`` services of so many backends each, as the file has them.

    No two backends have the same address. The first ``checked`` services have a health
    check that reads ``verdicts``, a directory with a file for each address.
    """
    check = {
        "type": "file",
        "path": f"{verdicts}/{{address}}",
        "interval": _CHECK_INTERVAL,
        "rise": 1,
        "fall": 1,
    }
    return [
        {
            "name": service_name(number),
            "vip": str(_VIPS[number]),
            "port": _PORT,
            "mode": "nat",
            "checks": [check] if number < checked else [],
            "backends": [
                {"name": backend_name(each), "address": str(address_of(number, each))}
                for each in range(backends)
            ],
        }
        for number in range(count)
    ]


def address_of(service: int, backend: int) -> IPv4Address:
    """Return the address of a backend, by both numbers from 0; 256 fit in a service."""
    return _BACKENDS[256 * service + backend]


def vip_of(service: int) -> IPv4Address:
    """Return the VIP of a service."""
    return _VIPS[service]


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file the way an operator would, in YAML."""
    path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper), encoding="utf-8")
