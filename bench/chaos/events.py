"""What is done to guidewayd. Each event leaves it running, with the kernel up to date.

None of them may cost a packet or a connection.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

import yaml

from bench.chaos import foreign
from bench.chaos.cluster import Cluster
from bench.chaos.topology import BYSTANDER, SPARE, WAYS, Way
from control.model import Backend, BackendState, Protocol, Service
from vagrant.lab.errors import LabError
from vagrant.lab.wait import eventually

Event = Callable[[Cluster], None]

_MAX_WEIGHT: Final = 100
_SOON: Final = 15.0  # seconds
_SLOTS: Final = (131_072, 196_608, 327_680)  # none of them the one that it begins with
_RECORDS: Final = (65_536, 1_048_576)
_NOT_RELOADED: Final = "not reloaded"


class NotAsPromisedError(LabError):
    """guidewayd did something else than it should."""


def kill_and_start(cluster: Cluster) -> None:
    """Kill it and start it again."""
    cluster.kill()
    _start(cluster)


def kill_while_starting(cluster: Cluster) -> None:
    """Kill it, and the next one before it has started, too."""
    cluster.kill()
    cluster.start()
    time.sleep(cluster.random.uniform(0.1, 1.5))
    cluster.kill()
    _start(cluster)


def kill_while_replacing(cluster: Cluster) -> None:
    """Kill it while it starts with other limits; go on with yet other ones."""
    cluster.kill()
    _change_limits(cluster)
    cluster.start()
    time.sleep(cluster.random.uniform(0.5, 2.5))
    cluster.kill()
    _change_limits(cluster)
    _start(cluster)


def kill_while_changing(cluster: Cluster) -> None:
    """Kill it just after it was told to change all weights."""
    _change_file(cluster)
    cluster.hang_up()
    time.sleep(cluster.random.uniform(0, 0.1))
    cluster.kill()
    _start(cluster)


def stop_and_start(cluster: Cluster) -> None:
    """Stop it in order and start it again."""
    cluster.node.guidewayd.stop()
    _start(cluster)


def stay_dead(cluster: Cluster) -> None:
    """Kill it, and let nobody notice for some seconds."""
    cluster.kill()
    time.sleep(cluster.random.uniform(2, 4))
    _start(cluster)


def reload_changed(cluster: Cluster) -> None:
    """Have it read a file with other weights."""
    _change_file(cluster)
    _reload(cluster)


def serve_by_all(cluster: Cluster) -> None:
    """Have it read a file by which no backend is draining."""
    for service in tuple(cluster.wanted.values()):
        backends = (replace(each, state=BackendState.ACTIVE) for each in service.backends)
        cluster.change(service.name, backends=tuple(backends))
    _change_file(cluster)
    _reload(cluster)


def _reload(cluster: Cluster) -> None:
    before = cluster.node.api.status().desired_version
    cluster.hang_up()
    eventually(
        lambda: cluster.node.api.status().desired_version > before,
        within=_SOON,
        what="guidewayd takes over the changed file",
        explain=cluster.node.guidewayd.tail,
    )
    cluster.wait()


def reload_while_starting(cluster: Cluster) -> None:
    """Have it read a file with other weights while it is starting."""
    cluster.kill()
    cluster.start()
    time.sleep(cluster.random.uniform(0.1, 1.5))
    _change_file(cluster)
    cluster.hang_up()  # kills it if it does not hear signals yet

    def takes_over() -> bool:
        cluster.start()
        return cluster.node.api.answers() and cluster.mistakes() == []

    eventually(
        takes_over,
        within=_SOON,
        what="guidewayd takes over the changed file",
        explain=cluster.node.guidewayd.tail,
    )


def reload_broken(cluster: Cluster) -> None:
    """Have it read a file with a mistake."""
    log = cluster.node.guidewayd.log
    before = log.read_text(encoding="utf-8").count(_NOT_RELOADED)
    good = _spoil_file(cluster)
    cluster.hang_up()
    eventually(
        lambda: log.read_text(encoding="utf-8").count(_NOT_RELOADED) > before,
        within=_SOON,
        what="guidewayd refuses the broken file",
        explain=cluster.node.guidewayd.tail,
    )
    cluster.write_file(good)


def start_broken(cluster: Cluster) -> None:
    """Stop it, and start it in vain with a broken file."""
    cluster.node.guidewayd.stop()
    good = _spoil_file(cluster)
    cluster.start()
    code = cluster.node.guidewayd.wait(_SOON)
    if code != 1:
        raise NotAsPromisedError(f"with a broken file guidewayd ended with code {code}")
    cluster.write_file(good)
    _start(cluster)


def reload_program(cluster: Cluster) -> None:
    """Have it load its program anew, by hand."""
    cluster.guideway("dataplane", "reload")
    _require_replacement(cluster)


def other_limits(cluster: Cluster) -> None:
    """Start it with other limits: its program is replaced, over new maps."""
    cluster.node.guidewayd.stop()
    _change_limits(cluster)
    _start(cluster)
    _require_replacement(cluster)


def other_release(cluster: Cluster) -> None:
    """Start another release, whose program is another one; or go back to ours."""
    cluster.kill()
    daemon = cluster.node.guidewayd
    (daemon.directory,) = (one for one in cluster.releases if one != daemon.directory)
    _start(cluster)
    _require_replacement(cluster)


def old_pins(cluster: Cluster) -> None:
    """Leave pins of a release of long ago in its bpffs while it is dead."""
    cluster.kill()
    old = foreign.leave_old_pins(cluster.pins, cluster.generation)
    _start(cluster)
    eventually(lambda: not old.exists(), within=_SOON, what="the old pins are gone")


def foreign_write(cluster: Cluster) -> None:
    """Delete the entry of a service without traffic; it has to be mended in time."""
    foreign.delete_service(cluster.generation, cluster.wanted[BYSTANDER])


def add_backend(cluster: Cluster) -> None:
    """Add the spare backend to a service, or give it back its part."""
    service = _any_service(cluster)
    spare = _spare(service)
    found = _find(service, spare)
    if found is None:
        weight = _weight(cluster.random)
        _add(cluster, service.name, replace(spare, weight=weight))
    else:
        _set(cluster, service, found, state=BackendState.ACTIVE)


def change_weight(cluster: Cluster) -> None:
    """Give a backend another weight."""
    service = _any_service(cluster)
    backend = cluster.random.choice(service.backends)
    _set(cluster, service, backend, weight=_weight(cluster.random))


def drain_backend(cluster: Cluster) -> None:
    """Drain a backend, or let one that is draining serve again."""
    service = _any_service(cluster)
    backend = cluster.random.choice(service.backends[1:])  # somebody has to serve
    drains = backend.state is BackendState.ACTIVE
    state = BackendState.DRAINING if drains else BackendState.ACTIVE
    _set(cluster, service, backend, state=state)


def remove_backend(cluster: Cluster) -> None:
    """Drain the spare backend everywhere, wait for its connections to end, remove it."""
    way = cluster.random.choice(WAYS)
    services = [cluster.wanted[way.service(protocol).name] for protocol in Protocol]
    spare = way.backend(SPARE)
    for service in services:
        found = _find(service, spare)
        if found is None:
            _add(cluster, service.name, spare)
        _set(
            cluster,
            cluster.wanted[service.name],
            found or spare,
            state=BackendState.DRAINING,
        )
    cluster.leave(str(way), spare.name)
    for service in services:
        cluster.guideway("backend", "remove", service.name, spare.name)
        rest = cluster.wanted[service.name].backends
        cluster.change(
            service.name, backends=tuple(each for each in rest if each.name != spare.name)
        )


# How often each comes in a round; a round is shuffled, so all come early.
EVENTS: Final[Mapping[str, tuple[Event, int]]] = {
    "kill -9, start": (kill_and_start, 4),
    "kill -9 while starting": (kill_while_starting, 3),
    "kill -9 while replacing the program": (kill_while_replacing, 1),
    "kill -9 while changing the tables": (kill_while_changing, 2),
    "SIGTERM, start": (stop_and_start, 2),
    "dead for some seconds": (stay_dead, 1),
    "reload of a changed file": (reload_changed, 4),
    "reload while starting": (reload_while_starting, 1),
    "reload of a broken file": (reload_broken, 3),
    "start with a broken file": (start_broken, 1),
    "reload of the program": (reload_program, 2),
    "other limits, other maps": (other_limits, 1),
    "another release, another program": (other_release, 1),
    "pins of an old release": (old_pins, 1),
    "a foreign write": (foreign_write, 2),
    "a backend is added": (add_backend, 4),
    "a weight is changed": (change_weight, 4),
    "a backend is drained, or back": (drain_backend, 4),
    "a backend is removed": (remove_backend, 2),
}


def shuffled(random: Random) -> Iterator[str]:
    """Yield names of events for ever, in rounds."""
    deck = [name for name, (_, times) in EVENTS.items() for _ in range(times)]
    while True:
        random.shuffle(deck)
        yield from deck


def _start(cluster: Cluster) -> None:
    cluster.start()
    cluster.wait()


def _change_file(cluster: Cluster) -> None:
    """Write a file with other weights for all backends that serve."""
    for service in tuple(cluster.wanted.values()):
        backends = (
            replace(each, weight=_weight(cluster.random)) for each in service.backends
        )
        cluster.change(service.name, backends=tuple(backends))
    cluster.write_file()


def _change_limits(cluster: Cluster) -> None:
    slots = cluster.random.choice([n for n in _SLOTS if n != cluster.limits.get("slots")])
    cluster.change_limits(slots=slots, records=cluster.random.choice(_RECORDS))


def _require_replacement(cluster: Cluster) -> None:
    if cluster.node.api.status().adopted:
        raise NotAsPromisedError("guidewayd has adopted the program that it should replace")


def _spoil_file(cluster: Cluster) -> str:
    """Make a mistake in guidewayd's file, and return what it was before."""
    path = cluster.node.paths.guidewayd_file
    good = path.read_text(encoding="utf-8")
    path.write_text(cluster.random.choice(_MISTAKES)(good), encoding="utf-8")
    return good


