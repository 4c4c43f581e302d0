"""Differences and versions as lines for people, see tables.py."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from control.addresses import endpoint
from control.cli.plain_configuration import (
    BackendDifferencePlain,
    DifferencePlain,
    DisruptionPlain,
    FieldPlain,
    ServiceDifferencePlain,
    VersionPlain,
)

_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~"}
_STYLES: Final = {"added": "green", "removed": "red", "changed": "yellow"}
# What goes without saying of a service that comes or goes.
_USUAL: Final = {
    "checks": "tcp",
    "ring_size": "automatic",
    "affinity": "transition",
    "hash": "flow",
    "returns": "stateless",
    "pool": "default",
    "check_defaults": "built in",
}
# What an empty field says of a backend, where it is not "none".
_UNSAID: Final = {"checks": "the service's"}
_TIME: Final = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+(?=\+)")
_FEW: Final = 0.0005  # a share that would be shown as 0.0 %


def difference_view(difference: DifferencePlain) -> RenderableType:
    """Return what differs, service by service."""
    parts: list[RenderableType] = []
    for service in difference["services"]:
        parts.extend(_service(service))
    if difference["reordered"]:
        parts.append(Text("services or backends stand in another order"))
    return Group(*parts)


def versions_table(versions: Iterable[VersionPlain]) -> RenderableType:
    """Return a line per version."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("VERSION", justify="right", no_wrap=True)
    for header in ("TIME", "SOURCE", "AUTHOR", "COMMENT"):
        table.add_column(header, overflow="fold")
    for version in versions:
        said = version["comment"], confirmed_sentence(version)
        table.add_row(
            str(version["version"]),
            moment(version["time"]),
            version["source"],
            Text(version["author"]),
            Text("; ".join(filter(None, said))),
        )
    return table


def confirmed_sentence(version: VersionPlain) -> str:
    """Say who confirmed a version, and when; "" if nobody did."""
    if version["confirmed"] is None:
        return ""
    return f"confirmed by {version['confirmed_by']}, {moment(version['confirmed'])}"


def moment(time: float) -> str:
    """Return a Unix time as the clocks here show it: ``2026-11-22 13:05:07``."""
    return f"{datetime.fromtimestamp(time).astimezone():%Y-%m-%d %H:%M:%S}"


def _service(service: ServiceDifferencePlain) -> Iterator[RenderableType]:
    change = service["change"]
    head = f"{_sign(change)} service {service['name']}"
    if change == "changed":
        yield Text(head, _style(change))
        for field in service["fields"]:
            yield Text(f"    {_field(field)}")
    else:
        yield Text(f"{head}  {_summary(service['fields'])}", _style(change))
    for backend in service["backends"]:
        yield _backend(backend)
    if other := service["other_service"]:
        when = "has these flows so far" if change == "added" else "has its flows then"
        yield Text(f"    service {other} {when}")
    if service["disruption"] is not None:
        yield from _disruption(service["disruption"])
    elif change == "removed":
        yield Text("    all its flows end", "yellow")


def _summary(fields: Iterable[FieldPlain]) -> str:
    """Say in a line what came or went."""
    values = {one["field"]: one["after"] or one["before"] for one in fields}
    place = endpoint(values.pop("vip", "?"), values.pop("port", "?"))
    head = f"{place}/{values.pop('protocol', '?')}, {values.pop('mode', '?')}"
    unusual = values.items() - _USUAL.items()
    rest = (f"{key} {value}" for key, value in values.items() if (key, value) in unusual)
    return ", ".join((head, *rest))


def _backend(backend: BackendDifferencePlain) -> Text:
    change = backend["change"]
    head = f"    {_sign(change)} backend {backend['name']}"
    if change == "changed":
        what = ", ".join(
            _field(field, _UNSAID.get(field["field"], "none"))
            for field in backend["fields"]
        )
    else:
        values = {
            one["field"]: _whole(one["after"] or one["before"]) for one in backend["fields"]
        }
        what = endpoint(values.get("address", "?"), values.get("port", "?"))
        what += f", weight {values.get('weight')}, {values.get('state')}"
        also = ("drain_deadline", "zone", "checks")
        what += "".join(f", {key} {values[key]}" for key in also if key in values)
    return Text(f"{head}  {what}", _style(change))


def _field(field: FieldPlain, unsaid: str = "none") -> str:
    before, after = field["before"], field["after"]
    if _whole(before) != _whole(after):
        before, after = _whole(before), _whole(after)
    return f"{field['field']} {before or unsaid} → {after or unsaid}"


def _whole(text: str) -> str:
    """Return a time without the part of a second; any other text as it is."""
    return _TIME.sub(r"\1", text)


def _disruption(disruption: DisruptionPlain) -> Iterator[RenderableType]:
    before, after = disruption["slots_before"], disruption["slots_after"]
    size = f"{after}" if before == after else f"{after} (before: {before})"
    flows, broken = disruption["flows"], disruption["broken"]
    if not before:
        yield Text(f"    {size} slots; nobody could serve before")
    elif not disruption["moved"] and not broken:
        yield Text(f"    no slot of {size} moves, and no flow")
    else:
        yield Text(
            f"    {disruption['moved']} of {size} slots move: {_percent(flows)} of the "
            f"flows get another backend; {_percent(broken)} of those established now break",
            "red" if broken else "yellow",
        )
    if disruption["shares"]:
        yield _shares(disruption)


def _shares(disruption: DisruptionPlain) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 4), pad_edge=True)
    table.add_column("BACKEND", overflow="fold")
    for header in ("WEIGHT", "SLOTS"):
        table.add_column(header, no_wrap=True, justify="right")
    for share in disruption["shares"]:
        table.add_row(
            Text(share["backend"]),
            _step(share["weight_before"], share["weight_after"]),
            _step(share["slots_before"], share["slots_after"]),
        )
    return table


def _step(before: int, after: int) -> str:
    return str(after) if before == after else f"{before} → {after}"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= _FEW or not share else "less than 0.1%"


def _sign(change: str) -> str:
    return _SIGNS.get(change, "?")  # of a later release


def _style(change: str) -> str:
    return _STYLES.get(change, "")
