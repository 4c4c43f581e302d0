"""A segment: one Ethernet and its networks, made of a bridge and veth pairs."""

from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
)
from typing import Final, Self

from vagrant.lab import xdp_pass
from vagrant.lab.hosts import Host, create, link_index

_BRIDGE: Final = "bridge"
_IPV6_PREFIX: Final = 64  # bits


@dataclass(frozen=True, slots=True)
class Segment:
    """A bridge in a namespace of its own; each leg has the name of the host it leads to."""

    switch: Host
    network: IPv4Network

    @classmethod
    def create(
        cls, name: str, network: IPv4Network, prefix: str, cleanup: ExitStack
    ) -> Self:
        """Create a segment without legs; ``name`` is that of its switch."""
        switch = create(name, prefix, cleanup)
        with switch.netlink() as ip:
            # Without IGMP snooping VRRP's multicast reaches every leg, as it must.
            ip.link("add", ifname=_BRIDGE, kind="bridge", br_mcast_snooping=0)
            ip.link("set", index=link_index(ip, _BRIDGE), state="up")
        return cls(switch, network)

    def connect(self, host: Host, interface: str, address: IPv4Address) -> None:
        """Give ``host`` an ``interface`` on this segment, up.

        It has ``address``, and the IPv6 address that goes with it: :func:`ipv6_of`.
        """
        with self.switch.netlink() as ip:
            ip.link(
                "add",
                ifname=host.name,
                kind="veth",
                peer={
                    "ifname": interface,
                    "address": mac_of(address),
                    "net_ns_fd": host.namespace,
                },
            )
            leg = link_index(ip, host.name)
            ip.link("set", index=leg, master=link_index(ip, _BRIDGE), state="up")
        host.add_address(interface, IPv4Interface((address, self.network.prefixlen)))
        host.add_address(interface, IPv6Interface((ipv6_of(address), _IPV6_PREFIX)))

    def connect_balancer(self, host: Host, interface: str, address: IPv4Address) -> None:
        """Connect a host that will run XDP on ``interface``."""
        self.connect(host, interface, address)
        # What the balancer sends by XDP_TX arrives only with a program at this end ...
        xdp_pass.attach(self.switch, host.name)
        # ... and what it is sent must have its checksum already, and its VLAN tag: veth
        # leaves both to the card, and the balancer forwards the frame as it is.
        for offload in ("tx", "txvlan", "tx-vlan-stag-hw-insert"):
            self.switch.run("ethtool", "-K", host.name, offload, "off")

    def unplug(self, host: Host) -> None:
        """Pull the cable of ``host``: both ends lose the carrier."""
        self._set_leg(host, "down")

    def plug(self, host: Host) -> None:
        """Put the cable of ``host`` back."""
        self._set_leg(host, "up")

    def _set_leg(self, host: Host, state: str) -> None:
        with self.switch.netlink() as ip:
            ip.link("set", index=link_index(ip, host.name), state=state)


def mac_of(address: IPv4Address) -> str:
    """Return the MAC of the interface with ``address``: readable in a packet dump.

    >>> mac_of(IPv4Address("10.0.0.11"))
    '02:00:0a:00:00:0b'
    """
    return (b"\x02\x00" + address.packed).hex(":")


def ipv6_of(address: IPv4Address) -> IPv6Address:
    """Return the IPv6 address of who has ``address``: the second and the last number.

    >>> ipv6_of(IPv4Address("10.20.0.11"))
    IPv6Address('2001:db8:20::11')
    """
    _, network, _, host = str(address).split(".")
    return IPv6Address(f"2001:db8:{network}::{host}")
