"""``guideway backend``."""

import time
from typing import Final

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.backend_view import backend_view
from control.cli.change import done, news
from control.cli.draining import wait_until_drained
from control.cli.durations import DurationParameter
from control.cli.known_names import backend_names, service_names, zone_names
from control.cli.options import (
    PORT,
    WEIGHT,
    BackendParameter,
    changing,
    comment_option,
    dry_run_option,
    output_option,
    own_check_options,
    own_checks,
)
from control.cli.plain_backend import shown_backend_plain
from control.cli.plain_service import backend_plain
from control.cli.session import Session, pass_session
from control.cli.tables import age, backends_table

_QUIET: Final = 30.0  # seconds without a packet that mean that no flow is left


@click.group()
def backend() -> None:
    """Backends: the real servers of a service."""


@backend.command("list", epilog="Example: guideway backend list web")
@click.argument("service", required=False, shell_complete=service_names)
@output_option
@pass_session
def list_backends(session: Session, service: str | None) -> None:
    """List the backends of SERVICE, or of all services."""
    call = session.client.call
    if service is None:
        services = list(
            call(lambda stub: stub.ListServices, pb.ListServicesRequest()).services
        )
    else:
        request = pb.GetServiceRequest(name=service)
        services = [call(lambda stub: stub.GetService, request).service]
    backends = [
        backend_plain(status.service.name, backend)
        for status in services
        for backend in status.backends
    ]
    session.show(
        backends,
        lambda: backends_table(backends, time.time(), with_service=service is None),
    )


@backend.command(epilog="Example: guideway backend show web 10.0.0.3")
@click.argument("service", shell_complete=service_names)
@click.argument("name", metavar="BACKEND", shell_complete=backend_names)
@output_option
@pass_session
def show(session: Session, service: str, name: str) -> None:
    """Show BACKEND of SERVICE with what its probes have found: why it is down."""
    request = pb.GetBackendRequest(service=service, backend=name)
    answer = session.client.call(lambda stub: stub.GetBackend, request)
    plain = shown_backend_plain(service, answer)
    session.show(plain, lambda: backend_view(plain, time.time()))


@backend.command(
    epilog="Example: guideway backend add web 10.0.0.3 --weight 2; "
    "or: guideway backend add web 10.0.0.3:8080,weight=2"
)
@click.argument("service", shell_complete=service_names)
@click.argument("new", type=BackendParameter(), metavar=BackendParameter.name)
@click.option("--port", type=PORT, help="Defaults to the service's, as it must be in DR.")
@click.option("--name", help="Defaults to ADDRESS.")
@click.option("--weight", type=WEIGHT, help="Defaults to 1.")
@click.option(
    "--zone",
    shell_complete=zone_names,
    help="What fails together with it, such as a rack.",
)
@own_check_options
@changing
@output_option
@pass_session
def add(  # noqa: PLR0913 (one parameter per option)
    session: Session,
    service: str,
    new: pb.Backend,
    *,
    port: int | None,
    name: str | None,
    weight: int | None,
    zone: str | None,
    checks: tuple[pb.HealthCheck, ...],
    no_check: bool,
) -> None:
    """Let the server at ADDRESS serve SERVICE.

    Port, name, weight and zone may stand behind the address, as in `guideway service
    add`, or be options; not both. An IPv6 address with a port is written [ADDRESS]:PORT.
    """
    if name == "":
        raise click.UsageError("--name '' is no name; without it, the address is the name")
    options = pb.Backend(port=port, name=name or "", weight=weight, zone=zone or "")
    twice = {field.name for field, _ in options.ListFields()} & {
        field.name for field, _ in new.ListFields()
    }
    if twice:
        what = " and ".join(f"--{name}" for name in sorted(twice))
        raise click.UsageError(f"{what}: stands behind the address already; say it once")
    new.MergeFrom(options)
    new.checks.extend(own_checks(checks, no_check=no_check))
    request = pb.AddBackendRequest(service=service, backend=new)
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.AddBackend, request)
    done(session, f"{new.name or new.address} is added to {service}", answer, service)


