"""Networks in which clients and backends are in VLANs, and the balancer on a trunk.

A place is an interface and the tags on it, the outer one first; none: untagged. Hosts call
their interface for a VLAN as operators do: eth0.10, or eth0.7.10 in a service VLAN.
"""

import os
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from typing import ClassVar, Final, Self

from control.model import Mode
from vagrant.lab.errors import CommandError
from vagrant.lab.hosts import Host, create
from vagrant.lab.segment import Segment, ipv6_of
from vagrant.lab.topology import BACK, CLIENT, FRONT, VIP, Topology

Place = tuple[str, tuple[str, ...]]

BALANCER: Final = {"front": FRONT[11], "back": BACK[11]}
NATIVE: Final = IPv4Network("10.99.0.0/24")  # untagged, on every trunk; nobody uses it


class VlanTopology(Topology):
    """One balancer; clients are in ``front``, backends in ``back``.

    With direct return the backends are in both, to answer clients by themselves.
    """

    backend_network = BACK
    front: ClassVar[Place]
    back: ClassVar[Place]

    @classmethod
    def create(cls, prefix: str, cleanup: ExitStack) -> Self:
        """Create the hosts and connect them; ``cleanup`` will remove them."""
        switches = {
            interface: Segment.create(f"switch{interface[-1]}", NATIVE, prefix, cleanup)
            for interface in cls.interfaces
        }

        def host(name: str, number: int, *interfaces: str) -> Host:
            made = create(name, prefix, cleanup)
            for key in ("rp_filter", "accept_local"):  # of all interfaces to come
                made.sysctl(f"net.ipv4.conf.default.{key}", int(key == "accept_local"))
            made.sysctl("net.ipv4.conf.all.rp_filter", 0)
            for interface in dict.fromkeys(interfaces):
                connect = switches[interface].connect
                if name == "lb1":
                    connect = switches[interface].connect_balancer
                connect(made, interface, NATIVE[number])
            return made

        front, back = cls.front[0], cls.back[0]
        client = host("client", 10, front)
        join(client, cls.front, CLIENT)
        balancer = host("lb1", 11, front, back)
        _make_balancer(balancer, cls.front, cls.back)
        backends = {}
        for number, name in enumerate(("b1", "b2", "b3"), 21):
            direct = cls.mode is Mode.DR
            backends[name] = one = host(name, number, back, *([front] if direct else []))
            join(one, cls.back, BACK[number])
            if direct:
                join(one, cls.front, FRONT[number])
                _hold_vip_silently(one)
            else:
                one.default_route(BALANCER["back"])
                one.default_route(ipv6_of(BALANCER["back"]))
        return cls(client, {"lb1": balancer}, backends, tuple(switches.values()))

    @classmethod
    def virtual_addresses(cls) -> list[str | dict[str, str]]:
        """Return nothing: the balancer has the VIP for good."""
        return []


def join(host: Host, place: Place, address: IPv4Address) -> str:
    """Give ``host`` addresses in a VLAN, by an interface that is made if need be."""
    name = interface_for(host, place)
    host.add_address(name, IPv4Interface(f"{address}/24"))
    host.add_address(name, IPv6Interface(f"{ipv6_of(address)}/64"))
    return name


def interface_for(host: Host, place: Place) -> str:
    """Return the interface of ``host`` for a VLAN; make it, up, if it is not there."""
    name, tags = place
    for depth, tag in enumerate(tags):
        lower, name = name, f"{name}.{tag}"
        outer = depth < len(tags) - 1
        if f" {name}@" in host.run("ip", "link"):
            continue
        kind = "802.1ad" if outer else "802.1Q"
        vlan = ("type", "vlan", "protocol", kind, "id", tag)
        host.run("ip", "link", "add", "link", lower, "name", name, *vlan)
        # A veth lets frames with one tag pass that are as long as its MTU, none with two.
        mtu = 1500 - 4 * depth
        host.run("ip", "link", "set", name, "mtu", str(mtu), "up")
    return name


def _make_balancer(host: Host, front: Place, back: Place) -> None:
    join(host, back, BALANCER["back"])
    name = join(host, front, BALANCER["front"])
    host.add_address(name, IPv4Interface(f"{VIP}/32"))
    vip = ("address", "add", f"{ipv6_of(VIP)}/128", "dev", name)
    host.run("ip", *vip, "nodad", "preferred_lft", "0")
    host.sysctl("net.ipv4.ip_forward", 1)
    host.sysctl("net.ipv6.conf.all.forwarding", 1)
    for interface in {front[0], back[0]}:
        for offload in ("rxvlan", "rx-vlan-stag-hw-parse"):
            host.run("ethtool", "-K", interface, offload, "off")


def _hold_vip_silently(backend: Host) -> None:
    """Let ``backend`` accept packets to the VIP, but never say that it has it."""
    backend.sysctl("net.ipv4.conf.all.arp_ignore", 1)
    backend.sysctl("net.ipv4.conf.all.arp_announce", 2)
    backend.add_address("lo", IPv4Interface(f"{VIP}/32"))
    backend.add_address("lo", IPv6Interface(f"{ipv6_of(VIP)}/128"))


def topology(mode: Mode, front: Place, back: Place) -> type[VlanTopology]:
    """Return the class of a network."""
    interfaces = tuple(dict.fromkeys((front[0], back[0])))
    fields = {"mode": mode, "front": front, "back": back, "interfaces": interfaces}
    return type("Made", (VlanTopology,), fields)


def missing() -> str | None:
    """Return why no interface for a VLAN can be made here; None if it can."""
    with ExitStack() as cleanup:
        host = create("probe", f"guideway-p{os.getpid()}-", cleanup)
        host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")
        host.run("ip", "link", "set", "eth0", "up")
        try:
            interface_for(host, ("eth0", ("10",)))
        except CommandError as error:
            return f"no VLANs can be made here (CONFIG_VLAN_8021Q): {error}"
    return None
