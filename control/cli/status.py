"""``guideway status``."""

import time

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.options import output_option
from control.cli.plain_node import node_plain
from control.cli.session import Session, pass_session
from control.cli.tables import node_view


@click.command(epilog="Example: guideway status")
@output_option
@pass_session
def status(session: Session) -> None:
    """Show how this node is, and what should be mended."""
    answer = session.client.call(lambda stub: stub.GetStatus, pb.GetStatusRequest())
    node = node_plain(answer.node)
    session.show(node, lambda: node_view(node, time.time()))
