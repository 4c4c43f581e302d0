"""The VRRP message as bytes.

Invariant: whatever bytes arrive, ``parse`` either returns an advertisement or raises
MalformedError, never any other error.
"""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.vrrp import VRRPv3

from vrrp.errors import MalformedError
from vrrp.packet import GROUP, PROTOCOL, TTL, Advertisement, parse

ROUTER = IPv4Address("192.168.200.2")
VIRTUAL = IPv4Address("192.168.200.16")
KNOWN = Advertisement(vrid=51, priority=100, interval=1.0, addresses=(VIRTUAL,))
KNOWN_BYTES = bytes.fromhex("3133640100647873c0a8c810")
KNOWN_BYTES_WITHOUT_PSEUDO_HEADER = bytes.fromhex("313364010064e1adc0a8c810")

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
advertisements = st.builds(
    Advertisement,
    vrid=st.integers(1, 255),
    priority=st.integers(0, 255),
    interval=st.integers(1, 4095).map(lambda centiseconds: centiseconds / 100),
    addresses=st.lists(addresses, min_size=1, max_size=255).map(tuple),
)


def heard(data: bytes, ttl: int = TTL) -> Advertisement:
    return parse(data, ROUTER, GROUP, ttl)


def checksummed(data: bytes) -> bytes:
    """Put right the checksum of a message that is wrong otherwise."""
    pseudo = (
        ROUTER.packed + GROUP.packed + bytes([0, PROTOCOL]) + len(data).to_bytes(2, "big")
    )
    words = pseudo + data[:6] + b"\0\0" + data[8:]
    words += b"\0" * (len(words) % 2)
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    total = total % 0xFFFF or 0xFFFF
    return data[:6] + (0xFFFF - total).to_bytes(2, "big") + data[8:]


def test_the_known_advertisement_has_the_known_bytes() -> None:
    assert KNOWN.pack(ROUTER, GROUP) == KNOWN_BYTES


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(KNOWN_BYTES, id="with pseudo-header"),
        pytest.param(KNOWN_BYTES_WITHOUT_PSEUDO_HEADER, id="without pseudo-header"),
    ],
)
def test_both_forms_of_the_checksum_are_accepted(data: bytes) -> None:
    assert heard(data) == KNOWN


def test_a_resignation_differs_in_priority_and_checksum_only() -> None:
    resignation = replace(KNOWN, priority=0)

    packed = resignation.pack(ROUTER, GROUP)

    assert packed == bytes.fromhex("313300010064dc73c0a8c810")
    assert heard(packed) == resignation


@given(advertisements, addresses)
def test_what_was_packed_parses_to_the_same(
    said: Advertisement, source: IPv4Address
) -> None:
    assert parse(said.pack(source, GROUP), source, GROUP, TTL) == said


@given(advertisements, addresses)
def test_scapy_packs_the_same_bytes(said: Advertisement, source: IPv4Address) -> None:
    message = VRRPv3(
        vrid=said.vrid,
        priority=said.priority,
        adv=round(said.interval * 100),
        addrlist=[str(address) for address in said.addresses],
    )
    packet = IP(src=str(source), dst=str(GROUP), ttl=TTL, proto=PROTOCOL) / message

    wanted = bytes(packet)[20:]

    # Scapy leaves the checksum 0xffff as it is; ones' complement knows two zeros.
    assert said.pack(source, GROUP)[:6] == wanted[:6]
    assert said.pack(source, GROUP)[8:] == wanted[8:]
    assert parse(wanted, source, GROUP, TTL) == said


@given(st.binary(max_size=1100), addresses, addresses, st.integers(0, 255))
def test_no_bytes_raise_anything_but_malformed_error(
    data: bytes, source: IPv4Address, destination: IPv4Address, ttl: int
) -> None:
    with suppress(MalformedError):
        parse(data, source, destination, ttl)


@given(advertisements, st.data())
def test_a_damaged_message_raises_nothing_but_malformed_error(
    said: Advertisement, data: st.DataObject
) -> None:
    damaged = bytearray(said.pack(ROUTER, GROUP))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))

    try:
        read = heard(checksummed(bytes(damaged)))
    except MalformedError:
        return
    assert read.addresses


@pytest.mark.parametrize("length", range(len(KNOWN_BYTES)))
def test_a_message_cut_short_anywhere_is_discarded(length: int) -> None:
    with pytest.raises(MalformedError, match=r"it has \d+ bytes"):
        heard(KNOWN_BYTES[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param("2133640100640000c0a8c810", "version 2 and type 1", id="version"),
        pytest.param("3233640100640000c0a8c810", "version 3 and type 2", id="type"),
        pytest.param("3100640100640000c0a8c810", "VRID is 0", id="vrid"),
        pytest.param("3133640000640000", "no address", id="count"),
        pytest.param("3133640100000000c0a8c810", "interval is 0", id="interval"),
        pytest.param("31336401f0000000c0a8c810", "interval is 0", id="reserved bits"),
        pytest.param("3133640200640000c0a8c810", "12 bytes, not 16 for 2", id="too short"),
        pytest.param("3133640100640000c0a8c81000", "13 bytes, not 12 for 1", id="too long"),
    ],
)
def test_what_must_be_discarded_is_and_says_why(data: str, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        heard(checksummed(bytes.fromhex(data)))


def test_a_wrong_checksum_is_discarded() -> None:
    with pytest.raises(MalformedError, match="checksum"):
        heard(KNOWN_BYTES[:-1] + b"\x11")


@pytest.mark.parametrize("ttl", [0, 1, 64, 254])
def test_a_packet_that_may_have_been_routed_is_discarded(ttl: int) -> None:
    with pytest.raises(MalformedError, match=f"TTL is {ttl}"):
        heard(KNOWN_BYTES, ttl)


def test_reserved_bits_are_ignored() -> None:
    assert heard(checksummed(bytes.fromhex("31336401f0640000c0a8c810"))) == KNOWN
