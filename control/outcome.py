"""How a service comes out of a round that has room for it, its history heeded. Pure."""

from collections.abc import Mapping

from control.entries import endpoint_of
from control.ids import BackendPlace
from control.model import Service
from control.rounds import Round
from control.serving import Served, follow, remember, serve
from control.sync.listener import leader


def outcome(
    around: Round, service: Service, number: int, numbers: Mapping[BackendPlace, int]
) -> Served:
    """Return who serves ``service``, which has this id, with who had its slots before.

    ``numbers`` are the ids of backends.
    """
    facts, endpoint = around.facts, endpoint_of(service)
    one = serve(service, number, numbers, facts, around.serving, around.tables)
    is_known = endpoint in around.known.services
    own = facts.network.addresses
    if ring := leader(facts.shared, endpoint, own, known=is_known):
        return follow(one, around.known, around.moment, ring, numbers)
    return remember(one, around.known, around.moment)
