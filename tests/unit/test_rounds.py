"""Changes that have no room beside what is there: made in rounds, packets never lost.

The maps are in memory and as small as the states allow; compiling and planning are real.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from control.capacity import check_capacity
from control.checks import TcpCheck
from control.compile import Compiled, compile_image
from control.desired import DesiredState
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import Backend, Mode, Protocol, Service
from control.rounds import Settings
from control.serving import LATE, ring_size
from control.status import Health
from control.tables import Tables
from dataplane.abi import NO_BACKEND_ID
from dataplane.image import Image
from dataplane.plan import Write, plan
from dataplane.records import Endpoint
from dataplane.source import Limits
from tests.support.kernel_maps import KernelMaps

ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
VIPS = range(1, 9)
HOSTS = range(1, 6)
PATIENCE = 60  # rounds; each moves at least one of the services and backends
FACTS = Facts(
    Network(
        (ETH0,),
        next_hops={
            address: NextHop("eth0", 3, ETH0.mac, address.packed + b"\0\0")
            for vip in VIPS
            for host in HOSTS
            for address in [IPv4Address(f"10.0.{vip}.{host}")]
        },
    ),
)


def service(vip: int, hosts, **changes) -> Service:
    return Service(
        **{
            "name": f"s{vip}",
            "vip": IPv4Address(f"192.0.2.{vip}"),
            "protocol": Protocol.TCP,
            "port": 80,
            "mode": Mode.NAT,
            "backends": tuple(
                Backend(f"b{host}", IPv4Address(f"10.0.{vip}.{host}"), 80) for host in hosts
            ),
            "checks": (),
            "ring_size": 5,
            **changes,
        }
    )


@st.composite
def states(draw: st.DrawFn) -> DesiredState:
    return DesiredState(
        tuple(
            service(
                vip,
                sorted(draw(st.sets(st.sampled_from(HOSTS), min_size=1))),
                mode=draw(st.sampled_from(Mode)),
                ring_size=draw(st.sampled_from([5, 7, 11, 23])),
            )
            for vip in sorted(draw(st.sets(st.sampled_from(VIPS), max_size=5)))
        )
    )


def smallest_limits(*wanted: DesiredState) -> Limits:
    """Return limits that have room for each of these states, and no more."""
    limits = Limits(
        services=1 + max(len(state.services) for state in wanted),
        backends=2 + max(sum(len(s.backends) for s in state) for state in wanted),
        slots=2 * max(sum(map(ring_size, state)) for state in wanted),
    )
    for state in wanted:
        check_capacity(state, limits)
    return limits


@dataclass
class Controller:
    """Rounds on maps in memory; after each write, packets look."""

    limits: Limits
    facts: Facts = FACTS

    def __post_init__(self) -> None:
        self.maps = KernelMaps()
        self.now_ns = 0
        self.lost: set[Endpoint] = set()  # services that packets did not find, or nobody in

    def round(self, desired: DesiredState, reach: float = 1.0) -> Compiled:
        """Make a round that gets so far, 0…1."""
        self.now_ns += 1
        known = self.maps.read()
        made = compile_image(
            desired,
            self.facts,
            Settings(self.limits, 0, ()),
            known,
            Tables(),
            Moment(self.now_ns),
        )
        writes = list(plan(known, made.image))
        for write in writes[: round(reach * len(writes))]:
            self._write(write)
        self.maps.settle()  # the next round is later than any packet takes
        return made

    def settle(self, desired: DesiredState) -> int:
        """Make rounds until nothing waits; return how many it took."""
        for number in range(1, PATIENCE):
            if not self.round(desired).waiting:
                return number
        raise AssertionError("this never ends")

    def _write(self, write: Write) -> None:
        self.maps.write(write)
        assert self.maps.dangling() == []
        assert self.maps.changed_in_place == []
        assert self.maps.beyond(self.limits) == []
        serving = {e for e, owners in new_flows(self.maps.read()).items() if all(owners)}
        self.lost |= {endpoint for endpoint in ENDPOINTS if endpoint not in serving}


ENDPOINTS = [Endpoint(IPv4Address(f"192.0.2.{vip}"), 80, 6) for vip in VIPS]


def new_flows(image: Image) -> dict[Endpoint, list[IPv4Address | None]]:
    """Return whom new flows go to, by service and slot."""
    addresses = {index.number: one.address for index, one in image.backends.items()}
    addresses[NO_BACKEND_ID] = None
    return {
        endpoint: [addresses[n] for n in image.rings[service.ring_offset]]
        for endpoint, service in image.services.items()
        if service.ring_size
    }


def directly(desired: DesiredState, limits: Limits) -> dict[Endpoint, list]:
    """Return whom new flows go to where nothing was before."""
    controller = Controller(limits)
    assert controller.settle(desired) == 1
    return new_flows(controller.maps.read())


def endpoints(desired: DesiredState) -> set[Endpoint]:
    return {Endpoint(one.vip, one.port, one.protocol.number) for one in desired}


@given(states(), states())
@settings(max_examples=120, deadline=None)
def test_from_any_state_to_any_other_that_fits_and_who_stays_is_always_served(
    before: DesiredState, after: DesiredState
) -> None:
    limits = smallest_limits(before, after)
    controller = Controller(limits)
    controller.settle(before)
    controller.lost.clear()

    controller.settle(after)

    assert new_flows(controller.maps.read()) == directly(after, limits)
    assert not controller.lost & endpoints(before) & endpoints(after)


@given(
    st.lists(st.tuples(states(), st.floats(0, 1)), min_size=1, max_size=5),
    states(),
)
@settings(max_examples=120, deadline=None)
def test_wherever_rounds_were_cut_off_the_next_ones_get_there(history, last) -> None:
    limits = smallest_limits(last, *(state for state, _ in history))
    controller = Controller(limits)
    for state, reach in history:
        controller.round(state, reach)

    controller.settle(last)

    assert new_flows(controller.maps.read()) == directly(last, limits)


@given(states(), states(), st.data())
@settings(max_examples=60, deadline=None)
def test_larger_maps_go_over_into_smaller_ones(before, after, data) -> None:
    roomy = Controller(Limits(services=64, backends=256, slots=4096))
    for state in data.draw(st.lists(states(), max_size=3)):
        roomy.round(state)
    roomy.settle(before)
    controller = Controller(smallest_limits(after))
    seed = roomy.maps.read()

    first = compile_image(
        after, FACTS, Settings(controller.limits, 0, ()), seed, Tables(), Moment(9)
    )
    for write in plan(Image(), first.image, seed):
        controller.maps.write(write)
    assert controller.maps.beyond(controller.limits) == []
    controller.settle(after)

    assert new_flows(controller.maps.read()) == directly(after, controller.limits)


def test_a_change_that_has_room_takes_one_round() -> None:
    controller = Controller(Limits(services=8, backends=16, slots=64))
    controller.settle(DesiredState((service(1, [1, 2]),)))

    assert controller.settle(DesiredState((service(2, [1, 2]), service(3, [1])))) == 1


def test_what_waits_is_named_and_its_backends_say_why() -> None:
    before = DesiredState((service(1, [1, 2, 3]), service(2, [1])))
    after = DesiredState((service(1, [3, 4, 5]), service(3, [1])))
    controller = Controller(smallest_limits(before, after))
    controller.settle(before)

    first = controller.round(after)

    assert first.waiting == {"s1"}
    assert {one.service.name: one.problems for one in first.services} == {
        "s1": {"b4": LATE, "b5": LATE},
        "s3": {},
    }


def test_a_service_whose_backends_are_all_replaced_keeps_old_ones_until_new_come() -> None:
    before = DesiredState(tuple(service(vip, [1]) for vip in (1, 2, 3)))
    after = DesiredState(tuple(service(vip, [2]) for vip in (1, 2, 3)))
    controller = Controller(smallest_limits(before, after))
    controller.settle(before)

    first = controller.round(after)

    now = {str(e.address): set(owners) for e, owners in new_flows(first.image).items()}
    assert now == {
        "192.0.2.1": {IPv4Address("10.0.1.2")},  # there is one spare number
        "192.0.2.2": {IPv4Address("10.0.2.1")},
        "192.0.2.3": {IPv4Address("10.0.3.1")},
    }
    held = first.services[1]
    assert held.slots == {"10.0.2.1:80": 5}
    assert held.problems == {"b2": LATE}


def test_who_nobody_could_serve_without_gets_the_first_free_number() -> None:
    before = DesiredState((service(1, [1, 2, 3]), service(2, [1])))
    after = DesiredState((service(1, [1, 2, 4]), service(2, [2])))
    controller = Controller(smallest_limits(before, after))
    controller.settle(before)

    first = controller.round(after)

    problems = {one.service.name: one.problems for one in first.services}
    assert problems == {"s1": {"b4": LATE}, "s2": {}}


def test_a_service_that_stays_dies_with_its_last_backend_and_not_for_want_of_room() -> None:
    before = DesiredState(tuple(service(vip, [1]) for vip in (1, 2)))
    after = DesiredState(tuple(service(vip, [2]) for vip in (1, 2)))
    controller = Controller(smallest_limits(before, after))
    controller.settle(before)
    checked = DesiredState(tuple(replace(s, checks=(TcpCheck(),)) for s in after))
    sick = {(s.name, b.name): Health.DOWN for s in after for b in s.backends}
    controller.facts = replace(FACTS, health=sick)

    assert controller.settle(checked) <= 2

    assert new_flows(controller.maps.read()) == {}


def test_a_backend_that_goes_on_for_a_moment_speaks_for_the_service_that_it_had() -> None:
    shared = Backend("shared", IPv4Address("10.0.1.1"), 80)
    before = DesiredState(
        (service(1, [], backends=(shared,)), service(2, [1]), service(4, [1]))
    )
    after = DesiredState(
        (service(2, [2]), service(1, [2]), service(3, [], backends=(shared,)))
    )
    limits = replace(smallest_limits(before, after), services=8, slots=64)
    controller = Controller(limits)
    controller.settle(before)

    first = compile_image(
        after, FACTS, Settings(limits, 0, ()), controller.maps.read(), Tables(), Moment(9)
    )

    back = first.image.returns[Endpoint(shared.address, 80, 6)]
    assert back.vip == IPv4Address("192.0.2.1")
    assert back.is_tracked
