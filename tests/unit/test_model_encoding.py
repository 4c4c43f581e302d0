"""The desired state as bytes."""

from contextlib import suppress
from ipaddress import IPv4Address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.desired import DesiredState
from control.encoding import Encoder, decode, encode
from control.errors import ConfigError
from control.model import Backend, Mode, Protocol, Service
from tests.support.damaged import damaged_bytes
from tests.support.desired_states import desired_states

A = Backend("a", IPv4Address("10.0.0.1"), 80)
WEB = Service("web", IPv4Address("192.0.2.10"), Protocol.TCP, 80, Mode.DR, (A,))
WANTED = DesiredState((WEB,))


@given(desired_states())
def test_a_state_is_read_as_it_was_written(state: DesiredState) -> None:
    assert decode(encode(state)) == state


def test_what_has_no_zone_is_stored_as_it_was_before_there_were_any() -> None:
    assert b"zone" not in encode(WANTED)


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        pytest.param(b'{"shape": 3}', "has shape 3, and this release reads", id="later"),
        pytest.param(b'{"shape": 1, "serv', "truncated", id="cut"),
        pytest.param(b"\xff\xff", "malformed", id="no JSON"),
        pytest.param(b'{"shape": 1}', "required field `services`", id="incomplete"),
        pytest.param(
            encode(WANTED).replace(b"192.0.2.10", b"192.0.2.x"), "192.0.2.x", id="address"
        ),
        pytest.param(
            encode(WANTED).replace(b"192.0.2.10", b"2001:db8::1"),
            "both have to be of one family",
            id="family",
        ),
        pytest.param(
            encode(WANTED).replace(b'"weight":1', b'"weight":-1'), "weight -1", id="rule"
        ),
    ],
)
def test_what_is_no_stored_state_is_refused(stored: bytes, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        decode(stored)


@given(damaged_bytes(encode(WANTED)) | st.binary(max_size=100))
def test_any_bytes_are_a_state_or_refused(stored: bytes) -> None:
    with suppress(ConfigError):
        assert isinstance(decode(stored), DesiredState)


@given(desired_states(), desired_states())
def test_what_is_encoded_in_a_row_or_prepared_is_the_same_as_by_itself(one, other) -> None:
    encoder = Encoder()

    encoder.prepare(other)
    assert encoder.encode(one) == encode(one)
    assert encoder.encode(other.sharing(one)) == encode(other)
    assert msgspec.json.encode(msgspec.json.decode(encode(one))) == encode(one)


@given(desired_states())
def test_a_state_that_shares_is_equal_and_of_the_same_services(state) -> None:
    copy = decode(encode(state))

    shared = copy.sharing(state)

    assert shared == copy
    assert all(a is b for a, b in zip(shared, state, strict=True))
