"""Options and arguments that several commands share."""

from collections.abc import Callable
from typing import Any, Final, TypedDict

import click

from control.addresses import split_port
from control.api.v1 import guideway_pb2 as pb
from control.cli.checks import (
    KINDS,
    CheckDefaultsParameter,
    CheckParameter,
    with_common,
)
from control.cli.decoration import Command, decorated
from control.cli.durations import DurationParameter
from control.cli.known_names import check_kinds
from control.cli.ranges import Whole
from control.cli.session import PATIENCE, Session
from control.cli.slips import did_you_mean
from control.model import MAX_WEIGHT
from control.value_rules import MAX_RING_SIZE

_SETTINGS: Final = ("weight", "name", "zone")  # of a backend, behind its address


OUTPUT: Final = click.Choice(["table", "json", "yaml"])
OUTPUT_OF_SERVICES: Final = click.Choice([*OUTPUT.choices, "ipvsadm"])
PORT: Final = Whole(0, 65535)


class VersionParameter(Whole):
    """The number of a version, 0…2⁶⁴-1."""

    name = "version"

    def __init__(self) -> None:
        super().__init__(0, (1 << 64) - 1)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number, or say what is wrong with ``value``."""
        if not str(value).isdecimal():
            self.fail(f"{value!r} is not a version, which is a number", param, ctx)
        return int(super().convert(value, param, ctx))


VERSION: Final = VersionParameter()
WEIGHT: Final = Whole(0, MAX_WEIGHT)
RING_SIZE: Final = Whole(0, MAX_RING_SIZE)
MODE: Final = click.Choice(["dr", "nat"])
PROTOCOL: Final = click.Choice(["tcp", "udp"])
AFFINITY: Final = click.Choice(["transition", "always", "none"])
HASH: Final = click.Choice(["flow", "source"])
RETURNS: Final = click.Choice(["stateless", "tracked"])


def _set_output(context: click.Context, _: click.Parameter, value: str | None) -> None:
    session = context.find_object(Session)
    if session is not None and value is not None:
        session.output = value


output_option: Final = click.option(
    "-o",
    "--output",
    type=OUTPUT,
    callback=_set_output,
    expose_value=False,
    help="A table for people, JSON or YAML for programs.",
)
services_output_option: Final = click.option(
    "-o",
    "--output",
    type=OUTPUT_OF_SERVICES,
    callback=_set_output,
    expose_value=False,
    help="A table for people, JSON or YAML for programs, or as `ipvsadm -Ln` has it.",
)


def _set_comment(context: click.Context, _: click.Parameter, value: str) -> None:
    session = context.find_object(Session)
    if session is not None:
        session.comment = value


comment_option: Final = click.option(
    "--comment",
    default="",
    callback=_set_comment,
    expose_value=False,
    help="For the history: why.",
)


def _set_dry_run(context: click.Context, _: click.Parameter, value: bool) -> None:
    session = context.find_object(Session)
    if session is not None:
        session.dry_run = value


dry_run_option: Final = click.option(
    "--dry-run",
    is_flag=True,
    callback=_set_dry_run,
    expose_value=False,
    help="Only say what would change, and what that does to flows.",
)


def _set_wait(context: click.Context, _: click.Parameter, value: bool) -> None:
    session = context.find_object(Session)
    if session is not None:
        session.wait = value


wait_option: Final = click.option(
    "--wait",
    is_flag=True,
    is_eager=True,  # before --timeout, which looks for it
    callback=_set_wait,
    expose_value=False,
    help="End only when the kernel has it, the health of what changed is known, and who is "
    "up serves.",
)


def _set_patience(context: click.Context, _: click.Parameter, value: float | None) -> None:
    session = context.find_object(Session)
    if session is None or value is None:
        return
    if not session.wait:
        raise click.UsageError(
            "--timeout behind a command says how long --wait waits, which is not there; "
            "how long an answer may take stands before the command"
        )
    session.patience = value


timeout_option: Final = click.option(
    "--timeout",
    type=DurationParameter(),
    metavar=DurationParameter.name,
    callback=_set_patience,
    expose_value=False,
    help=f"With --wait: fail after so long.  [default: {PATIENCE:g}s]",
)


def changing(command: Command) -> Command:
    """Give a command what all that change something take: --dry-run, --comment, --wait."""
    for option in (timeout_option, wait_option, comment_option, dry_run_option):
        command = option(command)
    return command


class FlowOptions(TypedDict):
    """What :func:`flow_options` passes to a command."""

    ring_size: int | None
    affinity: str | None
    hash: str | None
    returns: str | None


def flow_options(command: Command) -> Command:
    """Give a command the options of how a service treats flows."""
    options = (
        click.option(
            "--ring-size",
            type=RING_SIZE,
            help="Slots, a prime; 0: chosen from the backends.",
        ),
        click.option(
            "--affinity",
            type=AFFINITY,
            help="Flows are recorded while their slot changes hands (the default), always, "
            "or never.",
        ),
        click.option(
            "--hash",
            type=HASH,
            help="flow: by addresses and ports (the default); source: all of a client's "
            "flows go to one backend.",
        ),
        click.option(
            "--returns",
            type=RETURNS,
            help="NAT replies are known by where they come from (stateless, the default), "
            "or by their flow (tracked).",
        ),
    )
    return decorated(command, options)


def affinity_value(spelled: str | None) -> pb.Affinity.ValueType:
    """Return the message's value; the unspecified one if the option is not given."""
    return pb.Affinity.Value(f"AFFINITY_{(spelled or 'unspecified').upper()}")


