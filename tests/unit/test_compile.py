"""From what is wanted and known to what the maps hold."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from control.capacity import check_capacity
from control.checks import TcpCheck
from control.compile import compile_image, remembered
from control.desired import DesiredState
from control.errors import HostError
from control.facts import Facts, Interface, Moment, Network, NextHop, Vlan
from control.model import Backend, BackendState, Mode, Protocol, Service
from control.rounds import Settings
from control.status import Health
from control.tables import Tables
from dataplane import records
from dataplane.abi import PORTS
from dataplane.image import Image
from dataplane.records import (
    AFFINITY_TRANSITION,
    HASH_FLOW,
    MODE_DR,
    MODE_NAT,
    Address,
    Endpoint,
    Index,
    Port,
    Prefix,
    Return,
    Segment,
    Tag,
    port_index,
)
from dataplane.source import Limits

VIP = IPv4Address("192.0.2.1")
OWN = IPv4Address("10.0.0.1")
ETH0 = Interface("eth0", 3, b"\2\0\0\0\0\1")
SETTINGS = Settings(Limits(services=8, backends=16, slots=32768), 42, ())
WEB = Endpoint(VIP, 80, 6)


def backend(number: int, **changes) -> Backend:
    return Backend(f"b{number}", IPv4Address(f"10.0.0.{10 + number}"), 80, **changes)


def web(*backends: Backend, **changes) -> Service:
    return Service(
        **{
            "name": "web",
            "vip": VIP,
            "protocol": Protocol.TCP,
            "port": 80,
            "mode": Mode.DR,
            "backends": backends,
            **changes,
        }
    )


def hop(number: int, **changes) -> NextHop:
    way = NextHop("eth0", ETH0.ifindex, ETH0.mac, bytes([2, 0, 0, 0, 1, number]))
    return replace(way, **changes)


def facts(*services: Service, **changes) -> Facts:
    """Return facts by which every backend can serve."""
    network = Network(
        (ETH0,),
        frozenset({OWN, VIP}),
        {IPv4Address(f"10.0.0.{10 + number}"): hop(number) for number in range(1, 10)},
    )
    health = {(s.name, b.name): Health.UP for s in services for b in s.backends}
    return replace(Facts(network, health), **changes)


def compiled(
    *services: Service,
    known: Image | None = None,
    facts_=None,
    settings=SETTINGS,
    moment=Moment(0),  # noqa: B008 - frozen
):
    return compile_image(
        DesiredState(services),
        facts_ or facts(*services),
        settings,
        known or Image(),
        Tables(),
        moment,
    )


def test_a_service_leads_to_its_ring_and_the_ring_to_its_backends() -> None:
    image = compiled(web(backend(1), backend(2))).image

    service = image.services[WEB]
    assert service == records.Service(
        0, 0, 4093, 42, MODE_DR, AFFINITY_TRANSITION, HASH_FLOW, 900
    )
    assert set(image.rings[0]) == {1, 2}
    assert image.backends[Index(1)] == records.Backend(
        0, IPv4Address("10.0.0.11"), 80, Segment(ETH0.ifindex), hop(1).mac, ETH0.mac
    )
    assert set(image.vips) == {Address(VIP)}
    assert image.returns == {}


def test_the_way_to_a_backend_is_not_led_through_an_interface_that_is_not_ours() -> None:
    service = web(backend(1), backend(2))
    before = compiled(service).image
    strange = hop(1, interface="eth7", ifindex=7)
    here = facts(service)
    network = replace(
        here.network,
        next_hops={**here.network.next_hops, IPv4Address("10.0.0.11"): strange},
    )

    after = compiled(service, known=before, facts_=replace(here, network=network)).image

    assert set(after.rings[after.services[WEB].ring_offset]) == {2}
    # Packets that still come by the old ring take the way that they took.
    assert after.backends[Index(1)] == replace(before.backends[Index(1)], is_down=True)


def test_a_ring_that_lies_beyond_the_end_of_smaller_maps_gets_a_place_in_them() -> None:
    known = compiled(web(backend(1), backend(2))).image
    service = replace(known.services[WEB], ring_offset=32768)
    known = replace(
        known, services={WEB: service}, rings={32768: known.rings[0]}
    )  # of a program whose maps were larger

    image = compiled(web(backend(1), backend(2)), known=known).image

    assert image.rings == {0: known.rings[32768]}
    assert image.services[WEB].ring_offset == 0


BACK = Vlan("eth0.20", 5, b"\2\0\0\0\0\2", "eth0", Segment(ETH0.ifindex, (Tag(20),)))


def in_vlans(*vlans: Vlan, hops: dict[int, Vlan]) -> Facts:
    """Return facts by which these backends are reached by VLANs of this host."""
    known = facts(web(*map(backend, range(1, 10))))
    ways = {
        IPv4Address(f"10.0.0.{10 + number}"): hop(
            number, interface=vlan.name, ifindex=vlan.ifindex, source_mac=vlan.mac
        )
        for number, vlan in hops.items()
    }
    network = replace(
        known.network,
        next_hops={**known.network.next_hops, **ways},
        vlans={vlan.ifindex: vlan for vlan in vlans},
    )
    return replace(known, network=network)


def test_a_backend_in_a_vlan_is_sent_to_by_the_interface_below_and_the_tag() -> None:
    known = in_vlans(BACK, hops={1: BACK})

    result = compiled(web(backend(1), backend(2)), facts_=known)

    assert result.services[0].problems == {}
    assert set(result.image.backends.values()) == {
        records.Backend(
            0, IPv4Address("10.0.0.11"), 80, BACK.segment, hop(1).mac, BACK.mac
        ),
        records.Backend(
            0, IPv4Address("10.0.0.12"), 80, Segment(ETH0.ifindex), hop(2).mac, ETH0.mac
        ),
    }


def test_the_interfaces_of_vlans_are_where_routes_may_lead_but_nothing_is_sent_there() -> (
    None
):
    image = compiled(web(backend(1)), facts_=in_vlans(BACK, hops={})).image

    port = Port(BACK.ifindex, BACK.segment, BACK.mac)
    assert image.ports == {
        port_index(ETH0.ifindex): Port(ETH0.ifindex, Segment(ETH0.ifindex), ETH0.mac),
        port_index(BACK.ifindex): port,
    }
    assert image.vlans == {BACK.segment: port}
    assert set(image.transmit_ports) == {port_index(ETH0.ifindex)}


def test_a_vlan_whose_place_is_taken_is_known_by_its_tag_only() -> None:
    far = replace(BACK, ifindex=ETH0.ifindex + PORTS)

    image = compiled(web(backend(1)), facts_=in_vlans(far, hops={1: far})).image

    assert [port.ifindex for port in image.ports.values()] == [ETH0.ifindex]
    assert set(image.vlans) == {BACK.segment}
    assert image.backends[Index(1)].segment == BACK.segment


def test_a_backend_in_a_vlan_that_cannot_be_used_gets_nothing_and_says_why() -> None:
    problem = "a VLAN of eth1, which is not among `interfaces`"
    other = replace(BACK, name="eth1.20", lower="eth1", segment=None, problem=problem)

    result = compiled(web(backend(1)), facts_=in_vlans(other, hops={1: other}))

    assert result.services[0].problems == {"b1": f"it is reached by eth1.20, {problem}"}
    assert result.image.vlans == {}


def test_a_nat_backend_answers_for_its_vip() -> None:
    member = replace(backend(1), port=8080)

    image = compiled(web(member, mode=Mode.NAT)).image

    assert image.services[WEB].mode == MODE_NAT
    assert image.returns == {Endpoint(member.address, 8080, 6): Return(VIP, 80)}


def test_the_nodes_own_addresses_are_direct_but_no_vip_is() -> None:
    settings = replace(SETTINGS, direct=(IPv4Network("10.9.0.0/16"),))

    image = compiled(web(), settings=settings).image

    assert set(image.direct) == {
        Prefix(IPv4Network("10.0.0.1/32")),
        Prefix(IPv4Network("10.9.0.0/16")),
    }


def test_a_service_of_ipv6_is_served_beside_one_of_ipv4() -> None:
    vip, address = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::11")
    member = Backend("b1", address, 8080)
    four = web(replace(backend(1), port=8080), mode=Mode.NAT)
    six = replace(four, name="web6", vip=vip, backends=(member,))
    way = hop(1)
    network = facts().network
    network = replace(
        network,
        addresses=network.addresses | {vip, IPv6Address("2001:db8::2")},
        next_hops={**network.next_hops, address: way},
    )

    image = compiled(four, six, facts_=facts(four, six, network=network)).image

    service = image.services[Endpoint(vip, 80, 6)]
    (number,) = set(image.rings[service.ring_offset])
    assert image.backends[Index(number)] == records.Backend(
        service.id, address, 8080, Segment(way.ifindex), way.mac, way.source_mac
    )
    assert image.returns[Endpoint(address, 8080, 6)] == Return(vip, 80)
    assert set(image.vips) == {Address(VIP), Address(vip)}
    assert set(image.direct) == {
        Prefix(IPv4Network("10.0.0.1/32")),
        Prefix(IPv6Network("2001:db8::2/128")),
    }


def test_the_slots_of_a_backend_that_is_down_go_to_the_others_and_no_others_move() -> None:
    service = web(backend(1), backend(2), backend(3))
    before = compiled(service)
    sick = facts(service)
    sick = replace(sick, health={**sick.health, ("web", "b2"): Health.DOWN})

    after = compiled(service, known=before.image, facts_=sick)

    old = before.image.rings[before.image.services[WEB].ring_offset]
    new = after.image.rings[after.image.services[WEB].ring_offset]
    assert all(a in (b, 2) for a, b in zip(old, new, strict=True))
    assert 2 not in new
    assert after.services[0].problems == {"b2": "its health check fails"}


def test_flows_of_a_backend_that_is_down_go_to_other_zones_first() -> None:
    zones = {1: "rack1", 2: "rack1", 3: "rack2", 4: ""}
    service = web(*(backend(n, zone=zone) for n, zone in zones.items()))
    before = compiled(service)
    up = facts(service)

    def heirs(*dead: str) -> set[int]:
        """Return who has the slots of those that are down."""
        health = {**up.health, **{("web", name): Health.DOWN for name in dead}}
        result = compiled(service, facts_=replace(up, health=health))
        of = {
            number: int(name[1:]) for name, number in result.services[0].backend_ids.items()
        }
        was = before.image.rings[before.image.services[WEB].ring_offset]
        now = result.services[0].ring
        return {of[b] for a, b in zip(was, now, strict=True) if f"b{of[a]}" in dead}

    assert heirs("b1") == {3, 4}
    assert heirs("b4") == {1, 2, 3}
    assert heirs("b3", "b4") == {1, 2}


def test_zones_change_nothing_while_everybody_is_up() -> None:
    plain = compiled(web(backend(1), backend(2))).image

    assert compiled(web(backend(1, zone="a"), backend(2, zone="b"))).image == plain


UNABLE = [
    pytest.param({"state": BackendState.DRAINING}, {}, "draining", id="draining"),
    pytest.param({"state": BackendState.DISABLED}, {}, "disabled", id="disabled"),
    pytest.param({"weight": 0}, {}, "its weight is 0", id="weight"),
    pytest.param(
        {}, {"health": {}}, "its first health check has not ended", id="health unknown"
    ),
    pytest.param(
        {}, {"network": Network()}, "this host has no route to 10.0.0.11", id="route"
    ),
]


@pytest.mark.parametrize(("change", "known", "why"), UNABLE)
def test_a_backend_that_cannot_serve_gets_no_slot_and_it_is_said_why(
    change, known, why
) -> None:
    service = web(backend(1, **change), backend(2))

    result = compiled(service, facts_=replace(facts(service), **known))

    assert result.services[0].problems["b1"] == why
    assert result.services[0].slots.get("b1", 0) == 0


@pytest.mark.parametrize(
    ("way", "why"),
    [
        (hop(1, mac=None), "nobody answers ARP or neighbour discovery for it"),
        (
            hop(1, interface="eth9"),
            "it is reached by eth9, which is not among `interfaces`",
        ),
    ],
)
def test_a_backend_without_a_usable_way_gets_no_slot(way, why) -> None:
    service = web(backend(1), backend(2))
    network = facts(service).network
    network = replace(network, next_hops={**network.next_hops, backend(1).address: way})

    result = compiled(service, facts_=facts(service, network=network))

    assert result.services[0].problems == {"b1": why}
    assert result.services[0].slots["b1"] == 0


def test_who_serves_goes_on_while_its_health_is_not_known() -> None:
    service = web(backend(1), backend(2))
    sick = facts(service)
    sick = replace(sick, health={**sick.health, ("web", "b2"): Health.DOWN})
    before = compiled(service, facts_=sick).image

    after = compiled(service, known=before, facts_=facts(service, health={}))

    assert after.image == before
    assert after.services[0].problems == {"b2": "its first health check has not ended"}


def test_a_backend_without_a_check_needs_no_health() -> None:
    service = web(backend(1), checks=())

    assert compiled(service, facts_=facts(service, health={})).services[0].problems == {}


def test_a_service_that_nobody_can_serve_has_no_ring() -> None:
    service = web(backend(1))

    result = compiled(service, facts_=facts(service, health={("web", "b1"): Health.DOWN}))

    assert result.image.services[WEB].ring_size == 0
    assert result.image.rings == {}


def test_numbers_and_rings_stay_when_others_come_and_go() -> None:
    first = web(backend(1), backend(2))
    mail = replace(web(backend(3)), name="mail", vip=IPv4Address("192.0.2.2"))
    before = compiled(mail, first).image

    after = compiled(first, known=before).image

    assert after.services[WEB] == before.services[WEB]
    assert after.rings.items() <= before.rings.items()
    assert after.backends.items() <= before.backends.items()


def test_a_changed_ring_is_written_beside_the_old_one() -> None:
    before = compiled(web(backend(1), backend(2))).image

    after = compiled(web(backend(1), backend(2, weight=5)), known=before).image

    old, new = before.services[WEB], after.services[WEB]
    assert new.ring_offset >= old.ring_offset + old.ring_size


def test_a_ring_beyond_a_smaller_limit_gets_a_place_within_it() -> None:
    service = web(backend(1))
    before = compiled(service).image
    old = before.services[WEB]
    far = replace(
        before,
        services={WEB: replace(old, ring_offset=SETTINGS.limits.slots)},
        rings={SETTINGS.limits.slots: before.rings[old.ring_offset]},
    )

    after = compiled(service, known=far).image

    assert after.services[WEB].ring_offset == 0
    assert after.rings == {0: before.rings[old.ring_offset]}


def test_services_with_equal_rings_share_one_only_if_their_backends_are_the_same() -> None:
    one = web(backend(1))
    two = replace(one, name="two", vip=IPv4Address("192.0.2.2"))

    image = compiled(one, two).image

    assert len(image.rings) == 2  # counters are by service and backend


def test_a_number_is_not_given_away_in_the_round_in_which_its_owner_goes() -> None:
    before = compiled(web(backend(1))).image

    after = compiled(web(backend(2)), known=before).image

    assert set(before.backends) == {Index(1)}
    assert set(after.backends) == {Index(2)}


def test_an_unknown_next_hop_keeps_the_entry_but_gives_no_slot() -> None:
    service = web(backend(1), backend(2))
    before = compiled(service).image
    network = facts(service).network
    hops = {**network.next_hops, backend(1).address: hop(1, mac=None)}

    after = compiled(
        service,
        known=before,
        facts_=facts(service, network=replace(network, next_hops=hops)),
    ).image

    lost = before.backends[Index(1)]
    assert after.backends == {**before.backends, Index(1): replace(lost, is_down=True)}
    assert set(after.rings[after.services[WEB].ring_offset]) == {2}


def test_flows_to_a_port_that_services_share_are_written_down_by_each_of_them() -> None:
    exact = web(backend(1), backend(2), mode=Mode.NAT)
    every = web(
        *(replace(backend(n), port=0) for n in (2, 3)),
        name="all",
        port=0,
        mode=Mode.NAT,
        checks=(),
    )

    image = compiled(exact, every).image

    assert {
        (str(one.address), one.port): one.is_tracked for one in image.backends.values()
    } == {
        ("10.0.0.11", 80): False,
        ("10.0.0.12", 80): True,
        ("10.0.0.12", 0): True,
        ("10.0.0.13", 0): False,
    }


def test_maps_that_are_too_small_are_said_to_be() -> None:
    tiny = Limits(services=8, backends=16, slots=4093)

    with pytest.raises(HostError, match=r"slots.*`limits.slots` is 4093: raise it"):
        check_capacity(DesiredState((web(backend(1)),)), tiny)
    with pytest.raises(HostError, match="this needs 8186 slots in the maps"):
        compiled(web(backend(1)), settings=replace(SETTINGS, limits=tiny))


def test_what_fits_is_not_refused() -> None:
    check_capacity(DesiredState((web(*map(backend, range(1, 9))),)), SETTINGS.limits)


def test_a_check_on_another_port_does_not_change_the_tables() -> None:
    service = web(backend(1))
    other = replace(service, checks=(TcpCheck(port=9),))

    assert compiled(other).image == compiled(service).image


def test_weights_that_checks_give_count_and_those_configured_are_shown() -> None:
    service = web(backend(1), backend(2, weight=7), backend(3))
    weights = {("web", "b1"): 3, ("web", "b2"): 0}

    result = compiled(service, facts_=facts(service, weights=weights))

    as_given = web(backend(1, weight=3), backend(2, weight=0), backend(3))
    assert result.image == compiled(as_given).image
    assert result.services[0].service == service
    assert result.services[0].problems == {"b2": "its weight is 0"}


def test_the_tables_remember_who_was_up_and_who_was_down() -> None:
    service = web(backend(1), backend(2))
    sick = facts(service)
    sick = replace(sick, health={**sick.health, ("web", "b2"): Health.DOWN})
    image = compiled(service, facts_=sick).image
    more = web(backend(1), backend(2), backend(3))
    other = web(backend(1), name="other", vip=IPv4Address("192.0.2.9"))

    found = remembered(DesiredState((more, other)), image)

    assert found == {("web", "b1"): Health.UP, ("web", "b2"): Health.DOWN}


def test_maps_that_are_large_enough_have_room_for_all_rings_to_change_at_once() -> None:
    services = [
        web(
            *(replace(each, port=port) for each in (backend(1), backend(2))),
            name=f"web{port}",
            port=port,
            ring_size=1499,
        )
        for port in (80, 81, 82)
    ]
    limits = replace(SETTINGS.limits, slots=2 * 3 * 1499)
    settings = replace(SETTINGS, limits=limits)
    check_capacity(DesiredState(tuple(services)), limits)
    before = compiled(*services, settings=settings).image
    known = facts(*services)
    dead = {key: Health.DOWN for key in known.health if key[1] == "b2"}

    after = compiled(
        *services,
        known=before,
        facts_=replace(known, health={**known.health, **dead}),
        settings=settings,
    ).image

    down = {index.number for index, each in after.backends.items() if each.is_down}
    assert len(down) == 3
    assert not any(down & set(ring) for ring in after.rings.values())
    with pytest.raises(HostError, match=r"limits\.slots"):
        check_capacity(
            DesiredState(tuple(services)), replace(limits, slots=2 * 3 * 1499 - 1)
        )
