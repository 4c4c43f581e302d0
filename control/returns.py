"""Whose the replies of NAT backends are. Pure.

A backend of one service speaks for its VIP, and that is all. If it belongs to several, or
its service tracks its flows, the data plane writes the flows down on their way there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from control.model import Backend, Mode, Returns, Service
from control.transition import PATIENCE
from dataplane.records import Endpoint, Return

ALWAYS: Final = 2**64 - 1  # ns


def returns(
    services: Iterable[Service], known: Mapping[Endpoint, Return], now_ns: int
) -> dict[Endpoint, Return]:
    """Return whose replies are whose; of backends that are down or draining too.

    ``known`` is what the maps hold. Flows that began before they were written down are
    those of the service that the backend had then: for as long as a flow may be silent if
    replies of unknown flows are not to be translated, and for ever if they are.
    """
    return {
        endpoint: _return(several, known.get(endpoint, known.get(_every(endpoint))), now_ns)
        for endpoint, several in _speakers(services).items()
    }


def go_on(
    answers: Mapping[Endpoint, Return],
    known: Mapping[Endpoint, Return],
    vip: Endpoint,
    backends: Iterable[Endpoint],
) -> dict[Endpoint, Return]:
    """Return ``answers`` by which ``backends`` still speak for the service ``vip``.

    It stays as it was for a moment. Where one of them speaks for another service already,
    that one's flows are written down, and all others are those of ``vip``.
    """
    held = {}
    for backend in backends:
        answer = answers.get(backend, known.get(backend))
        if answer is None or (answer.vip, answer.port) != (vip.address, vip.port):
            answer = Return(vip.address, vip.port, is_tracked=True, until_ns=ALWAYS)
        held[backend] = answer
    return {**answers, **held}


def answering(service: Service, backend: Backend) -> Endpoint:
    """Return what the replies of a service's backend come from."""
    return Endpoint(backend.address, backend.port, service.protocol.number)


def _speakers(services: Iterable[Service]) -> dict[Endpoint, list[Service]]:
    speakers: dict[Endpoint, list[Service]] = {}
    for service in services:
        if service.mode is Mode.NAT:
            for backend in service.backends:
                speakers.setdefault(answering(service, backend), []).append(service)
    # A service of every port may have its answers from the port of another one, too.
    return {
        endpoint: several + (speakers.get(_every(endpoint), []) if endpoint.port else [])
        for endpoint, several in speakers.items()
    }


def _every(endpoint: Endpoint) -> Endpoint:
    """Return the same address and protocol, at every port."""
    return replace(endpoint, port=0)


def _return(services: Sequence[Service], known: Return | None, now_ns: int) -> Return:
    first = next(
        (service for service in services if _is_known(service, known)), services[0]
    )
    if not any(service.returns is Returns.TRACKED for service in services):
        if len(services) == 1:
            return Return(first.vip, first.port)
        return Return(first.vip, first.port, is_tracked=True, until_ns=ALWAYS)
    until_ns = 0
    if known is not None and _is_known(first, known):
        until_ns = known.until_ns
        if not known.is_tracked or until_ns == ALWAYS:
            until_ns = now_ns + PATIENCE[first.protocol] * 1_000_000_000
    return Return(first.vip, first.port, is_tracked=True, until_ns=until_ns)


def _is_known(service: Service, known: Return | None) -> bool:
    return known is not None and (service.vip, service.port) == (known.vip, known.port)
