"""``python -m vagrant.lab up`` leaves a lab running to play with, ``down`` removes it."""

import shlex
import sys
from pathlib import Path
from typing import Final

import click

from control.model import Mode
from vagrant.lab import cleanup, requirements
from vagrant.lab.errors import LabError
from vagrant.lab.hosts import PROJECT
from vagrant.lab.lab import LARGE_FILE, Lab
from vagrant.lab.signals import unwind_on_signals
from vagrant.lab.topology import CLIENT, VIP, DrTopology, NatTopology, Topology
from vrrp.requests import SOCKET_NAME

KINDS: Final[dict[str, type[Topology]]] = {
    Mode.DR.value: DrTopology,
    Mode.NAT.value: NatTopology,
}
_LARGE_FILE_BYTES: Final = 32 << 20
_NAME: Final = "lab"  # that of make lab and make lab-down
_name_option: Final = click.option(
    "--name", default=_NAME, show_default=True, help="Several labs need several names."
)


@click.group()
def main() -> None:
    """Leave a lab of network namespaces running to play with, or remove it."""
    unwind_on_signals()
    problem = requirements.missing()
    if problem is not None:
        raise click.ClickException(problem)


@main.command()
@click.option("--mode", type=click.Choice(list(KINDS)), default="dr", show_default=True)
@click.option("--empty", is_flag=True, help="Let its nodes balance nothing yet.")
@_name_option
def up(mode: str, name: str, *, empty: bool) -> None:
    """Make a lab, replacing the one of that name, and say what to try in it."""
    kind = KINDS[mode]
    if cleanup.exists(name):
        click.echo(f"The lab {name!r} is there already: it is replaced.")
    with Lab(name, kind, empty=empty, large_file_bytes=_LARGE_FILE_BYTES) as lab:
        lab.start()
        page = _empty_page(lab, kind) if empty else _page(lab, kind)
        lab.leave_running()
    click.echo(page)


@main.command()
@_name_option
def down(name: str) -> None:
    """Remove a lab and everything that runs in it."""
    with cleanup.exclusive(name):
        there = cleanup.exists(name)
        cleanup.remove(name)
    click.echo(f"The lab {name!r} is gone." if there else f"There is no lab {name!r}.")


def _page(lab: Lab, kind: type[Topology]) -> str:
    """Return what to try in the lab, with commands that can be pasted."""
    enter = f"ip netns exec {lab.client.namespace}"
    url = f"http://{VIP}/"
    guideway = _guideway()
    active = lab.topology.balancers["lb1"].namespace
    backend = lab.topology.backends["b1"].namespace
    return f"""
{_drawing(kind)}
The lab {lab.name!r} is up: service web at {VIP}:80, weights 3:2:1. To try, as root:

ask through the VIP
  {enter} curl -s {url}
see who answers how often
  for i in $(seq 60); do {enter} curl -s {url}; done | sort | uniq -c
download a larger file
  {enter} curl -o /dev/null {url}{LARGE_FILE}
look at lb1, change what it does (lb2 has a socket of its own, and is told separately)
  export GUIDEWAY_SOCKET={lab.nodes["lb1"].paths.socket}
  {guideway} status
  {guideway} service show web
  {guideway} stats
  {guideway} backend drain web b2
  export GUIDEWAY_VRRP_SOCKET={lab.nodes["lb1"].paths.directory / SOCKET_NAME}
  {guideway} vrrp status
watch requests come to b1 (tcpdump on lb1 sees nothing of what XDP forwards)
  ip netns exec {backend} tcpdump -nei eth0 src {CLIENT}
kill b1's web server (make lab again brings everything back)
  kill -9 {lab.servers["b1"]["web"].pid}
kill lb1, the Active node, and see lb2 take over
  ip netns pids {active} | xargs kill -9; ip -n {active} link set eth0 down
  cat {lab.nodes["lb2"].paths.vrrp_status}
read files and logs
  ls -R {lab.directory}
remove it all
  {_removal(lab.name)}
""".strip("\n")


def _empty_page(lab: Lab, kind: type[Topology]) -> str:
    """Return what an empty lab waits for."""
    service = lab.services[0]
    add = f"service add web --vip {service.vip} --port {service.port} --mode {kind.mode}"
    servers = " ".join(
        f"--backend {backend.address}:{backend.port}" for backend in service.backends
    )
    return f"""
{_drawing(kind)}
The lab {lab.name!r} is up, and its nodes balance nothing yet. To try, as root:

add a service to lb1, the Active node (lb2 has a socket of its own)
  export GUIDEWAY_SOCKET={lab.nodes["lb1"].paths.socket}
  {_guideway()} {add} {servers} --wait
ask through the VIP
  ip netns exec {lab.client.namespace} curl -s http://{VIP}/
remove it all
  {_removal(lab.name)}
""".strip("\n")


def _drawing(kind: type[Topology]) -> str:
    """Return the picture in the topology's docstring."""
    _, _, picture = (kind.__doc__ or "").partition("::")
    return picture.rstrip()


def _guideway() -> str:
    """Return how to call the command line: the script, if it is installed."""
    script = Path(sys.executable).with_name("guideway")
    return shlex.quote(str(script)) if script.exists() else _module("control.cli.main")


def _removal(name: str) -> str:
    return (
        "make lab-down" if name == _NAME else f"{_module('vagrant.lab')} down --name {name}"
    )


def _module(name: str) -> str:
    """Return how to call one of our modules, installed or not."""
    return f"cd {shlex.quote(str(PROJECT))} && {shlex.quote(sys.executable)} -m {name}"


if __name__ == "__main__":
    try:
        main(prog_name="python -m vagrant.lab")
    except LabError as error:
        sys.exit(str(error))
