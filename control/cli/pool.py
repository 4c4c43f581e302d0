"""The policy of a service's pool on the command line: its options, and how it is shown."""

from collections.abc import Callable, Iterator
from typing import Final, TypedDict

import click

from control.api.v1 import guideway_pb2 as pb
from control.cli.decoration import Command, decorated
from control.cli.durations import DurationParameter
from control.cli.plain_service import PoolPlain
from control.cli.ranges import Real, Whole
from control.pool_policy import MAX_QUORUM

WHEN_ALL_DOWN: Final = click.Choice(["sorry", "none", "all", "last_known"])


class PoolOptions(TypedDict):
    """What :func:`pool_options` passes to a command."""

    quorum: int | None
    hysteresis: int | None
    sorry_server: str | None
    when_all_down: str | None
    keep_flows: bool | None
    max_ejected: float | None
    slow_start: float | None
    watch_handshakes: bool | None


def pool_options(command: Command) -> Command:
    """Give a command the options of how a service treats its backends as a whole."""
    options = (
        click.option(
            "--quorum",
            type=Whole(1, MAX_QUORUM),
            help="Weight that has to be up, or else the sorry server serves.",
        ),
        click.option(
            "--hysteresis",
            type=Whole(0, MAX_QUORUM),
            help="By how much more to gain the quorum, and less to lose it.",
        ),
        click.option(
            "--sorry-server",
            metavar="ADDRESS[:PORT]",
            help="Who serves while there is no quorum; '': nobody.",
        ),
        click.option(
            "--when-all-down",
            type=WHEN_ALL_DOWN,
            help="Who serves when all backends fail: the sorry server (the default), "
            "nobody, all of them, or those that served last.",
        ),
        _either(
            "--keep-flows/--move-flows",
            "Flows of a backend that fails stay with it, or move to others at once "
            "(the default).",
        ),
        click.option(
            "--max-ejected",
            type=Real(0, 1),
            help="Part of the backends that checks may take out at a time.",
        ),
        click.option(
            "--slow-start",
            type=DurationParameter(),
            metavar=DurationParameter.name,
            help="In which a backend that comes up gets its weight, in ten steps; 0: at "
            "once.",
        ),
        _either(
            "--watch-handshakes/--ignore-handshakes",
            "Suspect backends of which far fewer TCP handshakes are completed than of "
            "the others, or do not (the default).",
        ),
    )
    return decorated(command, options)


def _either(flags: str, explained: str) -> Callable[[Command], Command]:
    """Return an option of two flags, of which one may be given."""

    def only(_: click.Context, __: click.Parameter, given: tuple[bool, ...]) -> bool | None:
        if len(set(given)) > 1:
            raise click.UsageError(f"{' contradicts '.join(flags.split('/'))}")
        return given[0] if given else None

    return click.option(flags, multiple=True, callback=only, help=explained)


def pool_policy(options: PoolOptions) -> pb.PoolPolicy | None:
    """Return what is asked for; None if no option is given."""
    spelled = (options["when_all_down"] or "unspecified").upper()
    policy = pb.PoolPolicy(
        quorum=options["quorum"],
        hysteresis=options["hysteresis"],
        sorry_server=options["sorry_server"],
        when_all_down=pb.WhenAllDown.Value(f"WHEN_ALL_DOWN_{spelled}"),
        keep_flows=options["keep_flows"],
        max_ejected=options["max_ejected"],
        slow_start=options["slow_start"],
        watch_handshakes=options["watch_handshakes"],
    )
    return policy if policy.ListFields() else None


def pool_facts(pool: PoolPlain) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a service's pool."""
    if pool["quorum"] > 1 or pool["sorry_server"] or not pool["quorum_reached"]:
        band = f" ± {pool['hysteresis']}" if pool["hysteresis"] else ""
        there = "there" if pool["quorum_reached"] else "lost"
        wanted = f"{pool['quorum']}{band}"
        yield "quorum", f"{there}: weight {pool['live_weight']} is up, of {wanted}"
    if pool["sorry_server"]:
        yield "sorry server", f"{pool['sorry_server']}, {_sorry(pool)}"
    if pool["when_all_down"] != "sorry":
        yield "when all are down", f"{pool['when_all_down']} serve"
    if pool["keep_flows"]:
        yield "flows of who fails", "stay with it"
    if pool["max_ejected"] < 1:
        yield "ejected at most", f"{pool['max_ejected']:.0%} of the backends"
    if pool["slow_start"]:
        yield "slow start", f"{pool['slow_start']:g} s"
    if pool["watch_handshakes"]:
        yield "handshakes", "watched"


def _sorry(pool: PoolPlain) -> str:
    if pool["sorry_serves"]:
        return "serves"
    return pool["sorry_problem"] or "not needed now"
