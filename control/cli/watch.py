"""``guideway watch``."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import click

from control.api.v1 import events_pb2 as pb
from control.cli.client import Failure
from control.cli.happenings import happening_plain
from control.cli.known_names import service_names
from control.cli.options import output_option
from control.cli.session import Session, pass_session

Plain = Mapping[str, Any]

_DATA_PLANE: Final = {
    "attached": "the data plane is attached again",
    "reloaded": "the data plane is loaded anew",
    "detached": "the data plane is detached: nothing is balanced",
    "mended": "the data plane is all right again",
}


@click.command(epilog="Example: guideway watch web; for programs: guideway -o json watch")
@click.argument("services", metavar="[SERVICE]…", nargs=-1, shell_complete=service_names)
@output_option
@pass_session
def watch(session: Session, services: tuple[str, ...]) -> None:
    """Show what happens on the node, line by line, until Ctrl-C.

    With SERVICE, of services and backends only those. For programs (-o json) everything
    as it is comes first, and each line is an object.
    """
    request = pb.WatchRequest(services=services)
    show = _PLAIN.get(session.output) or Lines(services).show
    try:
        for message in session.client.watch(request):
            show(happening_plain(message))
    except KeyboardInterrupt:
        return
    raise Failure("guidewayd has ended")


def _show_json(plain: Plain) -> None:
    click.echo(json.dumps(plain))


def _show_yaml(plain: Plain) -> None:
    from control.cli.yaml_output import dump  # noqa: PLC0415 - rarely needed

    click.echo(f"---\n{dump(plain)}", nl=False)


_PLAIN: Final = {"json": _show_json, "yaml": _show_yaml}


class Lines:
    """Lines for people; what is there at first is counted, not listed."""

    def __init__(self, asked: Iterable[str] = ()) -> None:
        self._asked = tuple(asked)  # services
        self._missing: list[str] = []
        self._version = 0
        self._services = 0
        self._serving: list[bool] = []

    def show(self, plain: Plain) -> None:
        """Print a line, if the message is worth one."""
        for line in self._say[plain["event"]](self, plain):
            time = datetime.fromtimestamp(plain["time"]).astimezone()
            click.echo(f"{time:%Y-%m-%d %H:%M:%S}  {line}")

    def _begin(self, plain: Plain) -> list[str]:
        self._services, self._serving = 0, []
        self._missing = list(self._asked)
        self._version = plain["node"]["desired_version"]
        lines = [f"{plain['missed']} events were missed"] if plain["missed"] else []
        lines.extend(f"warning: {text}" for text in plain["node"]["warnings"])
        lines.extend(f"VRRP {name} is {state}" for name, state in plain["vrrp"].items())
        return lines

    def _service(self, plain: Plain) -> list[str]:
        self._services += 1
        if plain["service"]["name"] in self._missing:
            self._missing.remove(plain["service"]["name"])
        backends = plain["service"]["backends"]
        self._serving.extend(backend["share"] > 0 for backend in backends)
        return []

    def _end(self, _: Plain) -> list[str]:
        missing = [f"there is no service {name!r} so far" for name in self._missing]
        if missing and not self._services:
            return missing
        serve = f"{sum(self._serving)} of {len(self._serving)} backends serve"
        services = "1 service" if self._services == 1 else f"{self._services} services"
        return [f"version {self._version}: {services}, {serve}", *missing]

    def _backend(self, plain: Plain) -> list[str]:
        reason = f": {plain['reason']}" if plain["reason"] else ""
        return [f"{plain['service']}/{plain['backend']} is {plain['health']}{reason}"]

    def _suspicion(self, plain: Plain) -> list[str]:
        found = "is suspected" if plain["suspected"] else "is not suspected any more"
        return [f"{plain['service']}/{plain['backend']} {found}, by its handshakes"]

    def _stored(self, plain: Plain) -> list[str]:
        parts = [
            f"{what} {', '.join(plain[what])}"
            for what in ("added", "changed", "removed")
            if plain[what]
        ]
        by = f" by {plain['author']} ({plain['source']})" if plain["author"] else ""
        why = f", {plain['comment']!r}" if plain["comment"] else ""
        what = "; ".join(parts) or "another order"
        return [f"version {plain['version']} is stored{by}{why}: {what}"]

    def _confirmed(self, plain: Plain) -> list[str]:
        return [f"version {plain['version']} is confirmed by {plain['author']}, and stays"]

    def _applied(self, plain: Plain) -> list[str]:
        return [f"version {plain['version']} is in the kernel"]

    def _data_plane(self, plain: Plain) -> list[str]:
        trouble = f"packets are not balanced as they should be: {plain['reason']}"
        return [_DATA_PLANE.get(plain["change"], trouble)]

    def _vrrp(self, plain: Plain) -> list[str]:
        was = f", and was {plain['before']}" if plain["before"] else ""
        reason = f": {plain['reason']}" if plain["reason"] else ""
        return [f"VRRP {plain['instance']} is {plain['state'] or 'gone'}{was}{reason}"]

    def _served(self, plain: Plain) -> list[str]:
        if plain["serves"]:
            return [f"{plain['service']} is up again"]
        return [f"{plain['service']} is down: {plain['reason']}"]

    def _pool(self, plain: Plain) -> list[str]:
        there = "has its quorum" if plain["quorum"] else "has no quorum"
        parts = [f"{plain['service']} {there}: weight {plain['live_weight']} is up"]
        if plain["sorry"]:
            parts.append("the sorry server serves")
        if plain["kept"]:
            parts.append(f"failed, but kept: {', '.join(plain['kept'])}")
        return ["; ".join(parts)]

    def _unknown(self, _: Plain) -> list[str]:
        return []

    _say: Final[dict[str, Callable[["Lines", Plain], list[str]]]] = {
        "begin": _begin,
        "service": _service,
        "end": _end,
        "backend": _backend,
        "stored": _stored,
        "confirmed": _confirmed,
        "applied": _applied,
        "data_plane": _data_plane,
        "vrrp": _vrrp,
        "pool": _pool,
        "serving": _served,
        "suspicion": _suspicion,
        "unknown": _unknown,
    }
