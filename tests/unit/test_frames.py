"""Headers of packets, and their bytes."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from dataplane import frames
from dataplane.frames import ACK, SYN, Headers
from dataplane.records import SERVICE_VLAN, VLAN, Tag

MACS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
V4 = ip_address("192.0.2.10"), ip_address("198.51.100.1")
V6 = ip_address("2001:db8::10"), ip_address("2001:db8:f::1")
macs = st.binary(min_size=6, max_size=6)
ports = st.integers(0, 65535)
tags = st.builds(Tag, st.integers(1, 4094), st.sampled_from([VLAN, SERVICE_VLAN]))
HEADERS = st.sampled_from([4, 6]).flatmap(
    lambda version: st.builds(
        Headers,
        macs,
        macs,
        st.lists(tags, max_size=2).map(tuple),
        st.ip_addresses(v=version),
        st.ip_addresses(v=version),
        st.integers(0, 255),
        st.sampled_from([frames.TCP, frames.UDP]),
        ports,
        ports,
    )
)


@given(HEADERS, st.sampled_from([SYN, ACK]))
def test_the_headers_of_a_frame_are_those_that_it_was_made_of(
    headers: Headers, flags: int
) -> None:
    assert Headers.of(headers.frame(flags)) == headers


@pytest.mark.parametrize(("ends", "header"), [(V4, IP), (V6, IPv6)], ids=["IPv4", "IPv6"])
def test_a_frame_is_what_others_take_it_for(ends, header) -> None:
    headers = Headers(*MACS, (), *ends, 64, frames.TCP, 40000, 80)
    ether = Ether(src=MACS[0], dst=MACS[1])
    way = {"ttl": 64, "id": 0} if header is IP else {"hlim": 64}
    ip = header(src=str(ends[0]), dst=str(ends[1]), **way)
    tcp = TCP(sport=40000, dport=80, flags="S", window=65535)
    stacked = (Tag(7, SERVICE_VLAN), Tag(10))

    assert Ether(headers.frame(SYN)) == cleared(ether / ip / tcp)
    assert Ether(replace(headers, tags=stacked, protocol=17).frame()) == cleared(
        ether / Dot1AD(vlan=7) / Dot1Q(vlan=10) / ip / UDP(sport=40000, dport=80)
    )


def cleared(packet):
    """Return the packet as it is on the wire, but for its checksums, which are 0."""
    for layer in (IP, TCP, UDP):
        if layer in packet:
            packet[layer].chksum = 0
    return Ether(bytes(packet))
