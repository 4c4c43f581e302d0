"""The Debian package: installed, used, upgraded, purged. The tests belong together."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import neighbours
from tests.support.connections import Connection
from tests.support.neighbours import SERVER, Neighbours
from tests.support.systemd import Systemd, booted
from tests.support.wait import eventually
from tests.support.world import as_host
from vagrant.lab.hosts import PROJECT, Host
from vagrant.lab.topology import VIP

pytestmark = pytest.mark.timeout(300)
# $2 is the version after $1: other files in /etc, and another program.
NEXT = """
dpkg-deb -R "$1" /srv/next
code=$(echo /srv/next/usr/lib/guideway/lib/python3.*/site-packages)
sed -i 's/^Version: .*/Version: 99/' /srv/next/DEBIAN/control
for file in guideway/guideway.yaml sysctl.d/60-guideway.conf; do
    echo '# New in 99.' >>"/srv/next/etc/$file"
done
echo '/* New in 99. */' >>"$code/dataplane/bpf/ip.h"
dpkg-deb --root-owner-group -Znone -b /srv/next "$2"
rm -r /srv/next
"""
# As unattended-upgrades does it: what an operator has changed stays.
UPGRADE = ("dpkg", "--install", "--force-confdef", "--force-confold")
RATE = 200  # datagrams per second
PACKAGE = "/srv/new.deb"  # /tmp is emptied when systemd sets it up
TRACES = ("/etc", "/lib/systemd", "/usr", "/var/lib", "/var/cache", "/run", "/sys/fs/bpf")


@dataclass
class Load:
    """What was asked through the VIP, and answered; all zero until it has ended."""

    sent: int = 0  # datagrams
    answered: int = 0
    asked: int = 0  # requests by HTTP
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """A host without a checkout; the package is in /srv."""

    host: Systemd
    there: Neighbours


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Site]:
    prefix = f"guideway-p{os.getpid()}-"
    with ExitStack() as cleanup:
        machine = booted(tmp_path_factory.mktemp("host"), f"{prefix}lb1")
        host = cleanup.enter_context(machine)
        node = cleanup.enter_context(as_host(host, "lb1", prefix))
        there = neighbours.connect(node, prefix, cleanup)
        host.run("ip", "address", "add", f"{VIP}/32", "dev", "eth0")
        host.run("cp", f"/opt/guideway/{package.relative_to(PROJECT)}", PACKAGE)
        host.run("umount", "/opt/guideway", "--lazy")
        host.run("rmdir", "/opt/guideway")
        yield Site(host, there)


@pytest.fixture
def host(site: Site) -> Systemd:
    return site.host


@contextmanager
def load(client: Host) -> Iterator[Load]:
    """Keep the VIP busy for the length of the block, and tell of it afterwards."""
    told = Load()
    command = (sys.executable, str(PROJECT / "tests/vm/load.py"), str(VIP), str(RATE))
    with subprocess.Popen(
        ("ip", "netns", "exec", client.namespace, *command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        try:
            yield told
            said, _ = running.communicate(timeout=60)
        finally:
            running.kill()
    vars(told).update(json.loads(said))


def echoed(host: Systemd) -> int:
    """Return how many datagrams the data plane has counted."""
    told = json.loads(host.run("/usr/bin/guideway", "-o", "json", "stats"))
    return {each["service"]: each["packets"] for each in told["services"]}["echo"]


def wait_for_load(host: Systemd) -> None:
    """Wait until a second's datagrams have come by."""
    wanted = echoed(host) + RATE
    eventually(lambda: echoed(host) >= wanted, within=20, what="datagrams come by")


def test_installing_it_starts_nothing(host: Systemd) -> None:
    host.run("dpkg", "--install", PACKAGE)

    assert host.show("guidewayd", "ActiveState") == "inactive"
    assert "guideway 0." in host.run("/usr/bin/guideway", "--version")
    host.run("sh", "-c", "systemd-analyze verify /lib/systemd/system/guideway*.service")


def test_the_default_configuration_is_refused_with_what_to_change(host: Systemd) -> None:
    host.run("/usr/sbin/guidewayd", "--check")

    host.run("sh", "-c", "! /usr/sbin/guidewayd 2>/srv/said")

    assert "change-me" in host.run("cat", "/srv/said")


