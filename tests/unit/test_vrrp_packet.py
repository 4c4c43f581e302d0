"""The VRRP message as bytes.

Invariant: whatever bytes arrive, ``parse`` either returns an advertisement or raises
MalformedError, never any other error.
"""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.vrrp import VRRP, VRRPv3

from vrrp.errors import Fault, MalformedError
from vrrp.packet import GROUP, GROUP6, PROTOCOL, TTL, Advertisement, Dialect

ROUTER = IPv4Address("192.168.200.2")
VIRTUAL = IPv4Address("192.168.200.16")
KNOWN = Advertisement(vrid=51, priority=100, interval=1.0, addresses=(VIRTUAL,))
V3 = Dialect()
PLAIN = Dialect(pseudo_header=False)
V3_BYTES = bytes.fromhex("3133640100647873c0a8c810")
PLAIN_BYTES = bytes.fromhex("313364010064e1adc0a8c810")

V2 = Dialect(version=2)
V2_PASSWORD = Dialect(version=2, password=b"1111")
V2_BYTES = bytes.fromhex("213364010001f210c0a8c8100000000000000000")
V2_PASSWORD_BYTES = bytes.fromhex("2133640101018eaec0a8c8103131313100000000")

ROUTER6 = IPv6Address("fe80::1")
V6 = Dialect(family=6)
KNOWN6 = replace(
    KNOWN,
    addresses=(IPv6Address("fe80::200:5eff:fe00:233"), IPv6Address("2001:db8::10")),
)
V6_BYTES = bytes.fromhex(
    "313364020064deb9fe8000000000000002005efffe00023320010db8000000000000000000000010"
)

DIALECTS = (V3, PLAIN, V2, V2_PASSWORD, V6)
ids = st.integers(1, 255)
priorities = st.integers(0, 255)
v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)


@st.composite
def spoken(draw: st.DrawFn) -> tuple[Dialect, Advertisement]:
    """A dialect, and what can be said in it."""
    dialect = draw(st.sampled_from(DIALECTS))
    address = v4 if dialect.family == 4 else v6
    interval = st.integers(1, 255) if dialect.version == 2 else st.integers(1, 4095)
    unit = 1 if dialect.version == 2 else 100
    said = Advertisement(
        draw(ids),
        draw(priorities),
        draw(interval) / unit,
        tuple(draw(st.lists(address, min_size=1, max_size=255))),
    )
    return dialect, said


def source_and_group(dialect: Dialect) -> tuple[IPv4Address | IPv6Address, ...]:
    return (ROUTER, GROUP) if dialect.family == 4 else (ROUTER6, GROUP6)


def packed(dialect: Dialect, said: Advertisement) -> bytes:
    return dialect.pack(said, *source_and_group(dialect))


def heard(data: bytes, dialect: Dialect = V3) -> Advertisement:
    return dialect.parse(data, *source_and_group(dialect))


def checksummed(data: bytes) -> bytes:
    """Put right the checksum of a message that is wrong otherwise."""
    words = data[:6] + b"\0\0" + data[8:]
    words += b"\0" * (len(words) % 2)
    total = sum(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
    total = total % 0xFFFF or 0xFFFF
    return data[:6] + (0xFFFF - total).to_bytes(2, "big") + data[8:]


@pytest.mark.parametrize(
    ("dialect", "said", "data"),
    [
        pytest.param(V3, KNOWN, V3_BYTES, id="version 3"),
        pytest.param(PLAIN, KNOWN, PLAIN_BYTES, id="version 3, no pseudo-header"),
        pytest.param(V2, KNOWN, V2_BYTES, id="version 2"),
        pytest.param(V2_PASSWORD, KNOWN, V2_PASSWORD_BYTES, id="version 2 with password"),
        pytest.param(V6, KNOWN6, V6_BYTES, id="IPv6"),
        pytest.param(
            V3,
            replace(KNOWN, priority=0),
            bytes.fromhex("313300010064dc73c0a8c810"),
            id="resignation",
        ),
        pytest.param(
            V2_PASSWORD,
            replace(KNOWN, priority=0),
            bytes.fromhex("213300010101f2aec0a8c8103131313100000000"),
            id="resignation with password",
        ),
    ],
)
def test_a_known_advertisement_has_the_known_bytes(
    dialect: Dialect, said: Advertisement, data: bytes
) -> None:
    assert packed(dialect, said) == data
    assert heard(data, dialect) == said


@pytest.mark.parametrize("data", [V3_BYTES, PLAIN_BYTES])
@pytest.mark.parametrize("dialect", [V3, PLAIN])
def test_both_forms_of_the_checksum_are_accepted(dialect: Dialect, data: bytes) -> None:
    assert heard(data, dialect) == KNOWN


def test_over_ipv6_a_checksum_without_the_pseudo_header_is_wrong() -> None:
    with pytest.raises(MalformedError) as caught:
        heard(checksummed(V6_BYTES), V6)

    assert caught.value.fault is Fault.CHECKSUM


@given(spoken())
def test_what_was_packed_parses_to_the_same(one: tuple[Dialect, Advertisement]) -> None:
    dialect, said = one
    assert heard(packed(dialect, said), dialect) == said


@given(spoken())
def test_scapy_packs_the_same_bytes(one: tuple[Dialect, Advertisement]) -> None:
    dialect, said = one
    fields = {
        "vrid": said.vrid,
        "priority": said.priority,
        "addrlist": [str(address) for address in said.addresses],
    }
    source, group = (str(address) for address in source_and_group(dialect))
    if dialect.version == 2:
        secret = int.from_bytes(dialect.password.ljust(8, b"\0"), "big")
        message = VRRP(
            adv=round(said.interval),
            authtype=1 if dialect.password else 0,
            auth1=secret >> 32,
            auth2=secret & 0xFFFFFFFF,
            **fields,
        )
    else:
        message = VRRPv3(adv=round(said.interval * 100), **fields)
    header = {"src": source, "dst": group}
    if dialect.family == 4:
        wanted = bytes(IP(**header, ttl=TTL, proto=PROTOCOL) / message)[20:]
    else:
        wanted = bytes(IPv6(**header, hlim=TTL, nh=PROTOCOL) / message)[40:]

    # Scapy leaves the checksum 0xffff as it is; ones' complement knows two zeros.
    assert packed(dialect, said)[:6] == wanted[:6]
    assert packed(dialect, said)[8:] == wanted[8:]
    assert heard(wanted, dialect) == said


@given(st.binary(max_size=4200), st.sampled_from(DIALECTS))
def test_no_bytes_raise_anything_but_malformed_error(data: bytes, dialect: Dialect) -> None:
    with suppress(MalformedError):
        heard(data, dialect)


@given(spoken(), st.data())
def test_a_damaged_message_raises_nothing_but_malformed_error(
    one: tuple[Dialect, Advertisement], data: st.DataObject
) -> None:
    dialect, said = one
    damaged = bytearray(packed(dialect, said))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))

    try:
        read = heard(checksummed(bytes(damaged)), dialect)
    except MalformedError:
        return
    assert read.addresses


