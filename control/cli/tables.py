"""Answers as tables, for people.

What comes from the daemon goes into :class:`Text`, which rich does not look for markup in.
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from control.addresses import endpoint
from control.check_common import BUILT_IN
from control.cli.plain_checks import CheckDefaultsPlain, CheckPlain
from control.cli.plain_node import (
    DataPlanePlain,
    FollowerPlain,
    NodePlain,
    PeerPlain,
    PendingPlain,
)
from control.cli.plain_service import BackendPlain, ServicePlain
from control.cli.plain_statistics import (
    BackendTrafficPlain,
    ReasonPlain,
    ServiceTrafficPlain,
    StatisticsPlain,
)
from control.cli.pool import pool_facts

_STYLES: Final = {
    "up": "green",
    "down": "red",
    "unknown": "yellow",
    "draining": "yellow",
    "disabled": "yellow",
    "drop": "red",
}
_DAY: Final = 86400
_HOUR: Final = 3600
_MINUTE: Final = 60


def services_table(services: Iterable[ServicePlain]) -> RenderableType:
    """Return a line per service."""
    table = table_of("SERVICE", "ADDRESS", "MODE", "BACKENDS", "CHECK", right=("SLOTS",))
    for service in services:
        backends = service["backends"]
        serving = sum(backend["share"] > 0 for backend in backends)
        style = "" if serving == len(backends) else "yellow" if serving else "red"
        table.add_row(
            Text(service["name"]),
            Text(_place(service)),
            Text(service["mode"]),
            Text(_serving(service, serving), style),
            Text(_checks(service["checks"])),
            Text(str(service["ring_size"])),
        )
    return table


def _serving(service: ServicePlain, serving: int) -> str:
    if service["pool"]["sorry_serves"]:
        return "the sorry server serves"
    return f"{serving} of {len(service['backends'])} serve"


def service_view(service: ServicePlain, now: float) -> RenderableType:
    """Return all about one service; ``now`` is the Unix time."""
    wanted, defaults = service["ring_size_wanted"], _defaults(service["check_defaults"])
    facts = facts_of(
        ("service", service["name"]),
        ("address", _place(service)),
        ("mode", service["mode"]),
        ("check", _checks(service["checks"])),
        *([("defaults", defaults)] if defaults else []),
        ("slots", f"{service['ring_size']} ({wanted or 'automatic'})"),
        ("affinity", f"{service['affinity']}, by {service['hash']}"),
        *([("returns", service["returns"])] if service["mode"] == "nat" else []),
        *pool_facts(service["pool"]),
    )
    backends = backends_table(service["backends"], now, with_service=False)
    return paragraphs(facts, backends)


def backends_table(
    backends: Iterable[BackendPlain], now: float, *, with_service: bool = True
) -> RenderableType:
    """Return a line per backend, then why some get no traffic; ``now`` is the Unix time."""
    shown = list(backends)
    with_zone = any(backend["zone"] for backend in shown)
    with_checks = any(backend["checks"] is not None for backend in shown)
    first = ("SERVICE",) if with_service else ()
    table = table_of(
        *(*first, "BACKEND", "ADDRESS"),
        right=("WEIGHT", "SHARE"),
        then=(
            *("HEALTH", "STATE", *(("ZONE",) if with_zone else ()), "MAC"),
            *(("OWN CHECKS",) if with_checks else ()),
        ),
    )
    reasons = []
    for backend in shown:
        name = (backend["service"], backend["name"])[0 if with_service else 1 :]
        since = backend["since"]
        table.add_row(
            *(Text(part) for part in name),
            Text(endpoint(backend["address"], backend["port"])),
            Text(weight_text(backend)),
            Text(f"{backend['share']:.1%}"),
            colored(backend["health"], "" if since is None else f" {age(now - since)}"),
            colored(backend["state"], deadline_left(backend["drain_deadline"], now)),
            *((Text(backend["zone"]),) if with_zone else ()),
            Text(backend["mac"] or "?"),
            *((Text(_own_checks(backend)),) if with_checks else ()),
        )
        if backend["reason"]:
            why = f"{'/'.join(name)} gets no traffic: {backend['reason']}"
            reasons.append(Text(why, "yellow"))
        if backend["kept"]:
            reasons.append(Text(f"{'/'.join(name)} {backend['kept']}", "yellow"))
        if backend["suspected"]:
            reasons.append(Text(f"{'/'.join(name)} {backend['suspected']}", "yellow"))
    return paragraphs(table, Group(*reasons)) if reasons else table


def statistics_view(statistics: StatisticsPlain, *, everything: bool) -> RenderableType:
    """Return what was counted; reasons that never happened only with ``everything``."""
    tables = []
    if "reasons" in statistics:
        reasons = (one for one in statistics["reasons"] if one["packets"] or everything)
        tables.append(_reasons_table(reasons))
    if "services" in statistics:
        tables.append(table_of("SERVICE", right=("PACKETS", "BYTES", "NEW FLOWS")))
        for service in statistics["services"]:
            tables[-1].add_row(Text(service["service"]), *_counts(service))
    if "backends" in statistics:
        tables.append(
            table_of("SERVICE", "BACKEND", right=("PACKETS", "BYTES", "NEW FLOWS"))
        )
        for backend in statistics["backends"]:
            names = Text(backend["service"]), Text(backend["backend"])
            tables[-1].add_row(*names, *_counts(backend))
    return paragraphs(*tables)


def _reasons_table(reasons: Iterable[ReasonPlain]) -> Table:
    table = table_of(
        "REASON", "VERDICT", right=("PACKETS", "BYTES", "NEW FLOWS"), then=("MEANING",)
    )
    for reason in reasons:
        name, verdict = Text(reason["reason"]), colored(reason["verdict"])
        table.add_row(name, verdict, *_counts(reason), Text(reason["meaning"]))
    return table


def node_view(node: NodePlain, now: float) -> RenderableType:
    """Return how the node is; ``now`` is the Unix time."""
    desired, applied = node["desired_version"], node["applied_version"]
    behind = f"has version {applied}" if applied else "has none yet"
    kernel = "has it" if applied == desired else behind
    program = f"{_origin(adopted=node['adopted'])}, ABI {node['abi']}, program "
    interfaces = (f"{one['name']} ({_xdp(one['mode'])})" for one in node["interfaces"])
    vlans = [
        f"{vlan['name']} ({interface['name']}, {', '.join(vlan['tags'])})"
        for interface in node["interfaces"]
        for vlan in interface["vlans"]
    ]
    facts = facts_of(
        ("guideway", f"{node['release']}, instance {node['instance']}"),
        ("running for", age(now - node["started"])),
        ("interfaces", ", ".join(interfaces) or "none"),
        *([("VLANs", ", ".join(vlans))] if vlans else []),
        (
            "data plane",
            "detached" if node["detached"] else program + node["digest"][:12],
        ),
        ("desired state", f"version {desired}; the kernel {kernel}"),
        ("mended", _repairs(node, now)),
        *(("peer", _peer(peer, now)) for peer in node["peers"]),
        *(("followed by", _follower(follower)) for follower in node["followers"]),
    )
    pending = node["pending"]
    waits = [Text(pending_sentence(pending), "yellow")] if pending else []
    warnings = (Text(f"warning: {text}", "yellow") for text in node["warnings"])
    return Group(facts, *waits, *warnings)


def _peer(peer: PeerPlain, now: float) -> str:
    told = f"{peer['rings']:,} rings and {peer['flows']:,} flows told"
    if not peer["synced"]:
        return f"{peer['address']}, not synced for {age(now - peer['since'])}; {told}"
    lag = f", {peer['lag']:.1f} s ago" if peer["lag"] is not None else ""
    return f"{peer['address']}, synced{lag}; {told}"


def _follower(follower: FollowerPlain) -> str:
    return (
        f"{follower['author']} from {follower['via']}; {follower['rings']:,} rings and "
        f"{follower['flows']:,} flows told, in {follower['seconds'] * 1000:.0f} ms"
    )


def pending_sentence(pending: PendingPlain) -> str:
    """Say which version waits to be confirmed, and what happens if it is not."""
    base = f"version {pending['base']}" if pending["base"] else "what was before, nothing,"
    return (
        f"version {pending['version']} waits to be confirmed by `guideway confirm`; "
        f"without, {base} comes back in {pending['remaining']:.0f} s"
    )


def data_plane_view(plane: DataPlanePlain, now: float) -> RenderableType:
    """Return program, interfaces and maps; ``now`` is the Unix time."""
    table = table_of("MAP", right=("USED", "LIMIT", "BYTES"))
    for one in plane["maps"]:
        counts = f"{one['used']:,}", f"{one['limit']:,}", f"{one['bytes']:,}"
        table.add_row(Text(one["name"]), *map(Text, counts))
    total = sum(one["bytes"] for one in plane["maps"])
    where = table_of("INTERFACE", "XDP", "ATTACHED")
    for interface in plane["interfaces"]:
        mode, attached = interface["mode"], interface["attached"]
        where.add_row(
            Text(interface["name"]),
            Text(_xdp(mode)),
            Text("yes") if attached else Text("no", "red"),
        )
    if plane["loaded"] is None:
        return paragraphs(facts_of(("program", "none: the data plane is detached")), where)
    facts = facts_of(
        ("program", f"{plane['digest']}, ABI {plane['abi']}"),
        ("loaded", f"{age(now - plane['loaded'])} ago"),
        ("origin", _origin(adopted=plane["adopted"])),
        ("memory", f"{total:,} bytes in {len(plane['maps'])} maps"),
    )
    return paragraphs(facts, where, table)


def vrrp_view(plain: Mapping[str, Any], now: float) -> RenderableType:
    """Return a line per instance of guideway-vrrpd; ``now`` is the Unix time."""
    left = ("INSTANCE", "STATE", "SINCE", "ACTIVE")
    table = table_of(*left, right=("PRIORITY",), then=("NOTE",))
    for name, instance in plain["instances"].items():
        state = instance["state"]
        # One that rests does not listen.
        nobody = "unknown" if state == "initialize" else "nobody"
        table.add_row(
            Text(name),
            Text(state, {"active": "green", "initialize": "red"}.get(state, "")),
            Text(f"{age(now - instance['since'])} ago"),
            Text(instance["active"] or nobody),
            Text(str(instance["priority"])),
            Text("; ".join(_router_notes(instance))),
        )
    if not plain["maintenance"]:
        return table
    return paragraphs(table, Text("maintenance is on", "yellow"))


def _router_notes(instance: Mapping[str, Any]) -> list[str]:
    """Return what is worth to be known of a virtual router, most important first."""
    notes = [instance["problem"] or instance["reason"]]
    if instance["stands_back"]:
        notes.append("leaves the Active alone")
    if instance.get("waits"):  # not told by an older guideway-vrrpd, as the next
        notes.append("would take over, but others of its sync group hear an Active")
    if mac := instance.get("virtual_mac"):
        notes.append(f"virtual MAC {mac}")
    if fenced := instance["fenced"]:
        notes.append(f"late itself, so gave up: {fenced}")
    for what, counts in (("odd", "noticed"), ("discarded", "discarded")):
        kinds = sorted(instance[counts].items(), key=itemgetter(1), reverse=True)
        if said := ", ".join(f"{count} ({kind})" for kind, count in kinds):
            notes.append(f"{what}: {said}")
    return [note for note in notes if note]


def age(seconds: float) -> str:
    """Return a duration of ``seconds`` in its two largest units: ``3m07s``, ``2d04h``."""
    whole = max(0, int(seconds))  # clocks differ, and may step
    if whole >= _DAY:
        return f"{whole // _DAY}d{whole % _DAY // _HOUR:02}h"
    if whole >= _HOUR:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02}m"
    if whole >= _MINUTE:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02}s"
    return f"{whole}s"


def size(count: int) -> str:
    """Return ``count`` bytes in a unit that leaves three digits: ``1.23 GB``."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if amount < 999.5:  # noqa: PLR2004 (rounds to 1000)
            break
        amount, unit = amount / 1000, larger
    return f"{count} B" if unit == "B" else f"{amount:.3g} {unit}"