def hash_value(spelled: str | None) -> pb.Hash.ValueType:
    """Return the message's value; the unspecified one if the option is not given."""
    return pb.Hash.Value(f"HASH_{(spelled or 'unspecified').upper()}")


def returns_value(spelled: str | None) -> pb.Returns.ValueType:
    """Return the message's value; the unspecified one if the option is not given."""
    return pb.Returns.Value(f"RETURNS_{(spelled or 'unspecified').upper()}")


class CheckOptions(TypedDict):
    """What :func:`check_options` passes to a command."""

    checks: tuple[pb.HealthCheck, ...]
    check_interval: float | None
    check_timeout: float | None
    check_port: int | None
    rise: int | None
    fall: int | None
    no_check: bool
    check_defaults: pb.CheckDefaults | None


def _check_option(explained: str) -> Callable[[Command], Command]:
    return click.option(
        "--check",
        "checks",
        type=CheckParameter(),
        metavar=CheckParameter.name,
        multiple=True,
        shell_complete=check_kinds,
        help=explained,
    )


def check_options(command: Command) -> Command:
    """Give a command the options of health checks."""
    options = (
        _check_option(
            "A health check; may be repeated, and all have to pass. Kinds are "
            f"{', '.join(KINDS)}; keys are those of the configuration file."
        ),
        click.option("--check-interval", type=float, help="Seconds from probe to probe."),
        click.option("--check-timeout", type=float, help="Seconds to wait for an answer."),
        click.option("--check-port", type=PORT, help="0: the backend's own."),
        click.option("--rise", type=Whole(1, 1000), help="Successes to come up."),
        click.option("--fall", type=Whole(1, 1000), help="Failures to go down."),
        click.option("--no-check", is_flag=True, help="Take all backends as up."),
        click.option(
            "--check-defaults",
            type=CheckDefaultsParameter(),
            metavar=CheckDefaultsParameter.name,
            help="What checks of the service and its backends have where they do not say "
            "otherwise: interval=5,fall=2.",
        ),
    )
    return decorated(command, options)


def own_check_options(command: Command) -> Command:
    """Give a command the options of the checks of one backend."""
    options = (
        _check_option(
            "A health check for this backend, instead of the service's; may be repeated, "
            "and all have to pass."
        ),
        click.option("--no-check", is_flag=True, help="Take this backend as up."),
    )
    return decorated(command, options)


def own_checks(
    checks: tuple[pb.HealthCheck, ...], *, no_check: bool
) -> tuple[pb.HealthCheck, ...]:
    """Return the checks of one backend that are asked for, none if none are."""
    if no_check and checks:
        raise click.UsageError("--no-check contradicts --check")
    return (pb.HealthCheck(none=pb.NoCheck()),) if no_check else checks


def health_checks(options: CheckOptions) -> list[pb.HealthCheck]:
    """Return the checks that are asked for, none if none of their options is there.

    Options of all checks are for those of ``--check``, or else for those that there are.
    """
    common = pb.KnownChecks(
        interval=options["check_interval"],
        timeout=options["check_timeout"],
        rise=options["rise"],
        fall=options["fall"],
        port=options["check_port"],
    )
    some = bool(common.ListFields())
    if options["no_check"] and (some or options["checks"]):
        raise click.UsageError("--no-check contradicts the other options of the check")
    if options["no_check"]:
        return [pb.HealthCheck(none=pb.NoCheck())]
    if not options["checks"]:
        return [pb.HealthCheck(known=common)] if some else []
    return [with_common(check, common) for check in options["checks"]]


class BackendParameter(click.ParamType[pb.Backend]):
    """An address, and what it may have behind it; IPv6 with a port needs brackets."""

    name = "ADDRESS[:PORT][,weight=N][,name=X][,zone=Z]"

    def convert(
        self,
        value: str | pb.Backend,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> pb.Backend:
        """Return the backend, or say what is wrong with ``value``."""
        if isinstance(value, pb.Backend):
            return value
        place, *settings = value.split(",")
        address, port = split_port(place)
        backend = pb.Backend(address=address)
        if port is not None:
            backend.port = PORT(port, param, ctx)
        said: set[str] = set()
        for setting in settings:
            key_and_value = setting.partition("=")
            if key_and_value[0] in said:
                self.fail(f"{key_and_value[0]}: is there twice", param, ctx)
            said.add(key_and_value[0])
            match key_and_value:
                case ("weight", "=", weight):
                    backend.weight = WEIGHT(weight, param, ctx)
                case ("name", "=", name) if name:
                    backend.name = name
                case ("zone", "=", zone) if zone:
                    backend.zone = zone
                case ("name" | "zone" as key, _, _):
                    self.fail(f"{key}: needs a value, as {key}=X", param, ctx)
                case (key, _, _):
                    problem = f"{setting!r} is none of weight=N, name=X and zone=Z"
                    self.fail(f"{problem}{did_you_mean(key, _SETTINGS)}", param, ctx)
        return backend
