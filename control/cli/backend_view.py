"""One backend with its probes, for people: see :mod:`control.cli.tables`."""

import math
from datetime import datetime
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from control.addresses import with_port
from control.cli.plain_backend import ProbePlain, ProbeResultPlain, ShownBackendPlain
from control.cli.plain_checks import CheckPlain
from control.cli.tables import (
    age,
    check_text,
    colored,
    deadline_left,
    facts_of,
    paragraphs,
    table_of,
    weight_text,
)

_STYLES: Final = {"failed": "red", "none": "yellow"}
_MILLISECOND: Final = 1e-3


def backend_view(backend: ShownBackendPlain, now: float) -> RenderableType:
    """Return all about one backend; ``now`` is the Unix time."""
    gets = f"{backend['share']:.1%} of the new flows"
    known = facts_of(
        ("backend", f"{backend['name']} of {backend['service']}"),
        ("address", with_port(backend["address"], backend["port"])),
        ("weight", weight_text(backend)),
        ("state", backend["state"] + deadline_left(backend["drain_deadline"], now)),
        *([] if backend["checks"] is None else [("own checks", _own(backend["checks"]))]),
        *([("zone", backend["zone"])] if backend["zone"] else []),
        ("MAC", backend["mac"] or "?"),
        ("health", _health(backend["health"], backend["since"], now)),
        ("gets", f"nothing: {backend['reason']}" if backend["reason"] else gets),
        *([("but", backend["suspected"])] if backend["suspected"] else []),
    )
    probes = (part for probe in backend["probes"] for part in _probe(probe, now))
    return paragraphs(known, *probes)


def _own(checks: list[CheckPlain]) -> str:
    """Return what a backend has to pass instead of the service's checks."""
    return ", ".join(map(check_text, checks)) or "none: it counts as up"


def _probe(probe: ProbePlain, now: float) -> tuple[RenderableType, ...]:
    said = Text(f"{check_text(probe['check'])}: ")
    said.append_text(colored(probe["health"], _ago(probe["since"], now)))
    if probe["against"]:
        said.append(f"; {probe['against']} of {probe['needed']} results against it")
    if probe["hold"]:
        seconds = math.ceil(probe["hold"])
        said.append(f"; flapping: up again at the earliest in {seconds} s")
    if not probe["results"]:
        return (said,)
    results = table_of("PROBED", right=("TOOK",), then=("RESULT",))
    for result in reversed(probe["results"]):
        results.add_row(*_result(result, now))
    return (said, results)


def _result(result: ProbeResultPlain, now: float) -> tuple[Text, ...]:
    clock = datetime.fromtimestamp(result["time"]).astimezone()
    outcome, problem = result["outcome"], result["problem"]
    told = {"none": f"no result: {problem}"}.get(outcome, problem or outcome)
    return (
        Text(f"{clock:%H:%M:%S}, {age(now - result['time'])} ago"),
        Text(_milliseconds(result["duration"])),
        Text(told, _STYLES.get(outcome, "")),
    )


def _health(health: str, since: float | None, now: float) -> str:
    return health + _ago(since, now)


def _ago(since: float | None, now: float) -> str:
    if since is None:
        return ""
    clock = datetime.fromtimestamp(since).astimezone()
    return f" since {clock:%Y-%m-%d %H:%M:%S}, {age(now - since)}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds / _MILLISECOND:.1f} ms"