def table_of(*left: str, right: Iterable[str] = (), then: Iterable[str] = ()) -> Table:
    """Return a table whose columns are aligned left, then right, then left again."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for header in left:
        table.add_column(header, overflow="fold")
    for header in right:
        table.add_column(header, no_wrap=True, justify="right")
    for header in then:
        table.add_column(header, overflow="fold")
    return table


def facts_of(*facts: tuple[str, str]) -> Table:
    """Return facts, a line each."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts:
        grid.add_row(Text(f"{name}:"), Text(value))
    return grid


def _xdp(mode: str) -> str:
    return "none" if mode == "unspecified" else mode


def _origin(*, adopted: bool) -> str:
    return "adopted from the daemon before" if adopted else "loaded by this daemon"


def _repairs(node: NodePlain, now: float) -> str:
    count, last = node["repairs"], node["repaired"]
    ago = "" if last is None else f", the last {age(now - last)} ago"
    return f"{count or 'no'} foreign write{'s' * (count != 1)} to the maps{ago}"


def colored(word: str, rest: str = "") -> Text:
    """Return a state in the colour that it has everywhere."""
    return Text(word + rest, _STYLES.get(word, ""))


def _counts(
    counted: ReasonPlain | ServiceTrafficPlain | BackendTrafficPlain,
) -> tuple[Text, ...]:
    packets, flows = (f"{counted[name]:,}" for name in ("packets", "flows"))
    return Text(packets), Text(size(counted["bytes"])), Text(flows)


