"""Tests in network namespaces: they need root, and a kernel that lets it do things."""

import os
from itertools import count

import pytest

from tests.support.requirements import require
from vagrant.lab import requirements

_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def _machine():
    require("netns", requirements.missing())


@pytest.fixture
def lab_name() -> str:
    """A lab's name that no other test and no other run has."""
    return f"t{os.getpid()}n{next(_numbers)}"
