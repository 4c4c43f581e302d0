"""The package where nothing else is, with no more rights than a container has."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support import bare_debian, neighbours
from tests.support.node_files import VRRPD, guidewayd, web
from tests.support.requirements import require
from tests.support.wait import eventually
from tests.support.world import World, as_host
from vagrant.lab.errors import CommandError
from vagrant.lab.hosts import Host
from vagrant.lab.topology import VIP

pytestmark = pytest.mark.timeout(500)
PYTHON = "/usr/lib/guideway/bin/python3"
# Every module, but for those that begin to work when they are imported.
IMPORT_ALL = """
import importlib, pkgutil
for package in (
    *("control", "dataplane", "maglev", "mistakes"),
    *("programs", "service_manager", "vrrp"),
):
    path = importlib.import_module(package).__path__
    for found in pkgutil.walk_packages(path, package + "."):
        if not found.name.endswith("__main__"):
            print(importlib.import_module(found.name).__name__)
"""
_CAPABILITY = re.compile(r"--cap-add (\w+)")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Path:
    """Return the root of what the Dockerfile makes."""
    require("deb", bare_debian.missing())
    root = tmp_path_factory.mktemp("image") / "root"
    bare_debian.make(root, package)
    return root


@pytest.fixture
def container(image: Path) -> Iterator[World]:
    with bare_debian.started(image) as world:
        yield world


def in_docker(program: str, *command: str) -> tuple[str, ...]:
    """Return ``command`` with the rights that the Dockerfile's words give ``program``."""
    (run,) = (
        one
        for one in re.findall(r"docker run (?:.*\\\n)*.*", bare_debian.DOCKERFILE)
        if f"--name {program} " in one
    )
    few = "".join(f",+{each.lower()}" for each in _CAPABILITY.findall(run))
    return ("setpriv", f"--bounding-set=-all{few}", *command)


def test_every_module_finds_what_it_imports(container: World) -> None:
    imported = container.run(PYTHON, "-c", IMPORT_ALL).split()

    assert {"control.daemon", "control.cli.main", "vrrp.daemon"} < set(imported)
    assert len(imported) > 200


def test_all_of_it_runs_by_the_byte_code_that_came_along(container: World) -> None:
    asked = (PYTHON, "-v", "-c", "import control.daemon, vrrp.daemon, control.cli.main")
    said = container.run("sh", "-c", '"$@" 2>&1', "sh", *asked)

    assert "/control/__pycache__/daemon.cpython-311.pyc matches" in said
    # Python's words for byte code that it has made itself; those read stand in quotes.
    made = r"^# (?:wrote .*|code object from /usr/lib/guideway/.*)$"
    assert re.findall(made, said, re.MULTILINE) == []


def test_without_a_configuration_of_ones_own_it_says_what_to_do(container: World) -> None:
    said = json.loads(container.run("guideway", "doctor", "-o", "json", code=4))

    codes = {finding["code"] for finding in said["findings"]}
    assert {"interface-missing", "daemon-silent"} <= codes
    assert not codes & {"bcc-missing", "bpffs-missing", "file-refused"}


def test_it_serves_with_a_containers_rights(container: World, tmp_path: Path) -> None:
    container.write(
        "/etc/guideway/guideway.yaml", json.dumps(guidewayd(web(neighbours.SERVER)))
    )
    container.write("/etc/guideway/vrrp.yaml", json.dumps(VRRPD))
    (tmp_path / "index.html").write_text("rs1\n")
    prefix = f"guideway-p{os.getpid()}-"
    with ExitStack() as cleanup:
        node = cleanup.enter_context(as_host(container, "lb1", prefix))
        there = neighbours.connect(node, prefix, cleanup)
        there.server.popen(sys.executable, "-m", "http.server", "80", directory=tmp_path)

        start = ("guidewayd", *json.loads(bare_debian.instruction("CMD")))
        container.start(*in_docker("guidewayd", *start), log="/run/guidewayd.log")
        eventually(
            lambda: container.works("guideway", "status"),
            within=90,  # it compiles first
            what="guidewayd answers",
            explain=lambda: container.run("cat", "/run/guidewayd.log"),
        )
        moved = ("guideway-vrrpd", "--config", "/etc/guideway/vrrp.yaml")
        container.start(*in_docker("guideway-vrrpd", *moved), log="/run/vrrpd.log")

        answer = eventually(
            lambda: asked(there.client),
            within=20,
            what="the VIP answers",
            explain=lambda: container.run("cat", "/run/guidewayd.log", "/run/vrrpd.log"),
        )
        assert answer == "rs1\n"
        found = json.loads(container.run("guideway", "doctor", "-o", "json"))["findings"]
        assert [one for one in found if one["severity"] != "note"] == []


def asked(client: Host) -> str:
    """Return what the VIP answers; nothing if it does not."""
    with suppress(CommandError):
        return client.run("curl", "-s", "-m", "1", f"http://{VIP}/")
    return ""
