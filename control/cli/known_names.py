"""What a word of the command line may become: the names that the daemons know.

Who presses Tab waits for nobody and reads no errors: a daemon that is not there, or is
slow, knows no names.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from control.addresses import with_port
from control.api.address import DEFAULT_SOCKET
from control.cli.client import Client, Failure
from control.cli.remote_options import chosen_remote

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from control.api.v1 import guideway_pb2 as pb

_PATIENCE: Final = 1.0  # seconds
_VERSIONS: Final = 50  # the newest ones
_REMOTE: Final = ("address", "ca", "cert", "key")


def service_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of services that begin with ``incomplete``, each of them once."""
    said = context.params.get("services") or ()
    names = (one.service.name for one in _services(context))
    return _begun(incomplete, (name for name in names if name not in said))


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


def zone_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the zones that backends have."""
    zones = {each.backend.zone for one in _services(context) for each in one.backends}
    return _begun(incomplete, zones - {""})


def endpoints(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return where services are reached, but for those of every port."""
    services = (one.service for one in _services(context))
    places = {with_port(one.vip, one.port) for one in services if one.port}
    return _begun(incomplete, places)


def interface_names(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[str]:
    """Return the interfaces that packets are balanced on."""
    from control.api.v1 import guideway_pb2 as pb  # noqa: PLC0415 - not to print a script

    try:
        request = pb.GetStatusRequest()
        node = _client(context).call(lambda stub: stub.GetStatus, request).node
    except (Failure, click.UsageError):
        return []
    return _begun(incomplete, (one.name for one in node.interfaces))


def own_interfaces(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the interfaces of this host."""
    from socket import if_nameindex  # noqa: PLC0415 - as above

    return _begun(incomplete, (name for _, name in if_nameindex()))


def version_numbers(
    context: click.Context, _: click.Parameter, incomplete: str
) -> "list[CompletionItem]":
    """Return the newest versions, with what they are."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415 - as above

    from control.api.v1 import configuration_pb2 as pb  # noqa: PLC0415

    try:
        request = pb.ListVersionsRequest(limit=_VERSIONS)
        answer = _client(context).configure(lambda stub: stub.ListVersions, request)
    except (Failure, click.UsageError):
        return []
    return [
        CompletionItem(str(one.version), help=one.comment)
        for one in answer.versions
        if str(one.version).startswith(incomplete)
    ]


def vrrp_instances(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[str]:
    """Return the instances of guideway-vrrpd on this host."""
    from vrrp.errors import HostError  # noqa: PLC0415 - as above
    from vrrp.inquiry import ask  # noqa: PLC0415
    from vrrp.requests import ShowStatus  # noqa: PLC0415

    group = context.parent or context
    try:
        answer = ask(Path(group.params["path"]), ShowStatus(), _PATIENCE)
    except HostError:
        return []
    return _begun(incomplete, answer.instances)


def check_kinds(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the kinds of checks."""
    from control.checks import CHECKS  # noqa: PLC0415 - as above

    return _begun(incomplete, CHECKS)


def _begun(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _services(context: click.Context) -> "Iterable[pb.ServiceStatus]":
    from control.api.v1 import guideway_pb2 as pb  # noqa: PLC0415 - as above

    try:
        request = pb.ListServicesRequest()
        answer = _client(context).call(lambda stub: stub.ListServices, request)
    except (Failure, click.UsageError):
        return ()
    return answer.services


def _client(context: click.Context) -> Client:
    """Return the daemon that the command will speak to; raise click.UsageError."""
    root = context.find_root()
    address, ca, cert, key = (root.params.get(name) for name in _REMOTE)
    remote = chosen_remote(root, {"address": address, "ca": ca, "cert": cert, "key": key})
    return Client(Path(root.params.get("socket") or DEFAULT_SOCKET), _PATIENCE, remote)