@backend.command("set", epilog="Example: guideway backend set web 10.0.0.3 --weight 5")
@click.argument("service", shell_complete=service_names)
@click.argument("name", metavar="BACKEND", shell_complete=backend_names)
@click.option("--weight", type=WEIGHT, help="Its share relative to the others'; 0: none.")
@click.option("--state", type=click.Choice(["active", "draining", "disabled"]))
@click.option(
    "--zone",
    shell_complete=zone_names,
    help="What fails together with it, such as a rack; '': nothing.",
)
@own_check_options
@click.option(
    "--service-check", is_flag=True, help="Let the service's checks count for it again."
)
@changing
@output_option
@pass_session
def set_backend(  # noqa: PLR0913 (one parameter per option)
    session: Session,
    service: str,
    name: str,
    *,
    weight: int | None,
    state: str | None,
    zone: str | None,
    checks: tuple[pb.HealthCheck, ...],
    no_check: bool,
    service_check: bool,
) -> None:
    """Change what is given of the backend BACKEND of SERVICE."""
    facts = []
    request = pb.SetBackendRequest(service=service, backend=name)
    if weight is not None:
        request.weight = weight
        facts.append(f"weight {weight}")
    if state is not None:
        request.state = pb.BackendState.Value(f"BACKEND_STATE_{state.upper()}")
        facts.append(f"state {state}")
    if zone is not None:
        request.zone = zone
        facts.append(f"zone {zone}" if zone else "no zone")
    if wanted := own_checks(checks, no_check=no_check):
        request.checks.extend(wanted)
        facts.append("no check" if no_check else "checks of its own")
    if service_check:
        if wanted:
            raise click.UsageError("--service-check contradicts --check and --no-check")
        request.service_checks = True
        facts.append("the checks of the service")
    if not facts:
        raise click.UsageError("say what to change: --weight, --state, --zone or --check")
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.SetBackend, request)
    sentence = f"{name} has {' and '.join(facts)} in {service} now"
    told = news(f"backend {name} of {service}", sentence, answer)
    done(session, told, answer, service)


@backend.command(
    epilog="Example: guideway backend drain web 10.0.0.3; "
    "to undo it: guideway backend set web 10.0.0.3 --state active"
)
@click.argument("service", shell_complete=service_names)
@click.argument("name", metavar="BACKEND", shell_complete=backend_names)
@click.option(
    "--deadline",
    type=DurationParameter(),
    metavar=DurationParameter.name,
    help="After this time the flows that it still has are cut: 10m, 1h.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="End only when it has no flows left, or when the deadline has passed.",
)
@click.option(
    "--quiet",
    type=DurationParameter(),
    metavar=DurationParameter.name,
    help="With --wait: so long without a packet means that no flow is left. Default: 30s.",
)
@comment_option
@dry_run_option
@output_option
@pass_session
def drain(
    session: Session,
    service: str,
    name: str,
    *,
    deadline: float | None,
    wait: bool,
    quiet: float | None,
) -> None:
    """Give BACKEND no part of SERVICE any more, but keep it.

    Flows that it has stay with it, until the deadline if there is one. With --wait, how far
    it is goes to stderr every 5 seconds, and a guidewayd that is restarted is asked again.
    """
    if quiet is not None and not wait:
        raise click.UsageError("--quiet says when --wait is over, and goes with it only")
    if deadline == 0:
        raise click.UsageError(
            "--deadline 0s would cut its flows at once: that is `backend set … --state "
            "disabled`"
        )
    request = pb.SetBackendRequest(
        service=service,
        backend=name,
        state=pb.BACKEND_STATE_DRAINING,
        drain_within=deadline,
    )
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.SetBackend, request)
    flows = "those that it has stay"
    if deadline is not None:
        flows = f"those that it has stay for {age(deadline)} more"
    sentence = news(
        f"backend {name} of {service}",
        f"{name} gets no new flows of {service} any more; {flows}",
        answer,
    )
    if wait and not session.dry_run:
        click.echo(sentence, err=True)
        outcome = wait_until_drained(
            session.client, service, name, _QUIET if quiet is None else quiet
        )
        sentence = f"{name} is drained: {outcome}"
    done(session, sentence, answer)


@backend.command(epilog="Example: guideway backend remove web 10.0.0.3")
@click.argument("service", shell_complete=service_names)
@click.argument("name", metavar="BACKEND", shell_complete=backend_names)
@changing
@output_option
@pass_session
def remove(session: Session, service: str, name: str) -> None:
    """Remove BACKEND from SERVICE."""
    request = pb.RemoveBackendRequest(service=service, backend=name)
    request.comment, request.dry_run = session.comment, session.dry_run
    answer = session.client.call(lambda stub: stub.RemoveBackend, request)
    done(session, f"{name} serves {service} no more", answer, service)
