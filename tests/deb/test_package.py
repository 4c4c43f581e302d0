"""The Debian package: installed, used, upgraded, purged. The tests belong together."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systemd import Systemd, booted
from tests.support.wait import eventually
from vagrant.lab.hosts import PROJECT

pytestmark = pytest.mark.timeout(300)
# A neighbour that answers ARP.
NETWORK = """
ip link set lo up
ip netns add there
ip link add eth0 type veth peer name eth0 netns there
ip address add 10.0.0.1/24 dev eth0
ip link set eth0 up
ip -n there address add 10.0.0.2/24 dev eth0
ip -n there link set eth0 up
"""
# The same package with another version, as if it were the next one; $1 to $2.
NEXT = """
dpkg-deb -R "$1" /srv/next
sed -i 's/^Version: .*/Version: 99/' /srv/next/DEBIAN/control
dpkg-deb --root-owner-group -Znone -b /srv/next "$2"
rm -r /srv/next
"""
PACKAGE = "/srv/new.deb"  # /tmp is emptied when systemd sets it up
TRACES = ("/etc", "/lib/systemd", "/usr", "/var/lib", "/var/cache", "/run", "/sys/fs/bpf")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, package: Path) -> Iterator[Systemd]:
    """Return a host without a checkout, with one interface; the package is in /srv."""
    with booted(tmp_path_factory.mktemp("host"), f"guideway-deb-{os.getpid()}") as made:
        made.run("sh", "-e", "-c", NETWORK)
        made.run("cp", f"/opt/guideway/{package.relative_to(PROJECT)}", PACKAGE)
        made.run("umount", "/opt/guideway", "--lazy")
        made.run("rmdir", "/opt/guideway")
        yield made


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
    told = [
        "--vip",
        "10.0.0.100",
        "--port",
        "80",
        "--mode",
        "dr",
        "--no-check",
        "--backend",
        "10.0.0.2",
    ]
    host.run("/usr/bin/guideway", "service", "add", "web", *told)

    assert "prog/xdp" in host.run("ip", "-d", "link", "show", "eth0")
    assert "10.0.0.2" in host.run("/usr/bin/guideway", "backend", "list")
    asked = ("tcp", "10.0.0.7:4000", "10.0.0.100:80")
    eventually(
        lambda: "backend web/10.0.0.2" in host.run("/usr/bin/guideway", "explain", *asked),
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


def test_an_upgrade_leaves_the_data_plane_where_it_is(host: Systemd) -> None:
    before = host.run("ip", "-d", "link", "show", "eth0")
    pid = host.show("guidewayd", "MainPID")
    host.run("sh", "-e", "-c", NEXT, "next", PACKAGE, f"{PACKAGE}.next")

    host.run("dpkg", "--install", f"{PACKAGE}.next")

    assert host.show("guidewayd", "ActiveState") == "active"
    assert host.show("guidewayd", "MainPID") != pid
    assert host.run("ip", "-d", "link", "show", "eth0") == before
    assert "adopted from the daemon before" in host.run("/usr/bin/guideway", "status")
    assert "10.0.0.2" in host.run("/usr/bin/guideway", "backend", "list")
    assert "interfaces: [eth0]" in host.run("cat", "/etc/guideway/guideway.yaml")


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