def test_with_an_interface_named_it_starts_and_takes_services(host: Systemd) -> None:
    host.run("sed", "-i", "s/change-me/eth0/", "/etc/guideway/guideway.yaml")

    host.run("systemctl", "enable", "--now", "guidewayd")
    for name, place in (("web", ("--port=80",)), ("echo", ("--port=7", "--protocol=udp"))):
        told = (f"--vip={VIP}", *place, "--mode=dr", "--no-check", f"--backend={SERVER}")
        host.run("/usr/bin/guideway", "service", "add", name, *told)

    assert "prog/xdp" in host.run("ip", "-d", "link", "show", "eth0")
    assert str(SERVER) in host.run("/usr/bin/guideway", "backend", "list")
    asked = ("tcp", "10.0.0.7:4000", f"{VIP}:80")
    eventually(
        lambda: f"backend web/{SERVER}" in host.run("/usr/bin/guideway", "explain", *asked),
        within=30,
        what="it forwards",
    )


def test_the_group_may_use_the_command_line(host: Systemd) -> None:
    asked = ("setpriv", "--reuid=nobody", "--regid=guideway", "--clear-groups")
    host.run(*asked, "/usr/bin/guideway", "service", "list")

    stranger = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    host.run(*stranger, "/usr/bin/guideway", "service", "list", code=1)


def test_all_that_lies_there_came_with_the_package(host: Systemd) -> None:
    known = set(host.run("dpkg", "--listfiles", "guideway").splitlines())
    there = set(host.run("find", "/usr/lib/guideway").splitlines())

    assert there - known == set()


@pytest.mark.parametrize("page", ["guidewayd", "guideway-vrrpd", "guideway"])
def test_every_program_has_a_page(host: Systemd, page: str) -> None:
    shown = host.run(
        "sh", "-c", f"zcat /usr/share/man/man*/{page}.[18].gz | groff -ktman -Tutf8"
    )

    assert f"{page} \N{MINUS SIGN} " in shown or f"{page} - " in shown


def test_a_shell_that_completes_asks_the_program(host: Systemd) -> None:
    script = "/usr/share/bash-completion/completions/guideway"
    tried = f"source {script}; COMP_WORDS=(guideway serv) COMP_CWORD=1; "
    tried += '_guideway_completion guideway; echo "${COMPREPLY[@]}"'

    assert host.run("bash", "-c", tried) == "service\n"


def test_an_upgrade_loses_nothing(site: Site, tmp_path: Path) -> None:
    """Neither packets nor connections, though the new version has another program."""
    host, server = site.host, site.there.server
    for module, words in (("webserver", f"--docroot {tmp_path}"), ("echo", "--port 7")):
        command = ("--name", "rs1", *words.split())
        server.python(f"vagrant.lab.{module}", *command, log=tmp_path / f"{module}.log")
    host.run("sh", "-e", "-c", NEXT, "next", PACKAGE, f"{PACKAGE}.next")
    changed = "net.ipv4.ip_forward = 1\n"
    host.write("/etc/sysctl.d/60-guideway.conf", changed)
    versions = host.run("/usr/bin/guideway", "history")
    pid, program = host.show("guidewayd", "MainPID"), digest(host)
    eventually(
        lambda: site.there.client.run("curl", "-s", f"http://{VIP}/"),
        within=20,
        what="the server serves",
    )

    with Connection(site.there) as connection, load(site.there.client) as told:
        wait_for_load(host)
        host.run(*UPGRADE, f"{PACKAGE}.next")
        wait_for_load(host)
        assert connection.ask() == connection.backend

    assert told.asked > 0
    assert told == Load(told.sent, told.sent, told.asked)
    assert host.show("guidewayd", "ActiveState") == "active"
    assert host.show("guidewayd", "MainPID") != pid
    assert digest(host) != program
    assert host.run("/usr/bin/guideway", "history") == versions
    assert "interfaces: [eth0]" in host.run("cat", "/etc/guideway/guideway.yaml")
    assert host.run("cat", "/etc/sysctl.d/60-guideway.conf") == changed
    host.run("test", "-e", "/etc/guideway/guideway.yaml.dpkg-dist")  # what is new in 99


def digest(host: Systemd) -> str:
    """Return the digest of the program that serves."""
    status = json.loads(host.run("/usr/bin/guideway", "-o", "json", "status"))
    return str(status["digest"])


def test_removing_it_ends_the_forwarding_and_keeps_the_configuration(host: Systemd) -> None:
    host.run("dpkg", "--remove", "guideway")

    assert "xdp" not in host.run("ip", "-d", "link", "show", "eth0")
    assert "interfaces: [eth0]" in host.run("cat", "/etc/guideway/guideway.yaml")
    host.run("test", "-e", "/var/lib/guideway/desired.db")


def test_purging_it_leaves_nothing(host: Systemd) -> None:
    host.run("dpkg", "--purge", "guideway")

    found = host.run(
        "find",
        *TRACES,
        "-xdev",
        "-path",
        "/var/cache/man",
        "-prune",
        "-o",
        "-iname",
        "*guideway*",
        "-print",
    )
    assert found == ""
    host.run("getent", "group", "guideway", code=2)
