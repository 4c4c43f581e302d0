"""A round that compiles only what has changed gives what one that compiles all gives."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from control.basis import Now
from control.checks import TcpCheck
from control.compile import Compiled, compile_image, compile_next
from control.desired import DesiredState
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.incremental import renew
from control.model import Affinity, Backend, BackendState, Mode, Protocol, Returns, Service
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
        slow_start=st.sampled_from([0.0, 60.0]),
        watch_handshakes=st.just(vip != 2),
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
            [
                "service",
                "health",
                "weight",
                "step",
                "suspicion",
                "hop",
                "nothing",
                "order",
                "fewer",
            ]
        )
    )
    if kind == "service":
        new = draw(st.sampled_from(VIPS).flatmap(services))
        return lambda w, f: (DesiredState(tuple(_instead(w, new))), f)
    if kind == "health":
        verdicts = draw(st.dictionaries(keys, st.sampled_from(Health), max_size=3))
        return lambda w, f: (w, replace(f, health={**f.health, **verdicts}))
    if kind == "weight":
        weights = draw(st.dictionaries(keys, st.sampled_from([0, 2]), max_size=2))
        return lambda w, f: (w, replace(f, weights=weights))
    if kind == "step":
        steps = draw(st.dictionaries(keys, st.integers(1, 9), max_size=4))
        return lambda w, f: (w, replace(f, steps=steps))
    if kind == "suspicion":
        suspected = draw(st.frozensets(keys, max_size=3))
        return lambda w, f: (w, replace(f, suspected=suspected))
    if kind == "hop":
        moved = {draw(addresses): draw(st.sampled_from([HOP, OTHER_HOP, SILENT]))}
        return lambda w, f: (w, replace(f, network=_with_hops(f.network, moved)))
    services_of = {
        "order": lambda w: w.services[::-1],
        "fewer": lambda w: w.services[1:],
        "nothing": lambda w: w.services,
    }[kind]
    return lambda w, f: (DesiredState(services_of(w)), f)


def _instead(state: DesiredState, new: Service) -> list[Service]:
    return [new if service.name == new.name else service for service in state]


def _with_hops(network: Network, hops) -> Network:
    return replace(network, next_hops={**network.next_hops, **hops})


@dataclass
class Maps:
    """What the maps hold, and what it was compiled from."""

    settings: Settings
    now_ns: int = 0

    def __post_init__(self) -> None:
        self.last = Compiled(Image(), ())
        self.tables = Tables()

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


def plain(vip: int, hosts=range(1, 4), **changes) -> Service:
    backends = tuple(Backend(f"b{host}", address(vip, host), 80) for host in hosts)
    vip_address = IPv4Address(f"192.0.2.{vip}")
    return replace(
        Service(f"s{vip}", vip_address, Protocol.TCP, 80, Mode.NAT, backends, ()), **changes
    )


SETTLED = DesiredState(tuple(plain(vip) for vip in VIPS))
LIMITS = Limits(services=32, backends=128, slots=1 << 18)
FACTS = Facts(
    Network(
        (ETH0,),
        next_hops={address(vip, host): HOP for vip in VIPS for host in HOSTS},
    )
)


def settled() -> Maps:
    maps = Maps(Settings(LIMITS, 0, ()))
    for _ in range(2):
        maps.round(SETTLED, FACTS, None)
    return maps


def compiled_alone(maps: Maps, wanted: DesiredState, facts: Facts):
    """Return the places of the services that are compiled; None: all."""
    now = Now(wanted, facts, maps.tables, Moment(maps.now_ns))
    renewed = renew(maps.last.basis, now, maps.last.image)
    return None if renewed is None else renewed.compiled


def test_where_nothing_changes_nothing_is_compiled_and_the_tables_are_the_same() -> None:
    maps = settled()
    before = maps.last.image

    assert compiled_alone(maps, SETTLED, FACTS) == frozenset()
    maps.round(SETTLED, FACTS, None)

    assert maps.last.image.backends is before.backends
    assert maps.last.image.rings is before.rings
    assert maps.last.image.returns is before.returns


def test_a_changed_backend_has_its_service_compiled_alone() -> None:
    wanted = SETTLED.with_changed_backend("s4", "b2", state=BackendState.DISABLED)

    assert compiled_alone(settled(), wanted, FACTS) == {3}


def test_a_new_backend_has_its_service_compiled_alone() -> None:
    wanted = SETTLED.with_service(plain(5, hosts=range(1, 5)))

    assert compiled_alone(settled(), wanted, FACTS) == {4}


def test_a_verdict_a_weight_and_a_next_hop_concern_their_services() -> None:
    facts = replace(
        FACTS,
        health={("s1", "b1"): Health.DOWN},
        weights={("s2", "b1"): 3},
        network=_with_hops(FACTS.network, {address(3, 1): OTHER_HOP}),
    )

    assert compiled_alone(settled(), SETTLED, facts) == {0, 1, 2}


def test_a_step_of_a_slow_start_concerns_its_service() -> None:
    maps = settled()
    facts = replace(FACTS, steps={("s2", "b1"): 3, ("s7", "b2"): 1})
    further = replace(FACTS, steps={("s2", "b1"): 4, ("s7", "b2"): 1})

    assert compiled_alone(maps, SETTLED, facts) == {1, 6}
    for _ in range(2):
        maps.round(SETTLED, facts, None)
    assert compiled_alone(maps, SETTLED, further) == {1}


def test_a_service_that_has_changed_is_compiled_until_it_comes_out_the_same() -> None:
    maps = settled()
    wanted = SETTLED.with_changed_backend("s4", "b2", state=BackendState.DISABLED)
    maps.round(wanted, FACTS, None)

    assert compiled_alone(maps, wanted, FACTS) == {3}
    maps.round(wanted, FACTS, None)

    assert compiled_alone(maps, wanted, FACTS) == frozenset()


def test_when_a_window_is_over_the_service_is_compiled() -> None:
    maps = settled()
    wanted = SETTLED.with_changed_backend("s4", "b2", state=BackendState.DRAINING)
    for _ in range(2):
        maps.round(wanted, FACTS, None)
    maps.now_ns += 901 * SECOND

    assert compiled_alone(maps, wanted, FACTS) == {3}


def test_what_concerns_several_services_has_all_compiled() -> None:
    maps = settled()
    shared = Backend("b9", address(1, 1), 80)  # of another NAT service, too
    other = replace(FACTS, network=replace(FACTS.network, interfaces=()))

    assert compiled_alone(maps, SETTLED.with_new_backend("s2", shared), FACTS) is None
    assert compiled_alone(maps, SETTLED.without_service("s2"), FACTS) is None
    assert compiled_alone(maps, SETTLED, other) is None
