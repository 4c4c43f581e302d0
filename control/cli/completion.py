"""Tab completion: the scripts for shells. What they ask for is in known_names.py."""

from typing import Final

import click

_VARIABLE: Final = "_GUIDEWAY_COMPLETE"
_SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    epilog="Example: guideway completion bash > /etc/bash_completion.d/guideway; "
    "at once, in this shell: source <(guideway completion bash)"
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and names by Tab."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - rarely used

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click knows these three
    root = context.find_root()
    click.echo(found(root.command, {}, "guideway", _VARIABLE).source())
