"""Rules of single values; most of them are tried with services that break them."""

from hypothesis import given
from hypothesis import strategies as st

from control.value_rules import is_prime


@given(st.integers(-10, 5000))
def test_a_prime_has_no_divisor(number: int) -> None:
    divisors = [d for d in range(2, number) if number % d == 0]

    assert is_prime(number) == (number > 1 and not divisors)
