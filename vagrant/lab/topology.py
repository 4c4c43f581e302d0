"""The two networks that guideway is tried in: direct return, and address translation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import ClassVar, Final, Self

from control.addresses import IpAddress
from control.checks import AnyCheck, TcpCheck
from control.model import Backend, Mode, Protocol, Service
from vagrant.lab.hosts import Host, create
from vagrant.lab.segment import Segment, ipv6_of

FRONT: Final = IPv4Network("10.0.0.0/24")
BACK: Final = IPv4Network("10.20.0.0/24")
VIP: Final = IPv4Address("10.0.0.100")
GATEWAY: Final = IPv4Address("10.20.0.1")  # the backends' way out in NAT
CLIENT: Final = FRONT[10]
_BALANCERS: Final = {"lb1": 11, "lb2": 12}  # host part of the address
_BACKENDS: Final = {"b1": 21, "b2": 22, "b3": 23}
_LINK_LOCAL: Final = "fe80::33/64"  # which VRRP over IPv6 advertises first
_NAT_PORTS: Final = 8000  # a NAT backend serves port 80 at 8080
# Finds a backend that refuses connections within 0.4 s. It is patient with a silent one:
# that may be a machine with much to do at the moment, for the lab is all on one.
FAST_CHECK: Final = TcpCheck(interval=0.2, timeout=1, rise=2, fall=2)


@dataclass(frozen=True)
class Topology(ABC):
    """Hosts and the segments between them, addressed and up; nothing runs on them yet."""

    mode: ClassVar[Mode]
    interfaces: ClassVar[tuple[str, ...]]  # of a balancer, to run XDP on
    backend_network: ClassVar[IPv4Network]

    client: Host
    balancers: dict[str, Host]
    backends: dict[str, Host]
    segments: tuple[Segment, ...]  # a balancer has a leg in each

    @classmethod
    @abstractmethod
    def create(cls, prefix: str, cleanup: ExitStack) -> Self:
        """Create the hosts and connect them; ``cleanup`` will remove them."""

    @classmethod
    @abstractmethod
    def virtual_addresses(cls) -> list[str | dict[str, str]]:
        """Return what VRRP moves together over IPv4, as guideway-vrrpd's file says it."""

    @classmethod
    def virtual_ipv6_addresses(cls) -> list[str | dict[str, str]]:
        """Return what it moves over IPv6: what goes with those, after a link-local one."""
        return [_LINK_LOCAL, *map(_ipv6_entry, cls.virtual_addresses())]

    @classmethod
    def backend_address(cls, name: str) -> IPv4Address:
        """Return the address of the backend ``name``."""
        return cls.backend_network[_BACKENDS[name]]

    @classmethod
    def balancer_addresses(cls, name: str) -> dict[str, IPv4Address]:
        """Return the own address of each interface of the balancer ``name``."""
        networks = (FRONT, BACK)
        return {
            i: net[_BALANCERS[name]]
            for i, net in zip(cls.interfaces, networks, strict=False)
        }

    @classmethod
    def ipv6_peers(cls, name: str) -> list[str]:
        """Return the IPv6 addresses of the balancers other than ``name``."""
        others = (part for other, part in _BALANCERS.items() if other != name)
        return [str(ipv6_of(FRONT[part])) for part in others]

    @classmethod
    def service(
        cls,
        name: str = "web",
        port: int = 80,
        protocol: Protocol = Protocol.TCP,
        *,
        weights: Sequence[int] = (3, 2, 1),
        check: AnyCheck | None = FAST_CHECK,
        ipv6: bool = False,
    ) -> Service:
        """Return a service of the VIP with b1, b2 … as its backends, one for each weight.

        In NAT the backends serve it at another port than clients ask for: 80 at 8080.
        """

        def reached(address: IPv4Address) -> IpAddress:
            return ipv6_of(address) if ipv6 else address

        inner = port + _NAT_PORTS if cls.mode is Mode.NAT else port
        backends = tuple(
            Backend(backend, reached(cls.backend_address(backend)), inner, weight)
            for backend, weight in zip(_BACKENDS, weights, strict=False)
        )
        checks = () if check is None else (check,)
        return Service(name, reached(VIP), protocol, port, cls.mode, backends, checks)

    def unplug(self, balancer: Host) -> None:
        """Pull all cables of a balancer."""
        for segment in self.segments:
            segment.unplug(balancer)

    def plug(self, balancer: Host) -> None:
        """Put all cables of a balancer back."""
        for segment in self.segments:
            segment.plug(balancer)


