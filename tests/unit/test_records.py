"""Keys and values of the maps, and their bytes."""

from array import array
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane import abi, counters, libbpf, records
from dataplane.abi import REASONS, Verdict, constants, ffi

addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6).filter(
    lambda address: address.ipv4_mapped is None
)
numbers = st.integers(0, 2**32 - 1)
ports = st.integers(0, 65535)
macs = st.binary(min_size=6, max_size=6)
indices = st.integers(1, 2**32 - 1)
tags = st.builds(
    records.Tag,
    st.integers(1, 4095),
    st.sampled_from([records.VLAN, records.SERVICE_VLAN]),
)
segments = st.builds(records.Segment, indices, st.lists(tags, max_size=2).map(tuple))

RECORDS = st.one_of(
    st.builds(records.Index, numbers),
    st.builds(records.Address, addresses),
    st.builds(records.Endpoint, addresses, ports, st.integers(0, 255)),
    st.builds(records.Service, numbers, numbers, numbers, numbers, st.sampled_from([1, 2])),
    st.builds(records.Backend, numbers, addresses, ports, segments, macs, macs),
    segments,
    st.builds(records.Return, addresses, ports),
    st.builds(
        records.Prefix,
        st.builds(
            lambda address, bits: ip_network(
                (address, bits % (address.max_prefixlen + 1)), strict=False
            ),
            addresses,
            st.integers(0, 128),
        ),
    ),
    st.builds(records.Port, indices, segments, macs),
)


@given(RECORDS)
def test_unpacking_gives_what_was_packed(record) -> None:
    assert type(record).unpack(record.pack()) == record


def test_a_key_has_its_bytes_where_the_wire_has_them() -> None:
    key = records.Endpoint(IPv4Address("192.0.2.1"), 80, 6)

    assert key.pack() == bytes.fromhex("00000000000000000000ffffc000020100500600")


def test_a_tag_has_its_bytes_as_the_wire_has_them() -> None:
    outer, inner = records.Tag(7, records.SERVICE_VLAN), records.Tag(0x105)

    packed = records.Segment(1, (outer, inner)).pack()

    assert packed[4:] == bytes.fromhex("88a8000781000105")
    assert [str(outer), str(inner)] == ["802.1ad 7", "802.1Q 261"]


def test_entries_of_nobody_are_none() -> None:
    assert records.Backend.unpack(bytes(abi.sizeof("gw_backend"))) is None
    assert records.Port.unpack(bytes(abi.sizeof("gw_port"))) is None


def test_an_ipv6_key_has_its_address_as_it_is() -> None:
    key = records.Endpoint(IPv6Address("2001:db8::1"), 443, 17)

    assert key.pack() == bytes.fromhex("20010db800000000000000000000000101bb1100")


def test_every_reason_of_the_program_has_a_verdict_and_a_meaning() -> None:
    members = dict(ffi.typeof("enum gw_reason").relements)
    del members["GW_REASON_COUNT"]

    assert {f"GW_{reason.name.upper()}": reason.number for reason in REASONS} == members
    assert [reason.number for reason in REASONS] == list(range(constants.GW_REASON_COUNT))
    assert {reason.verdict for reason in REASONS} == set(Verdict)


class CounterMaps:
    """Per-CPU arrays of three CPUs, as the kernel gives them: an entry after the other."""

    def __init__(self, *words: int) -> None:
        self._data = array("Q", words).tobytes()

    def values(self, name: str) -> bytes:
        return self._data


def test_counters_are_summed_over_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "possible_cpus", lambda: 3)
    nothing = (0, 0, 0) * 3
    busy = (1, 60, 1, 0, 0, 0, 2**63, 3000, 1)

    read = counters.read(CounterMaps(*nothing, *busy))

    counted = records.Counter(2**63 + 1, 3060, 2)
    assert (read.services, read.backends) == ({1: counted}, {1: counted})
    assert read.reasons[REASONS[0]] == records.Counter()
    assert read.reasons[REASONS[1]] == counted
