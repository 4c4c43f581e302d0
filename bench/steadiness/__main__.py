"""Whether VRRP is on time while everything else on the machine is busy.

``python -m bench.steadiness`` needs root and takes ten minutes, or ``--minutes``. Two nodes
in namespaces advertise every 10 ms; beside the Active, guidewayd probes 5,000 backends and
is given other weights for its 1,000 services again and again, and a program that does
nothing but compute has a processor for itself. Every failover is a false one: exit code 1,
unless the machine itself stood still. Whether it did, a program on each processor says that
only sleeps, with a higher priority than everything else.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import yaml

from bench.machine import describe
from bench.report import make_console
from bench.steadiness.standstill import Stretch, standstills, unexcused
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
_WITNESSED: Final = (0.002, 99)  # seconds between a witness's looks, and its priority
# A silence of three intervals is one too many. One is always there, so two more do it; a
# witness may note them by its own interval too short.
_STANDSTILL: Final = 2 * _INTERVAL - _WITNESSED[0]
_CONSEQUENCES: Final = 1.0  # seconds in which roles go to and fro after a standstill
_HOG: Final = "while True: pass"


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
            with _hog(one.host), _witnesses(two.host, lab.directory) as witnesses:
                began = time.time()
                started = {node.name: _status(node) for node in (one, two)}
                weighed = _run(one, minutes * 60)
                ended = {node.name: _status(node) for node in (one, two)}
                stood = standstills(map(_noted, witnesses), _STANDSTILL)
            changes = {node.name: _changes(node, began) for node in (one, two)}
    except LabError as error:
        sys.exit(str(error))
    console.print(
        f"{minutes:g} minutes at {1000 * _INTERVAL:g} ms; all weights of {_SERVICES} "
        f"services changed {weighed} times, {_SERVICES * _BACKENDS} backends probed "
        f"every {_CHECK.interval:g} s; load before {before[0]:.1f}, after "
        f"{os.getloadavg()[0]:.1f}, on {os.cpu_count()} processors"
    )
    longest = max((end - begin for begin, end in stood), default=0.0)
    console.print(
        f"the machine itself stood still for {1000 * _STANDSTILL:.0f} ms or more "
        f"{len(stood)} times, for {1000 * longest:.0f} ms at most: nothing ran on any "
        "processor"
    )
    false = 0
    for name, status in ended.items():
        ours = unexcused(changes[name], stood, _CONSEQUENCES)
        false += len(ours)
        console.print(
            f"{name}: {status['state']}, {len(changes[name])} changes of state, "
            f"{len(ours)} of them without a standstill; fenced "
            f"{status['fenced'] - started[name]['fenced']} times; its latest timer was "
            f"{1000 * status['latest']:.0f} ms late, its start included"
        )
    if false:
        sys.exit(f"not steady: {false} changes of state without a standstill")
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


def _run(node: Node, seconds: float) -> int:
    """Change all weights again and again; return how often the kernel has had them."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        _weigh(node, heavy=count % 2 == 0)
        time.sleep(min(_CHANGE_EVERY, max(0.0, end - time.monotonic())))
        count += 1
        eventually(
            partial(_has, node, 1 + count),
            within=_STARTS_WITHIN,
            what="the kernel has all weights",
            explain=node.guidewayd.tail,
        )
    return count


def _serves(node: Node) -> bool:
    with suppress(FileNotFoundError):
        said = json.loads(node.paths.beacon.read_text(encoding="utf-8"))
        return bool(said["serving"] == _SERVICES)
    return False


def _has(node: Node, version: int) -> bool:
    with suppress(UnreachableError):  # it may have no time for us
        return node.api.status().applied_version >= version
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


@contextmanager
def _witnesses(host: Host, directory: Path) -> Iterator[list[Path]]:
    """Run a witness on each processor meanwhile; give the files that they write."""
    interval, priority = map(str, _WITNESSED)
    files, programs = [], []
    for number in sorted(os.sched_getaffinity(0)):
        file = directory / f"witness{number}"
        arguments = (interval, priority, str(number), str(file))
        module = "bench.steadiness.witness"
        program = Program(host, module, arguments, file.with_suffix(".log"))
        program.start()
        programs.append(program)
        files.append(file)
    for file in files:
        eventually(file.exists, within=10, what=f"{file.name} looks")
    try:
        yield files
    finally:
        for program in programs:
            program.kill()


def _noted(file: Path) -> list[Stretch]:
    lines = file.read_text(encoding="ascii").splitlines()
    return [(float(begin), float(end)) for begin, end in map(str.split, lines)]


def _changes(node: Node, began: float) -> list[float]:
    """Return when the node's VRRP changed its state, in seconds of Unix time."""
    lines = node.vrrpd.log.read_text(encoding="utf-8").splitlines()
    said = (json.loads(line) for line in lines if line.startswith("{"))
    times = (
        datetime.fromisoformat(entry["timestamp"]).timestamp()
        for entry in said
        if entry["event"] == "state changed"
    )
    return [at for at in times if at >= began]


def _status(node: Node) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(node.paths.vrrp_status.read_text(encoding="utf-8"))
    found: dict[str, Any] = status[INSTANCE]
    return found


def _edit_vrrpd(node: Node) -> None:
    content = yaml.safe_load(node.paths.vrrpd_file.read_text(encoding="utf-8"))
    instance = next(one for one in content["instances"] if one["name"] == INSTANCE)
    content["instances"] = [instance]
    instance["interval"] = _INTERVAL
    del instance["track"], content["checks"], content["sync_groups"]
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
