"""Backends for Maglev tables: drawn by hypothesis, and of equal weight."""

from hypothesis import strategies as st

Pool = list[tuple[bytes, int]]

SIZES = [13, 101, 1021]  # small and prime; the rules hold for every size
WEIGHTS = st.one_of(st.integers(0, 3), st.integers(0, 65535))


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """Draw backends of which at least one has a weight."""
    identities = draw(
        st.lists(st.binary(max_size=12), min_size=1, max_size=12, unique=True)
    )
    weights = [draw(WEIGHTS) for _ in identities]
    if not any(weights):
        weights[0] = draw(st.integers(1, 65535))
    return list(zip(identities, weights, strict=True))


def equal(count: int) -> Pool:
    """Return ``count`` backends of weight 1, called as the controller calls them."""
    return [(f"10.0.{n >> 8}.{n & 255}:80".encode(), 1) for n in range(count)]
