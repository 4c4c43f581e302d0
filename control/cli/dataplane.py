"""``guideway dataplane``: the program and its maps."""

import sys
import time
from typing import Final

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.client import Failure
from control.cli.options import output_option
from control.cli.plain_node import data_plane_plain
from control.cli.session import Session, pass_session
from control.cli.tables import data_plane_view

_RELOAD_TIMEOUT: Final = 270.0  # seconds; the loader itself gives up after 240
_WARNING: Final = (
    "Nothing is balanced any more, and all connections through this node break."
)


@click.group()
def dataplane() -> None:
    """Look at the XDP program and its maps, load them anew, take them away."""


@dataplane.command(epilog="Example: guideway -o json dataplane status")
@output_option
@pass_session
def status(session: Session) -> None:
    """Show the program, where it is attached, and how full the maps are."""
    answer = session.client.call(
        lambda stub: stub.GetDataPlane, pb.GetDataPlaneRequest()
    ).data_plane
    plain = data_plane_plain(answer)
    session.show(plain, lambda: data_plane_view(plain, time.time()))


@dataplane.command(epilog="Example: guideway dataplane reload")
@output_option
@pass_session
def reload(session: Session) -> None:
    """Load the program anew and swap it in; no packet is lost, no counter starts anew.

    After `detach` it is attached again. Waits for 90 seconds, unless --timeout says
    something else: compiling takes its time where the machine is busy.
    """
    client = session.patient(_RELOAD_TIMEOUT)
    answer = client.call(lambda stub: stub.ReloadDataPlane, pb.ReloadDataPlaneRequest())
    session.said(f"program {answer.digest} is loaded anew", digest=answer.digest)


@dataplane.command(epilog="Example: guideway dataplane detach --yes")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
@pass_session
def detach(session: Session, *, yes: bool) -> None:
    """Take program, links and maps out of the kernel: nothing is balanced any more.

    guidewayd goes on without them until `guideway dataplane reload`, or until it is
    restarted. Where it is not running, `guidewayd --detach` does the same.
    """
    try:
        session.client.reach()
    except Failure as failure:
        other_way = "`guidewayd --detach` takes the data plane away without it"
        raise Failure(f"{failure.message}; {other_way}") from failure
    if not yes:
        _ask()
    session.client.call(lambda stub: stub.DetachDataPlane, pb.DetachDataPlaneRequest())
    session.said("the data plane is detached")


def _ask() -> None:
    """Have a person say yes; raise Failure without one."""
    if not sys.stdin.isatty():
        raise Failure(f"{_WARNING} If that is what you want, say --yes.")
    click.confirm(f"{_WARNING} Detach?", abort=True, err=True)
