"""``guideway vrrp``: who has the virtual addresses. Speaks with guideway-vrrpd itself."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from control.cli.client import Failure
from control.cli.known_names import vrrp_instances
from control.cli.options import output_option
from control.cli.session import Session, pass_session
from control.cli.tables import vrrp_view

if TYPE_CHECKING:
    from vrrp.requests import Answer, AnyRequest

_DEFAULT_SOCKET: Final = Path("/run/guideway/vrrpd.sock")


@click.group()
@click.option(
    "--socket",
    "path",
    type=click.Path(readable=False, path_type=Path),
    envvar="GUIDEWAY_VRRP_SOCKET",
    default=_DEFAULT_SOCKET,
    show_default=True,
    show_envvar=True,
    help="Where guideway-vrrpd listens: beside its status file.",
)
@click.pass_context
def vrrp(context: click.Context, path: Path) -> None:
    """Look at VRRP, hand the addresses over, take the node out of service."""
    context.meta[__name__] = path


@vrrp.command(epilog="Example: guideway vrrp status")
@output_option
@pass_session
@click.pass_context
def status(context: click.Context, session: Session) -> None:
    """Show each instance: what it is, who is Active, why it rests."""
    from vrrp.requests import ShowStatus  # noqa: PLC0415

    answer = _ask(context, session, ShowStatus())
    plain = {"maintenance": answer.maintenance, "instances": answer.instances}
    session.show(plain, lambda: vrrp_view(plain, time.time()))


@vrrp.command(epilog="Example: guideway vrrp failover front")
@click.argument("instance", shell_complete=vrrp_instances)
@output_option
@pass_session
@click.pass_context
def failover(context: click.Context, session: Session, instance: str) -> None:
    """Hand INSTANCE, with its sync group, over to a peer.

    This node keeps the addresses until a peer says that it has them, so no packet finds
    nobody. It stays Backup, whatever the priorities, until that peer goes or hands over. If
    no peer takes over within two intervals, everything stays as it was.
    """
    from vrrp.requests import Failover  # noqa: PLC0415

    answer = _ask(context, session, Failover(instance))
    session.said(f"handed over: {', '.join(answer.moved)}", moved=list(answer.moved))


@vrrp.command(epilog="Example: guideway vrrp maintenance on")
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.option("--force", is_flag=True, help="Rest even if no peer takes over.")
@output_option
@pass_session
@click.pass_context
def maintenance(
    context: click.Context, session: Session, switch: str, *, force: bool
) -> None:
    """Hand everything over and rest, also after a reboot, until it is turned off."""
    from vrrp.requests import Maintain  # noqa: PLC0415

    answer = _ask(context, session, Maintain(on=switch == "on", force=force))
    moved = f"; handed over: {', '.join(answer.moved)}" if answer.moved else ""
    session.said(
        f"maintenance is {switch}{moved}",
        maintenance=answer.maintenance,
        moved=list(answer.moved),
    )


def _ask(context: click.Context, session: Session, request: "AnyRequest") -> "Answer":
    """Return the answer of guideway-vrrpd; raise Failure."""
    from vrrp.errors import HostError  # noqa: PLC0415
    from vrrp.inquiry import ask  # noqa: PLC0415

    path: Path = context.meta[__name__]
    try:
        answer = ask(path, request, session.client.timeout)
    except HostError as error:
        raise Failure(str(error)) from error
    if answer.problem:
        raise Failure(answer.problem)
    return answer
