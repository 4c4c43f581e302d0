"""Tests in network namespaces: they need root, and a kernel that lets it do things."""

import os
import shutil
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.requirements import require
from tests.support.vrrp_lan import Lan, build
from vagrant.lab import hosts, requirements

_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def _machine():
    require("netns", requirements.missing())


@pytest.fixture
def lab_name() -> str:
    """A lab's name that no other test and no other run has."""
    return f"t{os.getpid()}n{next(_numbers)}"


@pytest.fixture
def lan(lab_name: str, tmp_path: Path) -> Iterator[Lan]:
    """Two nodes for VRRP that run nothing yet."""
    with build(lab_name, tmp_path) as built:
        yield built


@pytest.fixture
def pair(lan: Lan) -> Lan:
    """The same, both running: one, of priority 150, is Active, two, of 100, Backup."""
    lan.start_pair()
    return lan


@pytest.fixture
def _keepalived():
    """Fail or skip where keepalived is not installed."""
    require("netns", None if shutil.which("keepalived") else "keepalived is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what ran on the hosts: how it ended, and what it logged last.

    What ran on hosts that are gone by then is in a note of the exception.
    """
    report = yield
    if report.failed and (told := hosts.stories()):
        report.sections.append(("what ran on the hosts", told))
    return report
