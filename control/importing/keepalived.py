"""A whole keepalived.conf, as the files of guidewayd and guideway-vrrpd."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from control.desired import DesiredState
from control.errors import ConfigError
from control.importing.body import NO_EQUIVALENT, Body
from control.importing.lines import Include, Lines
from control.importing.notes import Notes, RefusedError
from control.importing.plain import Imported, guidewayd_file
from control.importing.routers import Globals, Router, announcements, router_of
from control.importing.services import services_of
from control.importing.statements import Statement, statements
from control.importing.sync_groups import Group
from control.importing.told import SMTP, Told
from control.importing.tracked import Checks, plain_name
from vrrp.schema import InstanceConfig

MAX_BACKENDS: Final = 65_536  # of all services, and those as well
_OUTSIDE: Final = "this is the system's to set up; left out"
_STRICT: Final = "deviations from the RFC are where this file has them; left out"
_SCRIPTS: Final = "whoever may change the file decides; left out"
_BLOCKS: Final[Mapping[str, str]] = {
    "static_ipaddress": _OUTSIDE,
    "static_routes": _OUTSIDE,
    "static_rules": _OUTSIDE,
    "bfd_instance": "there is no BFD; left out",
    "net_namespace": "the unit has to say so; left out",
    "SSL": "probes show no certificate, and verify none that SSL_GET asks for; left out",
}
_GLOBALS: Final[Mapping[str, str]] = {
    **SMTP,
    "router_id": "mails have the host's name, and there is no SNMP; left out",
    "enable_script_security": _SCRIPTS,
    "vrrp_strict": _STRICT,
    "vrrp_skip_check_adv_addr": "addresses of advertisements are looked at; left out",
    "lvs_sync_daemon": "`peers` of guidewayd tell flows; left out",
    "lvs_timeouts": "there is no connection table whose entries time out; left out",
    "lvs_flush": "what is not in the file is taken out of the tables anyway; left out",
    "vrrp_mcast_group4": "advertisements go to the group that the RFC names; left out",
    "vrrp_mcast_group6": "advertisements go to the group that the RFC names; left out",
}
_TAKEN: Final = (
    "global_defs",
    "vrrp_script",
    "track_file",
    "vrrp_track_file",
    "vrrp_track_process",
    "track_process",
    "vrrp_instance",
    "vrrp_sync_group",
    "virtual_server",
    "virtual_server_group",
)


def import_keepalived(
    name: str,
    text: str,
    include: Include,
    *,
    identity: str = "",
    interfaces: tuple[str, ...] = (),
) -> Imported:
    """Return what a configuration called ``name`` becomes; raise RefusedError.

    ``identity`` decides on ``@id`` lines; ``interfaces`` are guidewayd's, if not those of
    the VRRP instances.
    """
    notes = Notes()
    tree = statements(Lines(include, identity, notes).of(name, text))
    if not tree:
        raise RefusedError(name, "is empty: there is nothing to import")
    known = _Known(tree, notes)
    desired = _desired(tree, known.told, notes)
    vrrpd, found = _vrrpd(tree, known, notes)
    if not desired.services and vrrpd is None:
        notes_said = "".join(f"; {note}" for note in list(notes)[:1])
        problem = f"has no virtual_server and no vrrp_instance to import{notes_said}"
        raise RefusedError(name, problem)
    guidewayd = None
    if desired.services:
        if not (interfaces or found):
            raise RefusedError(
                name, "says nothing of interfaces: name those of guidewayd by --interface"
            )
        guidewayd = guidewayd_file(interfaces or found, desired, known.told.plain)
    return Imported(guidewayd, vrrpd, tuple(notes))


class _Known:
    """What global_defs says, and the checks that instances may track."""

    def __init__(self, tree: tuple[Statement, ...], notes: Notes) -> None:
        self.globals, user = Globals(), None
        self.told = Told(notes)
        for block in _blocks(tree, "global_defs"):
            body = Body(block, notes)
            version = body.whole("vrrp_version", least=2, most=3) or self.globals.version
            announce = dict(self.globals.announce) | announcements(body, "vrrp_")
            if body.flag("vrrp_min_garp"):
                announce |= {"repeat": 1, "delay": 0}
            self.globals = Globals(version, announce)
            user = body.word("script_user") or user
            self.told.mails(body)
            body.rest(_GLOBALS)
        self.told.user = user
        self.checks = Checks(notes, user)
        for block in _blocks(tree, "vrrp_script"):
            self.checks.script(block)
        for block in _blocks(tree, "track_file", "vrrp_track_file"):
            self.checks.file(block)
        for block in _blocks(tree, "vrrp_track_process", "track_process"):
            self.checks.process(block)
        for block in tree:
            if block.keyword not in _TAKEN:
                sentence = _BLOCKS.get(block.keyword, NO_EQUIVALENT)
                notes.add(block.place, block.keyword, sentence)


def _blocks(tree: Iterable[Statement], *keywords: str) -> list[Statement]:
    return [one for one in tree if one.keyword in keywords]


def _desired(tree: tuple[Statement, ...], told: Told, notes: Notes) -> DesiredState:
    groups = {
        one.arguments[0]: one
        for one in _blocks(tree, "virtual_server_group")
        if one.arguments
    }
    services, places, backends = [], set(), 0
    for virtual in _blocks(tree, "virtual_server"):
        for service in services_of(virtual, groups, told, notes):
            backends += len(service.backends) + 1
            if backends > MAX_BACKENDS:
                problem = f"this makes more than {MAX_BACKENDS} services and backends"
                raise RefusedError(virtual.place, problem)
            if service.where in places:
                why = f"{service.where} is a virtual server already; left out"
                notes.add(virtual.place, virtual.keyword, why)
                continue
            places.add(service.where)
            services.append(service)
    try:
        return DesiredState(tuple(services))
    except ConfigError as error:
        raise RefusedError(error.where, error.problem) from error


def _vrrpd(
    tree: tuple[Statement, ...], known: _Known, notes: Notes
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Return the file of guideway-vrrpd, None without instances; and its interfaces."""
    groups = [
        Group(block, known.checks, notes) for block in _blocks(tree, "vrrp_sync_group")
    ]
    grouped = {name for group in groups if not group.weighted for name in group.members}
    routers: dict[str, Router] = {}
    for block in _blocks(tree, "vrrp_instance"):
        mine = plain_name((block.arguments or ("_",))[0]) in grouped
        router = router_of(block, known.globals, known.checks, grouped=mine, notes=notes)
        if router and _is_right(router, routers, notes):
            routers[router.values["name"]] = router
    sync = [plain for group in groups if (plain := group.joined(routers))]
    if not routers:
        return None, ()
    instances = [router.plain for router in routers.values()]
    used = {
        track if isinstance(track, str) else track["check"]
        for one in instances
        for track in one.get("track", ())
    }
    checks = [
        {"name": name, **check}
        for name, check in known.checks.tracked.items()
        if name in used
    ]
    file = {"checks": checks, "instances": instances, "sync_groups": sync}
    names = (one["interface"] for one in _addressed(instances))
    bases = tuple(dict.fromkeys(name.partition(".")[0] or name for name in names))
    return {key: value for key, value in file.items() if value}, bases


def _addressed(instances: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """Yield whatever names an interface: instances, and addresses on others."""
    for one in instances:
        yield one
        for entry in (*one["addresses"], *one.get("unadvertised", ())):
            if isinstance(entry, dict):
                yield entry


def _is_right(router: Router, others: Mapping[str, Router], notes: Notes) -> bool:
    place, keyword = router.block.place, router.block.keyword
    if router.values["name"] in others:
        notes.add(place, keyword, "its name is taken; left out")
        return False
    try:
        msgspec.convert(router.plain, InstanceConfig)
    except msgspec.ValidationError as error:
        notes.add(place, keyword, f"{error}; left out")
        return False
    return True
