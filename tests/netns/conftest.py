"""Tests in network namespaces: they need root, and a kernel that lets it do things."""

import os
from collections.abc import Generator
from itertools import count

import pytest

from tests.support.requirements import require
from vagrant.lab import hosts, requirements

_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def _machine():
    require("netns", requirements.missing())


@pytest.fixture
def lab_name() -> str:
    """A lab's name that no other test and no other run has."""
    return f"t{os.getpid()}n{next(_numbers)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what ran on the hosts: how it ended, and what it logged last.

    What ran on hosts that are gone by then is in a note of the exception.
    """
    report = yield
    if report.failed and (told := hosts.stories()):
        report.sections.append(("what ran on the hosts", told))
    return report
