"""What a directory of tests needs of the machine, and what happens if it is not there."""

import os

import pytest


def require(what: str, problem: str | None) -> None:
    """Skip with ``problem`` as the reason, or go on if it is None.

    ``GUIDEWAY_REQUIRE=packet,netns,systemd`` names what must be there: a problem with that
    is a failure, so that a green run cannot mean that nothing ran.
    """
    if problem is None:
        return
    required = os.environ.get("GUIDEWAY_REQUIRE", "").split(",")
    if what in required:
        pytest.fail(f"GUIDEWAY_REQUIRE names {what}, but {problem}", pytrace=False)
    pytest.skip(f"{what}: {problem}")