def _edited(text: str, change: Callable[[Any], object]) -> str:
    content = yaml.safe_load(text)
    change(content)
    return yaml.safe_dump(content, sort_keys=False)


_MISTAKES: Final[tuple[Callable[[str], str], ...]] = (
    lambda _: "",
    lambda text: text[: len(text) // 2] + "\n\t- {",
    lambda text: _edited(text, lambda file: file["services"][0].update(port=70_000)),
    lambda text: _edited(text, lambda file: file["services"][0].update(colour="red")),
    lambda text: _edited(text, lambda file: file["services"].append(file["services"][0])),
    lambda text: _edited(text, lambda file: file["services"][0].update(vip="10.0.0.256")),
)


def _any_service(cluster: Cluster) -> Service:
    names = [way.service(protocol).name for way in WAYS for protocol in Protocol]
    return cluster.wanted[cluster.random.choice(names)]


def _way(service: Service) -> Way:
    (found,) = (
        way
        for way in WAYS
        if way.mode is service.mode and way.version == service.vip.version
    )
    return found


def _spare(service: Service) -> Backend:
    return _way(service).backend(SPARE)


def _find(service: Service, backend: Backend) -> Backend | None:
    return next((each for each in service.backends if each.name == backend.name), None)


def _weight(random: Random) -> int:
    return random.randint(1, _MAX_WEIGHT)


def _add(cluster: Cluster, service: str, backend: Backend) -> None:
    cluster.guideway(
        *("backend", "add", service, str(backend.address)),
        *("--name", backend.name, "--port", str(backend.port)),
        *("--weight", str(backend.weight)),
    )
    backends = cluster.wanted[service].backends
    cluster.change(service, backends=(*backends, backend))


def _set(
    cluster: Cluster,
    service: Service,
    backend: Backend,
    *,
    weight: int | None = None,
    state: BackendState | None = None,
) -> None:
    new = replace(
        backend,
        weight=backend.weight if weight is None else weight,
        state=backend.state if state is None else state,
    )
    said = () if weight is None else ("--weight", str(weight))
    told = () if state is None else ("--state", state.value)
    cluster.guideway("backend", "set", service.name, backend.name, *said, *told)
    backends = (new if each.name == new.name else each for each in service.backends)
    cluster.change(service.name, backends=tuple(backends))
