"""What becomes of IPVS's schedulers and persistence: who gets which flow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control.importing.body import Body
from control.model import Hash

_COUNTED: Final = (
    "connections are not counted: flows are spread by a Maglev table, in parts as the "
    "weights say"
)
ALGORITHMS: Final[Mapping[str, str]] = {  # what is to be said of each; "": nothing
    "rr": "",
    "wrr": "",
    "mh": "",
    "sh": "",
    "lc": _COUNTED,
    "wlc": _COUNTED,
    "sed": _COUNTED,
    "nq": _COUNTED,
    "lblc": _COUNTED,
    "lblcr": _COUNTED,
    "fo": "all backends serve, in parts as the weights say, not the heaviest alone",
    "ovf": "all backends serve, in parts as the weights say, not the heaviest first",
    "dh": "flows are spread by all of their addresses and ports",
    "twos": _COUNTED,
}
_UNWEIGHTED: Final = ("rr", "lc")
_BY_CLIENT: Final = {"sh": "sh-port", "mh": "mh-port"}  # unless this flag is there
PERSISTENT: Final = (
    "all flows of a client go to one backend (hash: source) as long as the table is the "
    "same; no time ends that"
)


@dataclass(frozen=True, slots=True)
class Flows:
    """How a service treats them."""

    hash: Hash = Hash.FLOW
    weighted: bool = True


def flows(algorithm: str, flags: frozenset[str], *, persistent: bool) -> Flows:
    """Return what a scheduler with its flags (``sh-port``) amounts to."""
    port = _BY_CLIENT.get(algorithm)
    by_client = persistent or (port is not None and port not in flags)
    return Flows(Hash.SOURCE if by_client else Hash.FLOW, algorithm not in _UNWEIGHTED)


def flows_of(body: Body) -> Flows:
    """Take what a virtual_server says of it."""
    found = body.last("lvs_sched", "lb_algo")
    algorithm = found.arguments[0].lower() if found and found.arguments else "wlc"
    if found:
        unknown = f"there is no scheduler {algorithm!r}: flows are spread by weight"
        if sentence := ALGORITHMS.get(algorithm, unknown):
            body.note(found, sentence)
    flags = body.every("sh-port", "mh-port", "sh-fallback", "mh-fallback")
    # Slots of who is down go to others anyway.
    said = frozenset(one.keyword for one in flags)
    timeout = body.last("persistence_timeout")
    if timeout:
        body.note(timeout, PERSISTENT)
    for one in body.every("persistence_granularity"):
        body.note(one, "single addresses of clients count, not networks; left out")
    for one in body.every("persistence_engine"):
        body.note(one, "only addresses of clients are looked at; left out")
    return flows(algorithm, said, persistent=timeout is not None)


def weight_of(said: int | None, weighted: bool) -> int:
    """Return a backend's weight; schedulers without weights heed nothing but 0."""
    if said is None:
        return 1
    return said if weighted else min(said, 1)
