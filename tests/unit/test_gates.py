"""The gates: bits for the addresses that packets may concern us by."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from dataplane import abi
from dataplane.abi import constants
from dataplane.gates import Gates, gate_of

addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)


def gates() -> tuple[Gates, array]:
    """Return closed gates, and their words."""
    words = array("Q", bytes(abi.sizeof("gw_gates")))
    return Gates(memoryview(words)), words


def is_open(words: array, gate: int) -> bool:
    return bool(words[gate // 64] >> gate % 64 & 1)


@given(addresses)
def test_every_address_has_a_gate(address) -> None:
    assert 0 <= gate_of(address) < constants.GW_GATES
    assert abi.sizeof("gw_gates") * 8 == constants.GW_GATES


@given(st.sets(addresses, max_size=20), st.sets(addresses, max_size=20))
def test_the_gates_of_some_addresses_are_open_and_no_others(before, after) -> None:
    made, words = gates()
    made.become(before)

    made.become(after)

    wanted = {gate_of(address) for address in after}
    assert {gate for gate in range(constants.GW_GATES) if is_open(words, gate)} == wanted


@given(st.sets(addresses, max_size=20), addresses)
def test_opening_one_closes_no_other(before, address) -> None:
    made, words = gates()
    made.become(before)

    made.open(address)

    assert all(is_open(words, gate_of(each)) for each in {*before, address})