@pytest.mark.parametrize(
    ("dialect", "data"),
    [(V3, V3_BYTES), (V2_PASSWORD, V2_PASSWORD_BYTES), (V6, V6_BYTES)],
)
def test_a_message_cut_short_or_drawn_out_is_discarded(
    dialect: Dialect, data: bytes
) -> None:
    for wrong in (*(data[:length] for length in range(len(data))), data + b"\0"):
        with pytest.raises(MalformedError, match=r"it has \d+ bytes") as caught:
            heard(checksummed(wrong) if len(wrong) > 8 else wrong, dialect)
        assert caught.value.fault is Fault.LENGTH


@pytest.mark.parametrize(
    ("dialect", "data", "fault", "reason"),
    [
        pytest.param(V3, V2_BYTES.hex(), "version", "version 2, not 3", id="v2 in v3"),
        pytest.param(V2, V3_BYTES.hex(), "version", "version 3, not 2", id="v3 in v2"),
        pytest.param(V3, "3233640100640000c0a8c810", "type", "type 2, not 1", id="type"),
        pytest.param(V3, "3100640100640000c0a8c810", "vrid", "VRID is 0", id="vrid"),
        pytest.param(V3, "3133640000640000", "count", "no address", id="count"),
        pytest.param(V3, "3133640100000000c0a8c810", "interval", "is 0", id="interval"),
        pytest.param(V3, "31336401f0000000c0a8c810", "interval", "is 0", id="reserved"),
        pytest.param(
            V3, "3133640200640000c0a8c810", "length", "12 bytes, not 16 for 2", id="short"
        ),
        pytest.param(
            V3, "3133640100640000c0a8c81000", "length", "13 bytes, not 12", id="long"
        ),
        pytest.param(
            V2,
            V2_PASSWORD_BYTES.hex(),
            "authentication",
            "type of authentication is 1, not 0",
            id="a password that we have not",
        ),
        pytest.param(
            V2_PASSWORD,
            V2_BYTES.hex(),
            "authentication",
            "type of authentication is 0, not 1",
            id="no password where we have one",
        ),
        pytest.param(
            V2_PASSWORD,
            "2133640101010000c0a8c8103131313200000000",
            "password",
            "its password is not ours",
            id="wrong password",
        ),
    ],
)
def test_what_must_be_discarded_is_and_says_why(
    dialect: Dialect, data: str, fault: str, reason: str
) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        heard(checksummed(bytes.fromhex(data)), dialect)

    assert caught.value.fault == fault
    assert "1111" not in str(caught.value)


@pytest.mark.parametrize(
    ("dialect", "data"),
    [(V3, V3_BYTES), (V2, V2_BYTES), (V6, V6_BYTES)],
)
def test_a_wrong_checksum_is_discarded(dialect: Dialect, data: bytes) -> None:
    with pytest.raises(MalformedError, match="checksum"):
        heard(data[:10] + bytes([data[10] ^ 1]) + data[11:], dialect)


def test_reserved_bits_are_ignored() -> None:
    assert heard(checksummed(bytes.fromhex("31336401f0640000c0a8c810"))) == KNOWN
