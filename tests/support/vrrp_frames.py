"""Frames of a third router, made by scapy: right in every respect, or not quite."""

from ipaddress import IPv4Address

from scapy.layers.inet import IP
from scapy.layers.l2 import Ether
from scapy.layers.vrrp import VRRPv3
from scapy.packet import Packet

from vagrant.lab.segment import mac_of

ADDRESSES = ["10.0.0.100", "10.20.0.1"]


def said(priority: int = 200, source: str = "10.0.0.9", ttl: int = 255) -> Packet:
    """Return a frame of a third router that is right in every respect."""
    message = VRRPv3(vrid=51, priority=priority, adv=10, addrlist=ADDRESSES)
    return in_frame(message, source, ttl)


def in_frame(message: Packet, source: str = "10.0.0.9", ttl: int = 255) -> Packet:
    to_group = Ether(src="02:00:0a:00:00:09", dst="01:00:5e:00:00:12")
    return to_group / IP(src=source, dst="224.0.0.18", ttl=ttl, proto=112) / message


def by_unicast(priority: int = 200, source: str = "10.0.0.9") -> Packet:
    """Return what :func:`said` does, to the address of one."""
    frame = said(priority, source)
    frame[Ether].dst, frame[IP].dst = mac_of(IPv4Address("10.0.0.1")), "10.0.0.1"
    return frame
