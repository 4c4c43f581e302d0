"""The Debian package under a real systemd; needs root and what `make deb` has made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import systemd
from tests.support.requirements import require
from vagrant.lab.hosts import PROJECT


@pytest.fixture(scope="session")
def package() -> Iterator[Path]:
    """Return the newest package in dist."""
    made = sorted(
        (PROJECT / "dist").glob("guideway_*.deb"), key=lambda p: p.stat().st_mtime
    )
    require("deb", systemd.missing() or (None if made else "`make deb` has made none"))
    return made[-1]
