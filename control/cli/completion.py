"""Tab completion: the scripts for shells, and the names that the daemon knows.

Who presses Tab waits for nobody and reads no errors: a daemon that is not there, or is
slow, knows no names.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from control.api.address import DEFAULT_SOCKET
from control.cli.client import Client, Failure

if TYPE_CHECKING:
    from control.api.v1 import guideway_pb2 as pb

_PATIENCE: Final = 1.0  # seconds
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


def service_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of services that begin with ``incomplete``."""
    return _begun(incomplete, (one.service.name for one in _services(context)))


def backend_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of backends of the service that was named before."""
    service = context.params.get("service")
    return _begun(
        incomplete,
        (
            status.backend.name
            for one in _services(context)
            if one.service.name == service
            for status in one.backends
        ),
    )


def _begun(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _services(context: click.Context) -> "Iterable[pb.ServiceStatus]":
    from control.api.v1 import guideway_pb2 as pb  # noqa: PLC0415 - not to print a script

    socket = context.find_root().params.get("socket") or DEFAULT_SOCKET
    client = Client(Path(socket), _PATIENCE)
    try:
        answer = client.call(lambda stub: stub.ListServices, pb.ListServicesRequest())
    except Failure:
        return ()
    return answer.services
