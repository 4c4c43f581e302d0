"""keepalived's quorum, sorry_server and the like, as the policy of a pool. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from control.errors import ConfigError
from control.importing.body import Body
from control.importing.notes import Notes
from control.importing.statements import Statement
from control.model import Mode, Service
from control.pool_policy import MAX_QUORUM, PoolPolicy, SorryServer

INHIBIT: Final = "inhibit_on_failure"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a virtual_server says of its real servers as a whole."""

    policy: PoolPolicy
    sorry: Statement | None


def asked_of(body: Body, servers: Iterable[Statement]) -> Asked:
    """Take what there is of it out of ``body``; look at the real ``servers``, too."""
    quorum = body.whole("quorum", least=1, most=MAX_QUORUM) or 1
    found = next((o for o in body.block.body or () if o.keyword == "hysteresis"), None)
    hysteresis = body.whole("hysteresis", least=0, most=MAX_QUORUM) or 0
    if found and hysteresis >= quorum:
        body.note(found, f"has to be below the quorum: {quorum - 1} is taken")
        hysteresis = quorum - 1
    policy = PoolPolicy(quorum, hysteresis, keep_flows=_inhibits(body, servers))
    return Asked(policy, body.last("sorry_server"))


def with_policy(service: Service, asked: Asked, notes: Notes) -> Service:
    """Return ``service`` with its policy, and a note if it cannot have its sorry server."""
    service = replace(service, pool=asked.policy)
    statement = asked.sorry
    if statement is None:
        return service
    address, port = (*statement.arguments, "", "")[:2]
    try:
        sorry = SorryServer.parse(address, service.port)
        if port:
            sorry = replace(sorry, port=int(port))
    except ValueError:
        notes.add(statement.place, statement.keyword, "has no address and port; left out")
        return service
    if service.mode is Mode.DR and sorry.port != service.port:
        why = f"DR cannot change ports: {service.port} is taken rather than {sorry.port}"
        notes.add(statement.place, statement.keyword, why)
        sorry = replace(sorry, port=service.port)
    try:
        return replace(service, pool=replace(asked.policy, sorry_server=sorry))
    except ConfigError as error:
        notes.add(statement.place, statement.keyword, f"{error.problem}; left out")
        return service


def _inhibits(body: Body, servers: Iterable[Statement]) -> bool:
    """Tell whether connections stay with real servers that fail."""
    if body.flag(INHIBIT):
        return True
    every = [
        [one for one in server.body or () if one.keyword == INHIBIT] for server in servers
    ]
    some = [found[0] for found in every if found]
    if some and not all(every):
        body.note(some[0], "all backends of a service are treated alike: it counts for all")
    return bool(some)
