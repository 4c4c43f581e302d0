"""keepalived's virtual servers, as services."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from control.addresses import parse_address
from control.checks import AnyCheck
from control.errors import ConfigError
from control.importing.body import Body
from control.importing.checkers import Pace, Server, checks_of
from control.importing.notes import Notes, RefusedError
from control.importing.points import points_of, protocol_name
from control.importing.pool import INHIBIT, asked_of, with_policy
from control.importing.schedulers import flows_of, weight_of
from control.importing.statements import Statement
from control.importing.told import Told
from control.model import MAX_BACKENDS, MAX_WEIGHT, Backend, Mode, Protocol, Service

MODES: Final = {"dr": Mode.DR, "nat": Mode.NAT}
_LEFT_OUT: Final = "the virtual server is left out"
SENTENCES: Final[Mapping[str, str]] = {
    "omega": "programs are not run at the start and the end; left out",
    "sorry_server_inhibit": "connections to the sorry server stay with it anyhow; left out",
    "sorry_server_lvs_method": "the sorry server is reached like the others; left out",
    "ha_suspend": "a node probes whether or not it has the addresses; left out",
    "warmup": "first probes are spread by themselves; left out",
    "snmp_name": "there is no SNMP; left out",
    "uthreshold": "connections are not counted; left out",
    "lthreshold": "connections are not counted; left out",
    "ops": "every datagram is balanced by its flow; left out",
    "ip_family": "the family is that of the address; left out",
}


def services_of(
    virtual: Statement, groups: Mapping[str, Statement], told: Told, notes: Notes
) -> Iterator[Service]:
    """Yield the services that a virtual_server stands for, but for those left out."""
    points = points_of(virtual, groups, notes)
    body = Body(virtual, notes)
    method = body.last("lvs_method", "lb_kind")
    servers = body.every("real_server")
    if len(servers) > MAX_BACKENDS:
        problem = f"has more than {MAX_BACKENDS} real servers"
        raise RefusedError(virtual.place, problem)
    protocol = _protocol(body) if points else None
    mode = _mode(method or _methods(servers), notes) if protocol else None
    if mode is None or protocol is None:
        return
    flows = flows_of(body)
    pace = Pace().narrowed(body)
    host = body.word("virtualhost")
    asked = asked_of(body, servers)
    scripts = told.of_service(body)
    told.alert(body)
    body.rest(SENTENCES)
    for point in points:
        try:
            service = Service(
                name=point.name,
                vip=parse_address(point.address),
                protocol=protocol,
                port=point.port,
                mode=mode,
                checks=(),
                hash=flows.hash,
            )
        except ConfigError as error:
            why = f"{error.problem}; {point.address} is left out"
            notes.add(virtual.place, virtual.keyword, why)
            continue
        told.add(scripts, service.name)
        paced = (pace, host, flows.weighted)
        populated = _populated(service, servers, paced, told, notes)
        yield with_policy(populated, asked, notes)


def _populated(
    service: Service,
    servers: list[Statement],
    defaults: tuple[Pace, str | None, bool],
    told: Told,
    notes: Notes,
) -> Service:
    """Return the service with its backends and checks."""
    pace, host, weighted = defaults
    asked: list[tuple[Statement, tuple[AnyCheck, ...]]] = []
    backends: dict[str, Backend] = {}
    for one in servers:
        body = Body(one, notes)
        place = _place(one, service, notes)
        if place is None:
            continue
        own = pace.narrowed(body)
        own_host = body.word("virtualhost") or host
        weight = weight_of(body.whole("weight", least=0, most=MAX_WEIGHT), weighted)
        checks = checks_of(body, Server(*place, own, own_host))
        if (method := body.last("lvs_method", "lb_kind")) and _mode(
            method, notes
        ) is not service.mode:
            body.note(method, f"all backends of a service have one mode: {service.mode}")
        body.flag(INHIBIT)  # known already: see asked_of
        scripts = told.of_backend(body)
        told.alert(body)
        body.rest(SENTENCES)
        backend = _named(backends, *place, weight)
        if backend.name in backends:
            twice = f"{backend.identity} is there already; left out"
            notes.add(one.place, one.keyword, twice)
            continue
        try:
            replace(service, backends=(backend,))
        except ConfigError as error:
            notes.add(one.place, one.keyword, f"{error.problem}; left out")
            continue
        backends[backend.name] = backend
        told.add(scripts, service.name, backend.name)
        asked.append((one, checks))
    return _checked(replace(service, backends=tuple(backends.values())), asked, notes)


def _checked(
    service: Service, asked: list[tuple[Statement, tuple[AnyCheck, ...]]], notes: Notes
) -> Service:
    """Return the service with the checks that most backends have, and others their own.

    ``asked`` has the statement and the checks of each backend, in their order.
    """
    fitting = [_fitting(service, *one, notes) for one in asked]
    common = Counter(fitting).most_common(1)[0][0] if fitting else ()
    pairs = zip(service.backends, fitting, strict=True)
    backends = tuple(
        backend if checks == common else replace(backend, checks=checks)
        for backend, checks in pairs
    )
    return replace(service, checks=common, backends=backends)


def _fitting(
    service: Service, statement: Statement, checks: tuple[AnyCheck, ...], notes: Notes
) -> tuple[AnyCheck, ...]:
    """Return checks that the service can have; none, and a note, where it cannot."""
    try:
        return replace(service, backends=(), checks=checks).checks
    except ConfigError as error:
        notes.add(statement.place, statement.keyword, f"{error.problem}; left unchecked")
        return ()


def _named(taken: Mapping[str, Backend], address: str, port: int, weight: int) -> Backend:
    """Return a backend called by its address, or by that and the port where it has two."""
    parsed = parse_address(address)
    other = taken.get(address)
    name = address if other is None or other.port == port else f"{address}-{port}"
    return Backend(name, parsed, port, weight)


def _place(server: Statement, service: Service, notes: Notes) -> tuple[str, int] | None:
    """Return address and port of a real server; None, and a note, if it has none."""
    address, port = (*server.arguments, "", "")[:2]
    try:
        parsed = parse_address(address)
        number = int(port) if port else service.port
    except ValueError:
        notes.add(server.place, server.keyword, "has no address and port; left out")
        return None
    if service.mode is Mode.DR and number != service.port:
        why = f"DR cannot change ports: {service.port} is taken rather than {number}"
        notes.add(server.place, server.keyword, why)
        number = service.port
    return str(parsed), number


def _methods(servers: list[Statement]) -> Statement | None:
    """Return how the first real server is reached, if it says so."""
    return next(
        (
            setting
            for server in servers
            for setting in server.body or ()
            if setting.keyword in ("lvs_method", "lb_kind")
        ),
        None,
    )


def _mode(method: Statement | None, notes: Notes) -> Mode | None:
    kind = method.arguments[0].lower() if method and method.arguments else "nat"
    if method and kind not in MODES:
        why = f"there is no {kind.upper()}, only NAT and DR; {_LEFT_OUT}"
        notes.add(method.place, method.keyword, why)
    return MODES.get(kind)


def _protocol(body: Body) -> Protocol | None:
    found = body.last("protocol")
    name = protocol_name(found)
    if found is None:
        body.note(body.block, "has no protocol, which keepalived takes for UDP")
    if found and name not in tuple(Protocol):
        body.note(found, f"there is no {name.upper()}, only TCP and UDP; {_LEFT_OUT}")
        return None
    return Protocol(name)
