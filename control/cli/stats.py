"""``guideway stats``."""

from typing import cast

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.options import output_option
from control.cli.plain_statistics import StatisticsPlain, statistics_plain
from control.cli.session import Session, pass_session
from control.cli.tables import statistics_view


@click.command(epilog="Example: guideway stats --reasons")
@click.option("--reasons", is_flag=True, help="Only why packets went where they went.")
@click.option("--services", is_flag=True, help="Only the traffic of each service.")
@click.option("--backends", is_flag=True, help="Only the traffic of each backend.")
@click.option("--all", "everything", is_flag=True, help="Reasons that never happened too.")
@output_option
@pass_session
def stats(
    session: Session, reasons: bool, services: bool, backends: bool, everything: bool
) -> None:
    """Show what was counted since the data plane was loaded."""
    answer = session.client.call(lambda stub: stub.GetStatistics, pb.GetStatisticsRequest())
    statistics = statistics_plain(answer)
    asked = {"reasons": reasons, "services": services, "backends": backends}
    if any(asked.values()):
        some = {part: counted for part, counted in statistics.items() if asked[part]}
        statistics = cast("StatisticsPlain", some)
    session.show(statistics, lambda: statistics_view(statistics, everything=everything))