class DrTopology(Topology):
    """Direct return: backends have the VIP too, and answer clients themselves.

    ::

        client .10   lb1 .11   lb2 .12   b1 .21   b2 .22   b3 .23
            │           │         │        │        │        │    VIP on lo, not
            │eth0       │eth0     │eth0    │eth0    │eth0    │eth0  announced by ARP
            └───────────┴─────────┴──┬─────┴────────┴────────┘
                                  switch
               10.0.0.0/24, VIP 10.0.0.100 on the Active balancer
               2001:db8::/64, VIP 2001:db8::100 likewise
    """

    mode = Mode.DR
    interfaces = ("eth0",)
    backend_network = FRONT

    @classmethod
    def create(cls, prefix: str, cleanup: ExitStack) -> Self:
        """Create the hosts and connect them; ``cleanup`` will remove them."""
        segment = Segment.create("switch", FRONT, prefix, cleanup)
        client = create("client", prefix, cleanup)
        segment.connect(client, "eth0", CLIENT)
        balancers = {name: create(name, prefix, cleanup) for name in _BALANCERS}
        for name, host in balancers.items():
            segment.connect_balancer(host, "eth0", cls.balancer_addresses(name)["eth0"])
        backends = {name: create(name, prefix, cleanup) for name in _BACKENDS}
        for name, host in backends.items():
            segment.connect(host, "eth0", cls.backend_address(name))
            hold_vip_silently(host)
        return cls(client, balancers, backends, (segment,))

    @classmethod
    def virtual_addresses(cls) -> list[str | dict[str, str]]:
        """Return what VRRP moves together: the VIP."""
        return [f"{VIP}/32"]


class NatTopology(Topology):
    """Address translation: backends live behind the balancers and know nothing of the VIP.

    ::

              client .10
                 │eth0
        ─────────┴──┬───────────┬───── front: 10.0.0.0/24, VIP 10.0.0.100
                    │eth0 .11   │eth0 .12     2001:db8::/64, VIP 2001:db8::100
                   lb1         lb2        the Active has the VIP and 10.20.0.1,
                    │eth1 .11   │eth1 .12     over IPv6 2001:db8:20::1
        ────┬───────┴┬────────┬─┴───── back: 10.20.0.0/24, 2001:db8:20::/64
            │eth0    │eth0    │eth0
          b1 .21   b2 .22   b3 .23        default routes via 10.20.0.1 and ::1
    """

    mode = Mode.NAT
    interfaces = ("eth0", "eth1")
    backend_network = BACK

    @classmethod
    def create(cls, prefix: str, cleanup: ExitStack) -> Self:
        """Create the hosts and connect them; ``cleanup`` will remove them."""
        front = Segment.create("front", FRONT, prefix, cleanup)
        back = Segment.create("back", BACK, prefix, cleanup)
        client = create("client", prefix, cleanup)
        front.connect(client, "eth0", CLIENT)
        balancers = {name: create(name, prefix, cleanup) for name in _BALANCERS}
        for name, host in balancers.items():
            own = cls.balancer_addresses(name)
            front.connect_balancer(host, "eth0", own["eth0"])
            back.connect_balancer(host, "eth1", own["eth1"])
            route_replies(host)
        backends = {name: create(name, prefix, cleanup) for name in _BACKENDS}
        for name, host in backends.items():
            back.connect(host, "eth0", cls.backend_address(name))
            host.default_route(GATEWAY)
            host.default_route(ipv6_of(GATEWAY))
        return cls(client, balancers, backends, (front, back))

    @classmethod
    def virtual_addresses(cls) -> list[str | dict[str, str]]:
        """Return what VRRP moves together: the VIP, and the backends' gateway."""
        inner = f"{GATEWAY}/{BACK.prefixlen}"
        return [f"{VIP}/32", {"address": inner, "interface": "eth1"}]


def _ipv6_entry(entry: str | dict[str, str]) -> str | dict[str, str]:
    """Return the IPv6 address that goes with one that VRRP moves, said likewise."""
    if isinstance(entry, dict):
        return {**entry, "address": f"{ipv6_of(IPv4Interface(entry['address']).ip)}/64"}
    return f"{ipv6_of(IPv4Interface(entry).ip)}/128"


def hold_vip_silently(backend: Host) -> None:
    """Let ``backend`` accept packets to the VIP, but never say that it has it.

    Neighbour discovery needs no such order: it tells only of the interface that was asked.
    """
    for interface in ("all", "eth0"):
        backend.sysctl(f"net.ipv4.conf.{interface}.arp_ignore", 1)
        backend.sysctl(f"net.ipv4.conf.{interface}.arp_announce", 2)
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))
    backend.add_address("lo", IPv6Interface(f"{ipv6_of(VIP)}/128"))


def hold_ipv6_vip(balancer: Host) -> None:
    """Give ``balancer`` the IPv6 VIP for good, where no guideway-vrrpd moves it.

    Deprecated, it is never the source of what the balancer says itself: health checks from
    the VIP would be answered to the backend's own loopback.
    """
    address = ("address", "add", f"{ipv6_of(VIP)}/128", "dev", "eth0")
    balancer.run("ip", *address, "nodad", "preferred_lft", "0")


def route_replies(balancer: Host) -> None:
    """Let the kernel route what XDP leaves to it on the way back.

    That is a translated reply whose next hop has no known MAC yet. Its source, the VIP, is
    an address of the balancer itself: a router drops such packets unless told otherwise.
    """
    balancer.sysctl("net.ipv4.ip_forward", 1)
    balancer.sysctl("net.ipv4.conf.all.rp_filter", 0)
    balancer.sysctl("net.ipv4.conf.eth1.rp_filter", 0)
    balancer.sysctl("net.ipv4.conf.eth1.accept_local", 1)
    balancer.sysctl("net.ipv6.conf.all.forwarding", 1)
