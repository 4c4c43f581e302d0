"""``guideway service``."""

import time
from typing import Unpack

import click

from control.addresses import endpoint
from control.api.v1 import guideway_pb2 as pb
from control.cli.change import done, news
from control.cli.ipvsadm import services_as_ipvsadm
from control.cli.known_names import service_names
from control.cli.options import (
    MODE,
    PORT,
    PROTOCOL,
    BackendParameter,
    CheckOptions,
    FlowOptions,
    affinity_value,
    changing,
    check_options,
    flow_options,
    hash_value,
    health_checks,
    output_option,
    returns_value,
    services_output_option,
)
from control.cli.plain_service import service_plain
from control.cli.pool import PoolOptions, pool_options, pool_policy
from control.cli.session import Session, pass_session
from control.cli.tables import service_view, services_table


class Settings(FlowOptions, CheckOptions, PoolOptions):
    """The options that adding and changing have in common."""


@click.group()
@click.pass_context
def service(context: click.Context) -> None:
    """Virtual services: a VIP, a protocol, a port and who serves them."""
    session = context.find_object(Session)
    if session is not None and context.invoked_subcommand != "list":
        session.refuse_ipvsadm()


@service.command("list", epilog="Example: guideway service list -o ipvsadm")
@services_output_option
@pass_session
def list_services(session: Session) -> None:
    """List all services."""
    answer = session.client.call(lambda stub: stub.ListServices, pb.ListServicesRequest())
    services = [service_plain(status) for status in answer.services]
    session.show(
        services, lambda: services_table(services), lambda: services_as_ipvsadm(services)
    )


@service.command(epilog="Example: guideway service show web")
@click.argument("name", shell_complete=service_names)
@output_option
@pass_session
def show(session: Session, name: str) -> None:
    """Show all about the service NAME."""
    request = pb.GetServiceRequest(name=name)
    answer = session.client.call(lambda stub: stub.GetService, request)
    service = service_plain(answer.service)
    session.show(service, lambda: service_view(service, time.time()))


@service.command(
    epilog="Example: guideway service add web --vip 192.0.2.10 --port 80 --mode dr "
    "--backend 10.0.0.1 --backend 10.0.0.2,weight=2"
)
@click.argument("name")
@click.option("--vip", required=True, metavar="ADDRESS", help="What clients reach.")
@click.option("--port", required=True, type=PORT, help="0: every port.")
@click.option("--protocol", type=PROTOCOL, default="tcp", show_default=True)
@click.option(
    "--mode", type=MODE, required=True, help="dr: rewrite the MAC; nat: address and port."
)
@click.option(
    "--backend",
    "backends",
    type=BackendParameter(),
    metavar=BackendParameter.name,
    multiple=True,
    help="A server; may be repeated. Its port defaults to the service's; an IPv6 address "
    "with a port is written [ADDRESS]:PORT.",
)
@flow_options
@check_options
@pool_options
@changing
@output_option
@pass_session
def add(  # noqa: PLR0913 (one parameter per option)
    session: Session,
    name: str,
    *,
    vip: str,
    port: int,
    protocol: str,
    mode: str,
    backends: tuple[pb.Backend, ...],
    **settings: Unpack[Settings],
) -> None:
    """Add the service NAME."""
    wanted = pb.Service(
        name=name,
        vip=vip,
        port=port,
        protocol=pb.Protocol.Value(f"PROTOCOL_{protocol.upper()}"),
        mode=pb.Mode.Value(f"MODE_{mode.upper()}"),
        checks=health_checks(settings),
        ring_size=settings["ring_size"] or 0,
        affinity=affinity_value(settings["affinity"]),
        hash=hash_value(settings["hash"]),
        returns=returns_value(settings["returns"]),
        pool=pool_policy(settings),
        check_defaults=settings["check_defaults"],
    )
    request = pb.AddServiceRequest(service=wanted, backends=backends)
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.AddService, request)
    sentence = f"service {name} is added at {endpoint(vip, port)}/{protocol}"
    done(session, sentence, answer, name)


@service.command(
    epilog="Example: guideway service change web --check http,path=/health --fall 2"
)
@click.argument("name", shell_complete=service_names)
@click.option("--name", "new_name", metavar="NEW", help="Call it so; its flows stay.")
@click.option("--vip", metavar="ADDRESS", help="What clients reach; its flows end.")
@click.option(
    "--port",
    type=PORT,
    help="0: every port; its flows end. Backends listen where they did, but by dr.",
)
@click.option("--protocol", type=PROTOCOL, help="Its flows end.")
@click.option("--mode", type=MODE, help="dr: rewrite the MAC; nat: address and port.")
@flow_options
@check_options
@pool_options
@changing
@output_option
@pass_session
def change(  # noqa: PLR0913 (one parameter per option)
    session: Session,
    name: str,
    *,
    new_name: str | None,
    vip: str | None,
    port: int | None,
    protocol: str | None,
    mode: str | None,
    **settings: Unpack[Settings],
) -> None:
    """Change what is given of the service NAME.

    With another VIP, port or protocol it is another service to clients: what they have
    open ends. --dry-run says what a change does to flows.
    """
    request = pb.ChangeServiceRequest(
        name=name,
        new_name=new_name,
        vip=vip,
        port=port,
        protocol=(
            None if protocol is None else pb.Protocol.Value(f"PROTOCOL_{protocol.upper()}")
        ),
        mode=None if mode is None else pb.Mode.Value(f"MODE_{mode.upper()}"),
        checks=health_checks(settings),
        ring_size=settings["ring_size"],
        affinity=affinity_value(settings["affinity"]),
        hash=hash_value(settings["hash"]),
        returns=returns_value(settings["returns"]),
        pool=pool_policy(settings),
        check_defaults=settings["check_defaults"],
    )
    if request == pb.ChangeServiceRequest(name=name):
        raise click.UsageError(
            "say what to change: --name, --vip, --port, --protocol, --mode, --ring-size, "
            "--affinity, --hash, --returns, --quorum and its like, --check-defaults, or "
            "the check"
        )
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.ChangeService, request)
    sentence = f"service {name} is changed"
    if new_name is not None:
        sentence += f", and called {new_name} now"
    told = news(f"service {name}", sentence, answer)
    done(session, told, answer, new_name or name)


@service.command(epilog="Example: guideway service remove web")
@click.argument("name", shell_complete=service_names)
@changing
@output_option
@pass_session
def remove(session: Session, name: str) -> None:
    """Remove the service NAME and its backends."""
    request = pb.RemoveServiceRequest(name=name)
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.RemoveService, request)
    done(session, f"service {name} is gone", answer)
