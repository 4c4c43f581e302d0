"""What holds for all tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine, and nothing of our code.
settings.register_profile("guideway", deadline=None)
settings.load_profile("guideway")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return a directory of everybody's; pytest's own are of who runs the tests alone."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o777)
        yield Path(made)
