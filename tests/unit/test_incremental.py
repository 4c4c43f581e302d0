"""A round that compiles only what has changed gives what one that compiles all gives."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from control.basis import Now
from control.checks import TcpCheck
from control.compile import Compiled, compile_image, compile_next
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import (
    Affinity,
    Backend,
    BackendState,
    DesiredState,
    Mode,
    Protocol,
    Returns,
    Service,
)
from control.pool_policy import EACH_BY_ITSELF, PoolPolicy, SorryServer, WhenAllDown
from control.rounds import Settings
from control.status import Health
from control.tables import Tables
from dataplane.image import Image
from dataplane.source import Limits

ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
VIPS = range(1, 13)
HOSTS = range(1, 6)
SECOND = 1_000_000_000
HOP = NextHop("eth0", 3, ETH0.mac, b"\2\0\0\0\0\2")
OTHER_HOP = NextHop("eth0", 3, ETH0.mac, b"\2\0\0\0\0\3")
SILENT = NextHop("eth0", 3, ETH0.mac, None)


def address(vip: int, host: int) -> IPv4Address:
    return IPv4Address(f"10.0.{vip}.{host}")


def policies(vip: int) -> st.SearchStrategy[PoolPolicy]:
    """Return policies of a service, most often none."""
    some = st.builds(
        PoolPolicy,
        quorum=st.integers(2, 4),
        hysteresis=st.integers(0, 1),
        sorry_server=st.none() | st.just(SorryServer(address(vip, 99), 80)),
        when_all_down=st.sampled_from([*WhenAllDown][::2]),
        keep_flows=st.booleans(),
        max_ejected=st.sampled_from([0.0, 0.5, 1.0]),
    )
    return st.just(EACH_BY_ITSELF) | st.just(EACH_BY_ITSELF) | some


@st.composite
def services(draw: st.DrawFn, vip: int) -> Service:
    mode = draw(st.sampled_from(Mode))
    nat = mode is Mode.NAT
    # Of NAT services, a backend may also be another one's.
    own = st.just(vip) if not nat else st.sampled_from([vip, vip, vip, 1])
    hosts = draw(st.sets(st.sampled_from(HOSTS), max_size=4))
    return Service(
        f"s{vip}",
        IPv4Address(f"192.0.2.{vip}"),
        Protocol.UDP if vip == 2 else Protocol.TCP,
        80,
        mode,
        tuple(
            Backend(
                f"b{host}",
                address(draw(own), host),
                80,
                draw(st.sampled_from([0, 1, 1, 3])),
                draw(st.sampled_from([BackendState.ACTIVE, *BackendState])),
            )
            for host in sorted(hosts)
        ),
        checks=draw(st.sampled_from([(), (TcpCheck(),)])),
        ring_size=draw(st.sampled_from([5, 7, 11])),
        affinity=draw(st.sampled_from([Affinity.TRANSITION, *Affinity])),
        returns=draw(st.sampled_from([*Returns]))
        if nat and vip == 3
        else Returns.STATELESS,
        pool=draw(policies(vip)),
    )


@st.composite
def states(draw: st.DrawFn) -> DesiredState:
    return DesiredState(tuple(draw(services(vip)) for vip in VIPS))


keys = st.tuples(
    st.sampled_from([f"s{vip}" for vip in VIPS]), st.sampled_from([f"b{h}" for h in HOSTS])
)
addresses = st.builds(address, st.sampled_from(VIPS), st.sampled_from([*HOSTS, 99]))


@st.composite
def changes(draw: st.DrawFn):  # noqa: PLR0911 - a way for each kind
    """Return what becomes of wanted state and facts between two rounds."""
    kind = draw(
        st.sampled_from(
            ["service", "health", "weight", "hop", "nothing", "time", "order", "fewer"]
        )
    )
    match kind:
        case "service":
            new = draw(st.sampled_from(VIPS).flatmap(services))
            return lambda w, f: (
                DesiredState(tuple(new if s.name == new.name else s for s in w)),
                f,
            )
        case "health":
            verdicts = draw(st.dictionaries(keys, st.sampled_from(Health), max_size=3))
            return lambda w, f: (w, replace(f, health={**f.health, **verdicts}))
        case "weight":
            weights = draw(st.dictionaries(keys, st.sampled_from([0, 2]), max_size=2))
            return lambda w, f: (w, replace(f, weights=weights))
        case "hop":
            at, hop = draw(addresses), draw(st.sampled_from([HOP, OTHER_HOP, SILENT]))

            def moved(w, f):
                hops = {**f.network.next_hops, at: hop}
                return w, replace(f, network=replace(f.network, next_hops=hops))

            return moved
        case "order":
            return lambda w, f: (DesiredState(w.services[::-1]), f)
        case "fewer":
            return lambda w, f: (DesiredState(w.services[1:]), f)
        case _:
            return lambda w, f: (w, f)


@dataclass
class Maps:
    """What the maps hold, and what it was compiled from."""

    settings: Settings
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.last = Compiled(Image(), ())
        self.tables = Tables()
        self.partly = 0  # rounds that did not compile everything

    def round(self, wanted: DesiredState, facts: Facts, recorded) -> None:
        """Make the next round, and compare it with one from scratch."""
        pools = self.last.pools.items()
        lost = frozenset(name for name, pool in pools if not pool.quorum)
        facts = replace(facts, lost=lost)
        moment = Moment(self.now_ns, recorded)
        known = self.last.image
        whole = compile_image(wanted, facts, self.settings, known, Tables(), moment)

        now = Now(wanted, facts, self.tables, moment)
        made = compile_next(self.last, self.settings, now)

        assert made.image == whole.image
        assert made.services == whole.services
        assert made.waiting == whole.waiting
        assert made.pools == whole.pools
        self.last = made


@given(
    states(),
    st.lists(
        st.tuples(
            changes(),
            st.sampled_from([1, 40, 1000]),
            st.none() | st.frozensets(st.integers(0, 12)),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([80, 2 + len(VIPS) * 5]),
)
@settings(max_examples=100, deadline=None)
def test_an_incremental_round_gives_the_image_of_one_from_scratch(
    wanted, history, backends
) -> None:
    limits = Limits(services=32, backends=backends, slots=2 * 11 * len(VIPS))
    maps = Maps(Settings(limits, 0, ()))
    hops = {address(vip, host): HOP for vip in VIPS for host in (*HOSTS, 99)}
    facts = Facts(Network((ETH0,), next_hops=hops))
    for _ in range(3):
        maps.now_ns += SECOND
        maps.round(wanted, facts, None)
    for change, seconds, recorded in history:
        maps.now_ns += seconds * SECOND
        wanted, facts = change(wanted, facts)
        maps.round(wanted, facts, recorded)
