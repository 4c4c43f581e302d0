"""Each program says which release it is of."""

import subprocess
import sys
from importlib.metadata import version

import pytest

PROGRAMS = {
    "guideway": "control.cli.main",
    "guidewayd": "control.daemon",
    "guideway-vrrpd": "vrrp.daemon",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_tells_its_release(name: str) -> None:
    command = (sys.executable, "-m", PROGRAMS[name], "--version")

    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert said == f"{name} {version('guideway')}\n"