def paragraphs(*parts: RenderableType) -> Group:
    """Return ``parts`` with empty lines in between."""
    spaced = (line for part in parts for line in (Text(), part))
    return Group(*list(spaced)[1:])


def _place(service: ServicePlain) -> str:
    return f"{endpoint(service['vip'], service['port'])}/{service['protocol']}"


def _checks(checks: Iterable[CheckPlain]) -> str:
    return ", ".join(map(check_text, checks)) or "none"


def _own_checks(backend: BackendPlain) -> str:
    """Return what kinds of checks a backend has instead of its service's; "": those."""
    if backend["checks"] is None:
        return ""
    return ", ".join(check["type"] for check in backend["checks"]) or "none"


def _defaults(defaults: CheckDefaultsPlain) -> str:
    """Return what is not built in of the defaults of a service's checks."""
    built_in = BUILT_IN.values()
    other = {key: one for key, one in defaults.items() if one != built_in[key]}
    texts = (f"{one:g}" if isinstance(one, float) else one for one in other.values())
    return ", ".join(f"{key}={text}" for key, text in zip(other, texts, strict=True))


def check_text(check: CheckPlain) -> str:
    """Return a health check in a few words."""
    port = f" port {check['port']}" if check["port"] else ""
    return f"{check['type']}{port} every {check['interval']:g} s"


def deadline_left(deadline: float | None, now: float) -> str:
    """Return what stands behind the state of a backend that drains; both Unix times."""
    if deadline is None:
        return ""
    return f" {age(deadline - now)} left" if deadline > now else ", done"


def weight_text(backend: BackendPlain) -> str:
    """Return what a backend weighs, and in brackets what is configured instead."""
    configured, dynamic = backend["weight"], backend["dynamic_weight"]
    weight = str(configured) if dynamic is None else f"{dynamic} ({configured})"
    ramp = backend["ramp"]
    return weight if ramp is None else f"{ramp:.0%} of {weight}"
