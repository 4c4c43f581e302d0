"""What leaves and enters besides the message itself: ARP frames and IP headers."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, IPOption
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from vrrp.admission import Datagram
from vrrp.announce import gratuitous_arp, unsolicited_advertisement
from vrrp.errors import MalformedError
from vrrp.packet import PROTOCOL
from vrrp.transport import dissect

macs = st.binary(min_size=6, max_size=6)
addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
ADDRESSED = {"src": "10.0.0.1", "dst": "224.0.0.18", "ttl": 255, "proto": PROTOCOL}
SENT = IP(**ADDRESSED) / b"twelve bytes"
SENT_WITH_OPTIONS = IP(**ADDRESSED, options=IPOption(b"\1" * 4)) / b"twelve bytes"


@given(macs, addresses)
def test_a_gratuitous_arp_is_a_broadcast_request_for_ones_own_address(
    mac: bytes, address: IPv4Address
) -> None:
    everybody = "ff:ff:ff:ff:ff:ff"
    sender = mac.hex(":")
    wanted = Ether(src=sender, dst=everybody) / ARP(
        op="who-has", hwsrc=sender, psrc=str(address), hwdst=everybody, pdst=str(address)
    )

    assert gratuitous_arp(mac, address) == bytes(wanted)


@given(macs, st.integers(1, 2**128 - 1).map(IPv6Address))
def test_an_unsolicited_advertisement_overrides_and_speaks_as_a_router(
    mac: bytes, address: IPv6Address
) -> None:
    to_all = Ether(src=mac.hex(":"), dst="33:33:00:00:00:01")
    ip = IPv6(src=str(address), dst="ff02::1", hlim=255)
    said = ICMPv6ND_NA(tgt=str(address), R=1, S=0, O=1)
    wanted = to_all / ip / said / ICMPv6NDOptDstLLAddr(lladdr=mac.hex(":"))

    assert unsolicited_advertisement(mac, address) == bytes(wanted)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(bytes(SENT), id="plain"),
        pytest.param(bytes(SENT) + b"\0" * 14, id="padded to an Ethernet minimum"),
        pytest.param(bytes(SENT_WITH_OPTIONS), id="with options"),
    ],
)
def test_a_datagram_comes_apart_without_options_and_padding(packet: bytes) -> None:
    wanted = Datagram(
        IPv4Address("10.0.0.1"), IPv4Address("224.0.0.18"), 255, b"twelve bytes"
    )

    assert dissect(packet) == wanted


@pytest.mark.parametrize("length", range(len(bytes(SENT))))
def test_a_datagram_cut_short_anywhere_is_malformed(length: int) -> None:
    with pytest.raises(MalformedError):
        dissect(bytes(SENT)[:length])


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_malformed_error(packet: bytes) -> None:
    with suppress(MalformedError):
        dissect(packet)
