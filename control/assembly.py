"""From services as they came out to the contents of all maps. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from control import entries
from control.admission import Admission
from control.entries import PRESENT, endpoint_of
from control.ids import BackendPlace
from control.model import Affinity, Hash, Mode
from control.returns import go_on, returns
from control.rounds import Round
from control.serving import Served, backends_of
from control.transition import PATIENCE
from dataplane import records
from dataplane.image import Image
from dataplane.records import Address, Endpoint, Index, Return, port_index

_MODES: Final = {Mode.DR: records.MODE_DR, Mode.NAT: records.MODE_NAT}
_AFFINITIES: Final = {
    Affinity.NONE: records.AFFINITY_NONE,
    Affinity.TRANSITION: records.AFFINITY_TRANSITION,
    Affinity.ALWAYS: records.AFFINITY_ALWAYS,
}
_HASHES: Final = {Hash.FLOW: records.HASH_FLOW, Hash.SOURCE: records.HASH_SOURCE}


def assemble(
    around: Round,
    served: Sequence[Served],
    offsets: Iterable[int | None],
    admission: Admission,
) -> tuple[Image, AbstractSet[Endpoint]]:
    """Return the maps' contents, and the NAT backends whose replies have no room yet."""
    network = around.facts.network
    answers, late = _answers(around, served, admission.speakers)
    services = [(one, offset or 0) for one, offset in zip(served, offsets, strict=True)]
    vlans = entries.vlans(network)
    image = Image(
        ports=entries.ports(network, vlans.values()),
        vlans=vlans,
        transmit_ports={
            port_index(i.ifindex): Index(i.ifindex) for i in network.interfaces
        },
        direct=entries.direct(around.desired, network, around.settings.direct),
        backends=_backends(around, served, admission.numbers, answers),
        returns=answers,
        rings={offset: one.ring for one, offset in services if one.ring},
        vips={Address(one.service.vip): PRESENT for one in served},
        services={
            endpoint_of(one.service): _entry(one, offset, around.settings.hash_seed)
            for one, offset in services
        },
    )
    return image, late


def _entry(one: Served, offset: int, hash_seed: int) -> records.Service:
    if one.held:
        return replace(one.held, ring_offset=offset)
    return records.Service(
        one.id,
        offset,
        len(one.ring),
        hash_seed,
        _MODES[one.service.mode],
        _AFFINITIES[one.service.affinity],
        _HASHES[one.service.hash],
        PATIENCE[one.service.protocol],
        one.changed_ns,
        one.service.pool.watch_handshakes,
    )


def _answers(
    around: Round, served: Sequence[Served], speakers: AbstractSet[Endpoint]
) -> tuple[dict[Endpoint, Return], AbstractSet[Endpoint]]:
    """Return whose replies are whose, and of whom that has no room yet."""
    known = around.known
    wanted = returns((one.service for one in served), known.returns, around.moment.now_ns)
    others = [each for each in wanted if each not in speakers]
    room = max(0, around.settings.limits.backends - len(speakers))
    late = frozenset(others[room:])  # of those that were never reached
    answers = {each: one for each, one in wanted.items() if each not in late}
    for one in served:
        if one.held and one.held.mode == records.MODE_NAT:
            vip = endpoint_of(one.service)
            backends = (known.backends[index] for index in backends_of(known, one.held))
            ends = (Endpoint(each.address, each.port, vip.protocol) for each in backends)
            answers = go_on(answers, known.returns, vip, ends)
    return answers, late


def _backends(
    around: Round,
    served: Sequence[Served],
    numbers: Mapping[BackendPlace, int],
    answers: Mapping[Endpoint, Return],
) -> dict[Index, records.Backend]:
    found = entries.backends(numbers, around.hops, around.facts.network, around.known)
    down = frozenset[int]().union(*(one.down for one in served))
    speaking = {}  # the protocols of NAT services, by id
    for one in served:
        mode = one.held.mode if one.held else _MODES[one.service.mode]
        if mode == records.MODE_NAT:
            speaking[one.id] = one.service.protocol.number
        for index in backends_of(around.known, one.held) if one.held else ():
            found.setdefault(index, around.known.backends[index])

    tracked = {endpoint for endpoint, answer in answers.items() if answer.is_tracked}
    # Who serves every port may answer from one that another service shares.
    tracked |= {replace(endpoint, port=0) for endpoint in tracked}

    def is_tracked(backend: records.Backend) -> bool:
        protocol = speaking.get(backend.service_id) if tracked else None
        if protocol is None:
            return False
        return Endpoint(backend.address, backend.port, protocol) in tracked

    return {
        index: replace(one, is_down=index.number in down, is_tracked=is_tracked(one))
        for index, one in found.items()
    }
