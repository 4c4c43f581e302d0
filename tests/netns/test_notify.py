"""A backend dies under a real guidewayd: a program is told, and people get one mail."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.support.daemon import edit, guideway
from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import DrTopology

MAIL_PORT = "2525"
PROGRAM = """#!/bin/sh
{ echo "$(id -un) $*"; env | grep GUIDEWAY_ | sort; echo .; } >> "${0%/*}/told"
"""


@dataclass
class Told:
    """A node whose guidewayd tells a program and a mail server."""

    lab: Lab
    node: Node
    directory: Path

    def start_mail_server(self) -> Popen[bytes]:
        listen = ("-n", "-l", f"127.0.0.1:{MAIL_PORT}")
        log = self.directory / "mails"
        # Unbuffered, for we read what it prints.
        command = (sys.executable, "-u", "-m", "aiosmtpd", *listen)
        server = self.node.host.popen(*command, log=log)
        eventually(self._is_there, within=20, what="the mail server listens")
        return server

    def _is_there(self) -> bool:
        with self.node.host.inside(), suppress(OSError):
            socket.create_connection(("127.0.0.1", int(MAIL_PORT)), 5).close()
            return True
        return False

    @property
    def mails(self) -> str:
        log = self.directory / "mails"
        return log.read_text() if log.exists() else ""

    def told(self, what: str) -> dict[str, str]:
        """Return the variables of the time when the program was told ``what``."""
        runs = (self.directory / "told").read_text().split(".\n")
        run = next(run for run in runs if what in run)
        variables = (line.partition("=") for line in run.splitlines()[1:])
        return {"who": run.splitlines()[0]} | {key: value for key, _, value in variables}


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """Return a lab in direct return; guidewayd of its lb1 tells of everything."""
    with (
        tempfile.TemporaryDirectory() as directory,
        Lab(f"y{os.getpid()}", DrTopology) as lab,
    ):
        place = Path(directory)
        place.chmod(0o777)
        program = place / "tell"
        program.write_text(PROGRAM)
        program.chmod(0o755)

        def notify(file: dict[str, Any]) -> None:
            file["notify"] = [{"command": [str(program), "-v"], "services": ["web"]}]
            file["email"] = {
                "server": "127.0.0.1",
                "port": int(MAIL_PORT),
                "tls": "none",
                "from": "guideway@lb1.example",
                "to": ["ops@example.org"],
                "gather": 8,
                "interval": 600,
            }

        node = lab.nodes["lb1"]
        for servers in lab.servers.values():
            servers["web"].start()
        node.write_files()
        edit(node, notify)
        node.guidewayd.start()
        node.wait_until_ready()
        node.wait_until_serving("web")
        yield Told(lab, node, place)


def has(told: Told, what: str) -> bool:
    path = told.directory / "told"
    return path.exists() and f"{what}\n" in path.read_text()


def test_a_program_and_one_mail_tell_of_a_service_that_nobody_serves_any_more(
    told: Told,
) -> None:
    server = told.start_mail_server()
    try:
        for backend in ("b1", "b2", "b3"):
            told.lab.servers[backend]["web"].kill()
        eventually(lambda: "END MESSAGE" in told.mails, within=20, what="the mail")
        mails = told.mails
    finally:
        server.kill()
        server.wait(5)
    eventually(lambda: has(told, "GUIDEWAY_EVENT=service-down"), within=5, what="told")

    assert mails.count("MESSAGE FOLLOWS") == 1
    assert "4 changes" in mails
    assert "] web is down, and 3 more" in mails
    assert "web: down " in mails
    assert all(f"web/{name}: down " in mails for name in ("b1", "b2", "b3"))
    assert "Connection refused" in mails
    backend = told.told("GUIDEWAY_BACKEND=b2")
    assert backend["who"] == ("nobody -v RS [10.0.0.22]:tcp:80 [10.0.0.100]:tcp:80 DOWN")
    assert backend["GUIDEWAY_REASON"].endswith("Connection refused")
    assert (backend["GUIDEWAY_OLD"], backend["GUIDEWAY_NEW"]) == ("up", "down")
    assert backend["GUIDEWAY_VERSION"] == "1"
    assert told.told("service-down")["who"] == "nobody -v VS [10.0.0.100]:tcp:80 DOWN"


def test_a_mail_server_that_is_gone_is_a_warning_and_what_came_waits_for_it(
    told: Told,
) -> None:
    def shorter(file: dict[str, Any]) -> None:
        file["email"] |= {"gather": 0.1, "interval": 1}

    edit(told.node, shorter)
    assert told.node.guidewayd.pid
    os.kill(told.node.guidewayd.pid, signal.SIGHUP)
    told.lab.servers["b1"]["web"].start()

    eventually(
        lambda: "no mail by 127.0.0.1: " in guideway(told.node, "status"),
        within=20,
        what="the warning",
    )
    eventually(
        lambda: "2 changes wait" in guideway(told.node, "status"),
        within=10,
        what="the backend and the service wait",
    )
    server = told.start_mail_server()
    try:
        # A guidewayd that ends sends what waits.
        told.node.guidewayd.stop()
        eventually(lambda: "web is up, and 1 more" in told.mails, within=5, what="mail")
    finally:
        server.kill()
        server.wait(5)
    assert has(told, "GUIDEWAY_EVENT=service-up")
