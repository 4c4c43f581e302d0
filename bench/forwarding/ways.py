"""The ways through the balancer that are compared."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

from bench.dataplane_under_test import DataplaneUnderTest, Vip
from bench.forwarding import nftables
from bench.forwarding.network import INTERFACES, LEGS, PORT, VIP, routed
from bench.xdp_programs import Programs
from vagrant.lab.hosts import Host

# What all others are compared with.
BARE: Final = "bare redirect_map, one exit"
CONNTRACK: Final = "nftables: DNAT with conntrack"

_UDP: Final = 17
_RING_SIZE: Final = 65537


SetUp = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """The program at the balancer's entrance, and what else has to be there."""

    name: str
    program: int
    set_up: SetUp = nullcontext
    target: float | None = None  # the least share of what the bare redirect does


def ways(
    programs: Programs, dataplane: DataplaneUnderTest, balancer: Host
) -> Iterator[Way]:
    """Yield them; those by nftables if it is installed."""

    def serving(*, nat: bool) -> SetUp:
        return lambda: _serving(dataplane, balancer, nat=nat)

    def ruled(ruleset: str) -> SetUp:
        return lambda: nftables.rules(balancer, ruleset)

    yield Way("bare drop at the entrance", programs.load("receive"))
    yield Way(BARE, programs.load("redirect"))
    yield Way("bare redirect_map, three in turn", programs.load("redirect_in_turns"))
    yield Way("guideway: DR", dataplane.program, serving(nat=False), 0.85)
    yield Way("guideway: NAT", dataplane.program, serving(nat=True), 0.8)
    leave = programs.load("leave")
    yield Way("kernel: IP forwarding, one exit", leave, lambda: routed(balancer))
    if nftables.installed():
        yield Way("nftables: jhash, MAC, at ingress", leave, ruled(nftables.INGRESS))
        yield Way("nftables: jhash, address, stateless", leave, ruled(nftables.STATELESS))
        # The last: the kernel goes on looking through its table of connections.
        yield Way(CONNTRACK, leave, ruled(nftables.CONNTRACK))


@contextmanager
def _serving(dataplane: DataplaneUnderTest, balancer: Host, *, nat: bool) -> Iterator[None]:
    """Give the balancer its service; it stays, since no other way reads these maps."""
    servers = [leg.server() for leg in LEGS]
    with balancer.inside():
        dataplane.fill(INTERFACES, [Vip(VIP, PORT, _UDP, nat, servers, _RING_SIZE)])
    yield
