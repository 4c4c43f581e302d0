"""``guideway explain``."""

from typing import Final

import click

from control.addresses import split_port
from control.api.v1 import guideway_pb2 as pb
from control.cli.explained import explanation_plain, explanation_view
from control.cli.known_names import endpoints, interface_names
from control.cli.options import PROTOCOL, output_option
from control.cli.ranges import Whole
from control.cli.session import Session, pass_session

_TIMEOUT: Final = 75.0  # seconds; guidewayd itself gives up after 60
_PORT: Final = Whole(1, 65535)
_VLAN: Final = Whole(1, 4094)
_VLAN_PROTOCOLS: Final = {
    "802.1q": pb.VLAN_PROTOCOL_8021Q,
    "802.1ad": pb.VLAN_PROTOCOL_8021AD,
}
Endpoint = tuple[str, int]  # address and port
_EXAMPLES: Final = """\b
Examples:
  guideway explain tcp 198.51.100.7:40000 192.0.2.10:80
  guideway explain tcp '[2001:db8::7]:40000' '[2001:db8::10]:80' --established
"""


class EndpointParameter(click.ParamType[Endpoint]):
    """``ADDRESS:PORT``; an IPv6 address in brackets."""

    name = "ADDRESS:PORT"

    def convert(
        self,
        value: str | Endpoint,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Endpoint:
        """Return address and port, or say what is wrong with ``value``."""
        if not isinstance(value, str):
            return value
        address, port = split_port(value)
        if port is None:
            example = f"[{address}]:80" if ":" in address else f"{address}:80"
            self.fail(f"{value!r} has no port: write it like {example}", param, ctx)
        return address, _PORT(port, param, ctx)


class VlanParameter(click.ParamType[pb.VlanTag]):
    """``[802.1ad:]ID``."""

    name = "[802.1ad:]ID"

    def convert(
        self,
        value: str | pb.VlanTag,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> pb.VlanTag:
        """Return the tag, or say what is wrong with ``value``."""
        if isinstance(value, pb.VlanTag):
            return value
        before, _, number = value.rpartition(":")
        protocol = before.lower() or "802.1q"
        if protocol not in _VLAN_PROTOCOLS:
            self.fail(f"{before!r} is neither 802.1Q nor 802.1ad", param, ctx)
        return pb.VlanTag(id=_VLAN(number, param, ctx), protocol=_VLAN_PROTOCOLS[protocol])


@click.command(epilog=_EXAMPLES)
@click.argument("protocol", type=PROTOCOL)
@click.argument("source", type=EndpointParameter(), metavar="CLIENT:PORT")
@click.argument(
    "destination", type=EndpointParameter(), metavar="VIP:PORT", shell_complete=endpoints
)
@click.option(
    "--established",
    is_flag=True,
    help="TCP: a packet of a connection that there is; else the SYN that begins one.",
)
@click.option(
    "--interface",
    default="",
    shell_complete=interface_names,
    help="Where it comes in; default: the first one.",
)
@click.option(
    "--vlan",
    "vlans",
    type=VlanParameter(),
    metavar=VlanParameter.name,
    multiple=True,
    help="A tag that it has; twice: the outer one first.",
)
@output_option
@pass_session
def explain(  # noqa: PLR0913
    session: Session,
    protocol: str,
    source: Endpoint,
    destination: Endpoint,
    *,
    established: bool,
    interface: str,
    vlans: tuple[pb.VlanTag, ...],
) -> None:
    """Show which backend a packet of this flow would get now, and why.

    The program itself answers, by a dry run that changes nothing; it takes two seconds.
    """
    request = pb.ExplainRequest(
        protocol=pb.Protocol.Value(f"PROTOCOL_{protocol.upper()}"),
        source=source[0],
        source_port=source[1],
        destination=destination[0],
        destination_port=destination[1],
        interface=interface,
        established=established,
        vlans=vlans,
    )
    answer = session.patient(_TIMEOUT).call(lambda stub: stub.Explain, request)
    plain = explanation_plain(answer.explanation)
    session.show(plain, lambda: explanation_view(plain))
