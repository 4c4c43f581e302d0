"""What ``ipvsadm-save -n`` prints, as guidewayd's file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from control.addresses import parse_address, split_port
from control.checks import TcpCheck
from control.desired import DesiredState
from control.errors import ConfigError
from control.importing.ipvsadm_rules import Rule, rule_of
from control.importing.notes import Notes, Place, RefusedError
from control.importing.plain import Imported, guidewayd_file
from control.importing.schedulers import ALGORITHMS, PERSISTENT, Flows, flows, weight_of
from control.model import MAX_WEIGHT, Backend, Mode, Protocol, Service

MAX_LINES: Final = 200_000
_IGNORED: Final = {
    "netmask": "single addresses of clients count, not networks; left out",
    "upper": "connections are not counted; left out",
    "lower": "connections are not counted; left out",
    "engine": "only addresses of clients are looked at; left out",
}
_NUMBER: Final = re.compile(r"\d{1,9}")
_MODES: Final = {"dr": Mode.DR, "nat": Mode.NAT}


@dataclass(slots=True)
class _Virtual:
    """A virtual service, whose servers say how they are reached."""

    place: Place
    where: str
    protocol: Protocol
    flows: Flows
    service: Service | None = None  # None: no server yet


def import_ipvsadm(name: str, text: str, interfaces: tuple[str, ...]) -> Imported:
    """Return what rules become; raise RefusedError."""
    notes = Notes()
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise RefusedError(name, f"has more than {MAX_LINES} lines")
    virtuals: dict[str, _Virtual] = {}
    servers: dict[str, dict[str, Backend]] = {}
    for number, line in enumerate(lines, 1):
        if rule := rule_of(Place(name, number), line):
            _take(rule, virtuals, servers, notes)
    services = tuple(_services(virtuals, servers, notes))
    if not services:
        first = "".join(f"; {note}" for note in list(notes)[:1])
        raise RefusedError(name, f"has no service to import{first}")
    if not interfaces:
        raise RefusedError(
            name, "says nothing of interfaces: name those of guidewayd by --interface"
        )
    try:
        desired = DesiredState(services)
    except ConfigError as error:
        raise RefusedError(error.where, error.problem) from error
    return Imported(guidewayd_file(interfaces, desired), None, tuple(notes))


def _take(
    rule: Rule,
    virtuals: dict[str, _Virtual],
    servers: dict[str, dict[str, Backend]],
    notes: Notes,
) -> None:
    if rule.adds_service:
        virtual = _virtual(rule.place, rule.protocol, rule.options, notes)
        servers.setdefault(rule.where, {})
        if virtual and rule.where not in virtuals:
            virtuals[rule.where] = virtual
        elif virtual:
            notes.add(rule.place, rule.where, "is there already; left out")
        return
    if rule.where not in servers:
        raise RefusedError(rule.place, f"the service {rule.where} is not added before")
    if rule.where in virtuals:
        virtual = virtuals[rule.where]
        _serve(rule.place, virtual, rule.options, servers[rule.where], notes)


def _virtual(
    place: Place, protocol: str, options: dict[str, str], notes: Notes
) -> _Virtual | None:
    if protocol in ("mark", "sctp"):
        why = "packets are known by address and port, not by marks; the service is left out"
        if protocol == "sctp":
            why = "there is no SCTP, only TCP and UDP; the service is left out"
        notes.add(place, options[protocol], why)
        return None
    algorithm = options.get("scheduler", "wlc")
    unknown = f"there is no scheduler {algorithm!r}: flows are spread by weight"
    if sentence := ALGORITHMS.get(algorithm, unknown):
        notes.add(place, algorithm, sentence)
    if "persistent" in options:
        notes.add(place, "-p", PERSISTENT)
    for key in _IGNORED.keys() & options.keys():
        notes.add(place, key, _IGNORED[key])
    flags = frozenset(options.get("flags", "").split(","))
    how = flows(algorithm, flags, persistent="persistent" in options)
    return _Virtual(place, options[protocol], Protocol(protocol), how)


def _serve(
    place: Place,
    virtual: _Virtual,
    options: dict[str, str],
    servers: dict[str, Backend],
    notes: Notes,
) -> None:
    """Add a server; the first one decides on the mode of its service."""
    mode = next((mode for mode in (*_MODES, "tunnel") if mode in options), "dr")
    if mode == "tunnel":
        notes.add(place, "-i", "there are no tunnels, only NAT and DR; left out")
        return
    for key in ("upper", "lower"):
        if key in options:
            notes.add(place, key, _IGNORED[key])
    try:
        if virtual.service is None:
            virtual.service = _service(virtual, _MODES[mode])
        elif virtual.service.mode is not _MODES[mode]:
            why = f"all backends of a service have one mode: {virtual.service.mode}"
            notes.add(place, mode, why)
        backend = _backend(virtual, options, servers)
        replace(virtual.service, backends=(backend,))
    except ConfigError as error:
        notes.add(place, options.get("server", "-r"), f"{error.problem}; left out")
        return
    except ValueError as error:
        notes.add(place, options.get("server", "-r"), f"{error}; left out")
        return
    servers[backend.name] = backend


def _service(virtual: _Virtual, mode: Mode) -> Service:
    """Return the service without backends; raise ConfigError or ValueError."""
    address, port = split_port(virtual.where)
    number = _port(port or "0")
    vip = parse_address(address)
    return Service(
        name=f"{vip}-{number or 'any'}-{virtual.protocol}",
        vip=vip,
        protocol=virtual.protocol,
        port=number,
        mode=mode,
        # IPVS knows no checks. What may not answer by TCP is not asked.
        checks=(TcpCheck(),) if number and virtual.protocol is Protocol.TCP else (),
        hash=virtual.flows.hash,
    )


def _backend(
    virtual: _Virtual, options: dict[str, str], taken: dict[str, Backend]
) -> Backend:
    text, port = split_port(options.get("server", ""))
    address, number = parse_address(text), _port(port or "0")
    weight = options.get("weight", "1")
    if not _NUMBER.fullmatch(weight) or int(weight) > MAX_WEIGHT:
        raise ValueError(f"the weight {weight} is not in 0…{MAX_WEIGHT}")
    other = taken.get(str(address))
    name = str(address) if other is None else f"{address}-{number}"
    if name in taken or (other is not None and other.port == number):
        raise ValueError("it is there already")
    return Backend(name, address, number, weight_of(int(weight), virtual.flows.weighted))


def _port(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a port: run ipvsadm-save with -n")
    return int(text)


def _services(
    virtuals: dict[str, _Virtual], servers: dict[str, dict[str, Backend]], notes: Notes
) -> Iterator[Service]:
    places = set[str]()
    for where, virtual in virtuals.items():
        service = virtual.service
        if service is None:
            notes.add(virtual.place, virtual.where, "has no server; left out")
        elif service.where in places:
            notes.add(virtual.place, virtual.where, "is there already; left out")
        else:
            places.add(service.where)
            yield replace(service, backends=tuple(servers[where].values()))
