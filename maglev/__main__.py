"""``python -m maglev``: what a table does to the traffic, before it is configured."""

import json
import re
from typing import Any

import click
from rich.console import Console

from maglev.report import as_tables, as_values
from maglev.table import MAX_BACKENDS, MAX_SEED, MAX_WEIGHT, default_size
from maglev.whatif import Question, answer

_COUNT = click.IntRange(1, MAX_BACKENDS)


class Weights(click.ParamType[tuple[int, ...]]):
    """``900x1,100x10``: 900 backends of weight 1 and 100 of weight 10."""

    name = "NxWEIGHT[,…]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the weights of all backends."""
        groups = [re.fullmatch(r"(?:(\d{1,5})x)?(\d{1,5})", g) for g in value.split(",")]
        weights: list[int] = []
        for group in groups:
            if group is None:
                self.fail(f"{value!r} is not like 900x1,100x10 (or 1,1,5)", param, ctx)
            weights += [int(group[2])] * int(group[1] or 1)
        return tuple(weights)


_HELP = """Say how even a Maglev table is, and what a change of its backends moves.

A slot is a share of all flows: when it changes, so does the backend of its flows.
"overlay" gives the slots of backends that are down to survivors; "rebuilt" is what Maglev's
table becomes without them, and how a changed configuration is built. What changes
needlessly, others had to give away besides. "busiest" and "idlest" are those two backends'
slots against their exact shares. Backends have made-up names: other names, or another
--seed, are another draw.

\b
Examples:
  python -m maglev --backends 1000 --size 65537 --fail 10
  python -m maglev --weights 900x1,100x10 --reweight 2
  python -m maglev --backends 40 --zones 4 --fail-zone
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--backends", type=_COUNT, help="So many backends of weight 1.")
@click.option("--weights", type=Weights(), help="Or groups of backends with their weights.")
@click.option("--size", type=int, help="Slots, a prime [default: by the backends].")
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), default=0, help="For another draw."
)
@click.option("--fail", type=_COUNT, help="So many go down at once.")
@click.option("--zones", type=click.IntRange(2), help="Spread them over failure domains.")
@click.option("--fail-zone", is_flag=True, help="A whole failure domain goes down.")
@click.option("--add", type=_COUNT, help="So many of weight 1 are configured.")
@click.option("--remove", type=_COUNT, help="So many are taken out of the configuration.")
@click.option(
    "--reweight", type=click.IntRange(0, MAX_WEIGHT), help="The first one's new weight."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="For people or for programs.",
)
def main(
    backends: int | None,
    weights: tuple[int, ...] | None,
    size: int | None,
    output: str,
    **changes: Any,
) -> None:
    """Answer the question on the command line."""
    if (backends is None) == (weights is None):
        raise click.UsageError("give either --backends or --weights")
    if changes["fail_zone"] and not changes["zones"]:
        raise click.UsageError("--fail-zone needs --zones")
    pool = weights or (1,) * (backends or 0)
    given = {name: value for name, value in changes.items() if value is not None}
    slots = default_size(len(pool)) if size is None else size
    try:
        found = answer(Question(pool, slots, **given))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if size is None:
        _warn_of_another_size(slots, len(pool), changes)
    if output == "json":
        click.echo(json.dumps(as_values(found), indent=2))
        return
    console = Console(width=100, highlight=False)  # narrower, it would cut off digits
    for table in as_tables(found):
        console.print(table)


def _warn_of_another_size(size: int, backends: int, changes: dict[str, Any]) -> None:
    """Say so if the default size is another one after a change of the configuration."""
    for count in (changes["add"] or 0, -(changes["remove"] or 0)):
        other = default_size(backends + count)
        if other != size:
            click.echo(
                f"Note: the default size for {backends + count} backends is {other}, and "
                "a ring of another size is another table: nearly all flows have another "
                "backend there. The answer is for a service that names its ring_size.",
                err=True,
            )


if __name__ == "__main__":
    main(prog_name="python -m maglev")
