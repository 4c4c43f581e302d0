"""Services as ``ipvsadm -Ln`` prints them, for people and programs who know that."""

from collections.abc import Iterable, Iterator
from typing import Final

from control.addresses import with_port
from control.cli.plain_service import BackendPlain, ServicePlain

_HEADER: Final = (
    "Prot LocalAddress:Port Scheduler Flags",
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
)
_FORWARD: Final = {"dr": "Route", "nat": "Masq"}
_UNKNOWN: Final = "-"  # there is no connection table: nobody counts


def services_as_ipvsadm(services: Iterable[ServicePlain]) -> str:
    """Return the listing, the first line with our release where IPVS's would be."""
    from importlib.metadata import version  # noqa: PLC0415 - slow

    lines = [f"guideway {version('guideway')}", *_HEADER]
    for service in services:
        lines.extend(_service(service))
    return "\n".join(lines)


def _service(service: ServicePlain) -> Iterator[str]:
    place = with_port(service["vip"], service["port"])
    flags = " (mh-port)" if service["hash"] == "flow" else ""
    yield f"{service['protocol'].upper():<4} {place} mh{flags}"
    forward = _FORWARD.get(service["mode"], service["mode"])
    servers = [
        (with_port(backend["address"], backend["port"]), _weight(backend))
        for backend in service["backends"]
    ]
    sorry = service["pool"]["sorry_server"]
    if sorry and service["pool"]["sorry_serves"]:  # only then, as keepalived has it
        servers.append((sorry, 1))
    for place, weight in servers:
        counts = f"{_UNKNOWN:<10} {_UNKNOWN:<10}"
        yield f"  -> {place:<28} {forward:<7} {weight:<6} {counts}".rstrip()


def _weight(backend: BackendPlain) -> int:
    """Return 0 for a backend that gets no new flows, for whatever reason."""
    if not backend["share"]:
        return 0
    dynamic = backend["dynamic_weight"]
    return backend["weight"] if dynamic is None else dynamic
