"""Whether VRRP is on time while everything else on the machine is busy.

``python -m bench.steadiness`` needs root and takes ten minutes, or ``--minutes``. Two nodes
in namespaces advertise every 10 ms; beside the Active, guidewayd probes 5,000 backends and
is given other weights for its 1,000 services again and again, and a program that does
nothing but compute has a processor for itself. Every failover is a false one: exit code 1.
Whether the machine could do better at all, a program says that only sleeps.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import click
import yaml

from bench.machine import describe
from bench.report import make_console
from control.checks import TcpCheck
from control.model import Backend, Mode, Protocol, Service
from vagrant.lab.daemon_files import INSTANCE
from vagrant.lab.errors import LabError, UnreachableError
from vagrant.lab.hosts import Host
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.program import Program
from vagrant.lab.topology import VIP, NatTopology
from vagrant.lab.wait import eventually

_INTERVAL: Final = 0.01  # seconds between advertisements
_SERVICES: Final = 1000
_BACKENDS: Final = 5  # of each service
_FIRST_PORT: Final = 10_000  # of services; and of backends, likewise
_CHANGE_EVERY: Final = 2.0  # seconds between changes of all weights
_LIMITS: Final = {"services": 1024, "backends": 16_384, "slots": 8_388_608}
_STARTS_WITHIN: Final = 240.0  # seconds: ARP and a first probe for all, on a busy machine
_CHECK: Final = TcpCheck(interval=20.0, timeout=10.0)
_REALTIME: Final = 50  # of vrrpd's file by default
_HOG: Final = "while True: pass"


@dataclass
class Course:
    """What happened."""

    changes: int = 0  # of all weights, that the kernel has
    unsteady: int = 0  # looks that did not find the first node alone Active


@click.command()
@click.option(
    "--minutes", default=10.0, show_default=True, type=click.FloatRange(0.1, 1440)
)
def main(minutes: float) -> None:
    """Keep the machine busy and print what became of VRRP."""
    console = make_console()
    console.print(describe())
    try:
        with Lab(f"steady{os.getpid()}", NatTopology, ()) as lab:
            before = os.getloadavg()
            one, two = _start(lab)
            course = Course()
            witness = lab.directory / "witness"
            arguments = (str(_INTERVAL), str(_REALTIME), str(witness))
            module = "bench.steadiness.witness"
            Program(two.host, module, arguments, lab.directory / "witness.log").start()
            with _hog(one.host):
                started = {node.name: _status(node) for node in (one, two)}
                _run(one, two, course, minutes * 60)
                ended = {node.name: _status(node) for node in (one, two)}
            machine = float(witness.read_text(encoding="ascii"))
    except LabError as error:
        sys.exit(str(error))
    console.print(
        f"{minutes:g} minutes at {1000 * _INTERVAL:g} ms; all weights of {_SERVICES} "
        f"services changed {course.changes} times, {_SERVICES * _BACKENDS} backends probed "
        f"every {_CHECK.interval:g} s; load before {before[0]:.1f}, after "
        f"{os.getloadavg()[0]:.1f}, on {os.cpu_count()} processors"
    )
    console.print(
        f"a program of the same priority that only sleeps was {1000 * machine:.0f} ms late "
        "at most"
    )
    turns = 0
    for name, status in ended.items():
        new = status["transitions"] - started[name]["transitions"]
        turns += new
        console.print(
            f"{name}: {status['state']}, {new} changes of state, fenced "
            f"{status['fenced'] - started[name]['fenced']} times; its latest timer was "
            f"{1000 * status['latest']:.0f} ms late, its start included"
        )
    if turns or course.unsteady:
        sys.exit(f"not steady: {turns} changes of state, {course.unsteady} looks amiss")
    console.print("no false failover")


def _start(lab: Lab) -> tuple[Node, Node]:
    one, two = lab.nodes["lb1"], lab.nodes["lb2"]
    count = _SERVICES * _BACKENDS // len(lab.topology.backends) + 1
    for name, host in lab.topology.backends.items():
        arguments = (str(_FIRST_PORT), str(count))
        Program(
            host, "bench.steadiness.listener", arguments, lab.directory / f"{name}.log"
        ).start()
    for node in (one, two):
        _edit_vrrpd(node)
    _write_guidewayd(lab, one, heavy=False)
    one.guidewayd.start()
    # Its file says it, too, and to read that costs it nothing.
    eventually(
        partial(_serves, one),
        within=_STARTS_WITHIN,
        what="guidewayd serves",
        explain=one.guidewayd.tail,
    )
    for node in (one, two):
        node.vrrpd.start()
    one.wait_until_state("active")
    two.wait_until_state("backup")
    return one, two


def _run(one: Node, two: Node, course: Course, seconds: float) -> None:
    end = time.monotonic() + seconds
    heavy, version = False, 1
    while time.monotonic() < end:
        heavy = not heavy
        _weigh(one, heavy=heavy)
        change_at = time.monotonic() + _CHANGE_EVERY
        while time.monotonic() < min(change_at, end):
            time.sleep(0.1)
            if (one.vrrp_state(), two.vrrp_state()) != ("active", "backup"):
                course.unsteady += 1
        eventually(
            partial(_has_later, one, version),
            within=_STARTS_WITHIN,
            what="the kernel has all weights",
            explain=one.guidewayd.tail,
        )
        course.changes, version = course.changes + 1, version + 1


def _serves(node: Node) -> bool:
    with suppress(FileNotFoundError):
        said = json.loads(node.paths.beacon.read_text(encoding="utf-8"))
        return bool(said["serving"] == _SERVICES)
    return False


def _has_later(node: Node, version: int) -> bool:
    with suppress(UnreachableError):  # it may have no time for us
        return node.api.status().applied_version > version
    return False


@contextmanager
def _hog(host: Host) -> Iterator[None]:
    """Let a program compute on the last processor meanwhile."""
    last = str((os.cpu_count() or 1) - 1)
    process = host.popen("taskset", "-c", last, sys.executable, "-c", _HOG)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _status(node: Node) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(node.paths.vrrp_status.read_text(encoding="utf-8"))
    found: dict[str, Any] = status[INSTANCE]
    return found


def _edit_vrrpd(node: Node) -> None:
    content = yaml.safe_load(node.paths.vrrpd_file.read_text(encoding="utf-8"))
    (instance,) = content["instances"]
    instance["interval"] = _INTERVAL
    del instance["track"], content["checks"]
    node.paths.vrrpd_file.write_text(yaml.safe_dump(content), encoding="utf-8")


def _write_guidewayd(lab: Lab, node: Node, *, heavy: bool) -> None:
    """Write the whole file; the lab's own services are too few."""
    node.services = tuple(_services(lab))
    node.write_files()
    _edit_vrrpd(node)
    content = json.loads(json.dumps(yaml.safe_load(node.paths.guidewayd_file.read_text())))
    content["limits"] = _LIMITS
    _set_weights(content, heavy=heavy)
    node.paths.guidewayd_file.write_text(json.dumps(content), encoding="utf-8")


def _weigh(node: Node, *, heavy: bool) -> None:
    content = json.loads(node.paths.guidewayd_file.read_text(encoding="utf-8"))
    _set_weights(content, heavy=heavy)
    node.paths.guidewayd_file.write_text(json.dumps(content), encoding="utf-8")
    pid = node.guidewayd.pid
    assert pid is not None  # noqa: S101 - it runs
    os.kill(pid, 1)  # SIGHUP


def _set_weights(content: dict[str, Any], *, heavy: bool) -> None:
    for service in content["services"]:
        service["backends"][0]["weight"] = 5 if heavy else 1


def _services(lab: Lab) -> Iterator[Service]:
    names = list(lab.topology.backends)
    for number in range(_SERVICES):
        backends = []
        for place in range(number * _BACKENDS, (number + 1) * _BACKENDS):
            address = NatTopology.backend_address(names[place % len(names)])
            port = _FIRST_PORT + place // len(names)
            backends.append(Backend(f"b{place}", address, port, 1))
        name, port = f"s{number}", _FIRST_PORT + number
        yield Service(name, VIP, Protocol.TCP, port, Mode.NAT, tuple(backends), (_CHECK,))


if __name__ == "__main__":
    main()
