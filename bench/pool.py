"""The backends that the benchmarks balance between."""


def identities(count: int) -> list[bytes]:
    """Return ``count`` identities as the controller writes them: address and port."""
    return [f"10.0.{index // 250}.{index % 250 + 1}:80".encode() for index in range(count)]
