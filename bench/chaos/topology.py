"""The network: one balancer that serves by direct return and by translation, both families.

::

      client .10    lb1 .11    d1 .31   d2 .32   d3 .33       direct return
         │eth0        │eth0      │eth0    │eth0    │eth0
    ─────┴────────────┼──────────┴────────┴────────┴────  front: 10.0.0.0/24, 2001:db8::/64
                      │eth1 .11
    ──────────────────┼──────────┬────────┬────────┬────  back: 10.20.0.0/24, …:20::/64
                                 │eth0    │eth0    │eth0
                               n1 .31   n2 .32   n3 .33       translation

d3 and n3 are at hand; they serve only while somebody has added them.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Final, Self

from control.addresses import IpAddress
from control.checks import TcpCheck
from control.model import Backend, Mode, Protocol, Service
from vagrant.lab.hosts import Host, create
from vagrant.lab.segment import Segment, ipv6_of
from vagrant.lab.topology import (
    BACK,
    CLIENT,
    FRONT,
    GATEWAY,
    VIP,
    NatTopology,
    hold_ipv6_vip,
    hold_vip_silently,
    route_replies,
)

_HOST_PART: Final = 30  # of the address of a backend; its number comes on top
_PORTS: Final = {Mode.DR: 80, Mode.NAT: 81}  # what clients ask for
_INNER: Final = {Mode.DR: 80, Mode.NAT: 8081}  # what backends serve
_LETTERS: Final = {Mode.DR: "d", Mode.NAT: "n"}
_NETWORKS: Final = {Mode.DR: FRONT, Mode.NAT: BACK}
# Patient: what a busy machine makes slow is not dead.
_CHECK: Final = TcpCheck(interval=0.5, timeout=2, rise=1, fall=3)
BASE: Final = (1, 2)  # numbers of the backends that serve from the beginning
SPARE: Final = 3
PORTS: Final = tuple(_INNER.values())  # of every backend's server
BYSTANDER: Final = "bystander"
_BYSTANDERS_PORT: Final = 99


@dataclass(frozen=True, slots=True)
class Way:
    """A way that packets take: a mode, and a family of addresses."""

    mode: Mode
    version: int  # 4 or 6

    def __str__(self) -> str:
        return f"{self.mode.value}{self.version}"

    @property
    def vip(self) -> IpAddress:
        """What clients ask."""
        return VIP if self.version == VIP.version else ipv6_of(VIP)

    @property
    def port(self) -> int:
        """What clients ask for, by TCP and by UDP."""
        return _PORTS[self.mode]

    def backend(self, number: int) -> Backend:
        """Return a backend of this way's services."""
        address = _NETWORKS[self.mode][_HOST_PART + number]
        reached = address if self.version == address.version else ipv6_of(address)
        return Backend(f"{_LETTERS[self.mode]}{number}", reached, _INNER[self.mode])

    def service(self, protocol: Protocol) -> Service:
        """Return this way's service of ``protocol``, the spare backend not in it."""
        return Service(
            f"{self}-{protocol.value}",
            self.vip,
            protocol,
            self.port,
            self.mode,
            tuple(map(self.backend, BASE)),
            (_CHECK,),
        )


WAYS: Final = tuple(Way(mode, version) for version in (4, 6) for mode in Mode)


def services() -> tuple[Service, ...]:
    """Return all services: two of each way, and one that nobody asks for anything."""
    backend = Way(Mode.DR, 4).backend(1)
    bystander = Service(
        BYSTANDER,
        VIP,
        Protocol.TCP,
        _BYSTANDERS_PORT,
        Mode.DR,
        (Backend(backend.name, backend.address, _BYSTANDERS_PORT),),
        checks=(),
    )
    return (*(way.service(each) for way in WAYS for each in Protocol), bystander)


class MixedTopology(NatTopology):
    """The picture above; its names and interfaces are those of the lab for translation."""

    @classmethod
    def create(cls, prefix: str, cleanup: ExitStack) -> Self:
        """Create the hosts and connect them; ``cleanup`` will remove them."""
        front = Segment.create("front", FRONT, prefix, cleanup)
        back = Segment.create("back", BACK, prefix, cleanup)
        client = create("client", prefix, cleanup)
        front.connect(client, "eth0", CLIENT)
        balancer = create("lb1", prefix, cleanup)
        own = cls.balancer_addresses("lb1")
        front.connect_balancer(balancer, "eth0", own["eth0"])
        back.connect_balancer(balancer, "eth1", own["eth1"])
        balancer.add_address("eth0", IPv4Interface(f"{VIP}/32"))
        balancer.add_address("eth1", IPv4Interface((GATEWAY, BACK.prefixlen)))
        route_replies(balancer)
        hold_ipv6_vip(balancer)
        backends: dict[str, Host] = {}
        for number in (*BASE, SPARE):
            direct = _connect(front, Mode.DR, number, prefix, cleanup)
            hold_vip_silently(direct)
            translated = _connect(back, Mode.NAT, number, prefix, cleanup)
            translated.default_route(GATEWAY)
            translated.default_route(ipv6_of(own["eth1"]))
            backends |= {host.name: host for host in (direct, translated)}
        return cls(client, {"lb1": balancer}, backends, (front, back))


def _connect(
    segment: Segment, mode: Mode, number: int, prefix: str, cleanup: ExitStack
) -> Host:
    backend = Way(mode, 4).backend(number)
    assert isinstance(backend.address, IPv4Address)  # noqa: S101 - we asked for version 4
    host = create(backend.name, prefix, cleanup)
    segment.connect(host, "eth0", backend.address)
    return host
