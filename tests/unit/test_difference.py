"""Differences are told by service and backend, and nothing else."""

from dataclasses import fields, replace
from ipaddress import IPv4Address

from hypothesis import given

from control.checks import ExecCheck, HttpCheck, HttpsCheck, IcmpCheck
from control.desired import DesiredState
from control.difference import (
    BACKEND_FIELDS,
    SERVICE_FIELDS,
    BackendDifference,
    Change,
    Difference,
    FieldDifference,
    ServiceDifference,
    difference,
    foresee,
)
from control.model import Backend, BackendState, Mode, Protocol, Service
from control.pool_policy import PoolPolicy
from control.status import Standing
from tests.support.desired_states import desired_states

A = Backend("a", IPv4Address("10.0.0.1"), 80)
B = Backend("b", IPv4Address("10.0.0.2"), 80)
WEB = Service("web", IPv4Address("192.0.2.1"), Protocol.TCP, 80, Mode.DR, (A, B))
MAIL = replace(WEB, name="mail", port=25, backends=())


def state(*services: Service) -> DesiredState:
    return DesiredState(services)


def test_what_changed_is_told_by_service_backend_and_key() -> None:
    heavier = replace(A, weight=3, state=BackendState.DRAINING)
    checks = HttpCheck(path="/health", interval=5.0), IcmpCheck()
    changed = replace(WEB, backends=(heavier,), checks=checks, ring_size=65537)

    assert difference(state(WEB), state(changed)) == Difference(
        (
            ServiceDifference(
                "web",
                Change.CHANGED,
                (
                    FieldDifference(
                        "checks", "tcp", "http, path=/health, interval=5; icmp"
                    ),
                    FieldDifference("ring_size", "automatic", "65537"),
                ),
                (
                    BackendDifference(
                        "a",
                        Change.CHANGED,
                        (
                            FieldDifference("weight", "1", "3"),
                            FieldDifference("state", "active", "draining"),
                        ),
                    ),
                    BackendDifference(
                        "b",
                        Change.REMOVED,
                        (
                            FieldDifference("address", "10.0.0.2", ""),
                            FieldDifference("port", "80", ""),
                            FieldDifference("weight", "1", ""),
                            FieldDifference("state", "active", ""),
                        ),
                    ),
                ),
            ),
        )
    )


def test_services_come_and_go_whole() -> None:
    found = difference(state(WEB), state(MAIL))

    assert [(one.name, one.change) for one in found.services] == [
        ("mail", Change.ADDED),
        ("web", Change.REMOVED),
    ]
    assert FieldDifference("port", "", "25") in found.services[0].fields
    assert [one.name for one in found.services[1].backends] == ["a", "b"]


def test_another_order_is_told_as_such() -> None:
    assert difference(state(WEB, MAIL), state(MAIL, WEB)) == Difference(is_reordered=True)
    turned = replace(WEB, backends=(B, A))
    assert difference(state(WEB), state(turned)) == Difference(is_reordered=True)


@given(desired_states(), desired_states())
def test_there_is_a_difference_exactly_if_states_differ(before, after) -> None:
    assert not difference(before, before)
    assert bool(difference(before, after)) == (before != after)


@given(desired_states(), desired_states())
def test_the_way_back_is_the_same_the_other_way_round(before, after) -> None:
    def turned(one: FieldDifference) -> FieldDifference:
        return FieldDifference(one.field, one.after, one.before)

    def by_old_name(one: ServiceDifference) -> str:
        renamed = (each.before for each in one.fields if each.field == "name")
        return next(renamed, one.name)

    there = {one.name: one for one in difference(before, after).services}
    back = {by_old_name(one): one for one in difference(after, before).services}

    assert there.keys() == back.keys()
    for name, one in there.items():
        assert back[name].fields == tuple(map(turned, one.fields))
        backends = {each.name: each for each in back[name].backends}
        assert {each.name for each in one.backends} == backends.keys()
        for each in one.backends:
            assert backends[each.name].fields == tuple(map(turned, each.fields))


def test_every_setting_is_compared() -> None:
    settings = {field.name for field in fields(Service)} - {"name", "backends"}

    assert settings == SERVICE_FIELDS.keys()
    assert {field.name for field in fields(Backend)} - {"name"} == BACKEND_FIELDS.keys()


def test_a_check_is_spelled_as_the_command_line_takes_it() -> None:
    checks = (
        HttpsCheck(verify=False, headers=(("X-From", "lb"),)),
        ExecCheck(command=("/bin/lag", "--of", "the disk"), dynamic=True),
    )
    now = replace(WEB, checks=checks)

    (changed,) = difference(state(WEB), state(now)).services

    assert changed.fields[0].after == (
        "https, header.X-From=lb, verify=false; exec, command=/bin/lag --of 'the disk', "
        "dynamic=true"
    )


def test_a_choice_in_a_pool_is_spelled_as_in_the_file() -> None:
    now = replace(WEB, pool=PoolPolicy(keep_flows=True))

    (changed,) = difference(state(WEB), state(now)).services

    assert changed.fields == (FieldDifference("pool", "default", "keep_flows=true"),)


def foreseen(before: DesiredState, after: DesiredState) -> dict[str, ServiceDifference]:
    return {one.name: one for one in foresee(before, after, Standing()).services}


def test_a_service_with_another_name_is_the_same_where_packets_find_it() -> None:
    renamed = replace(WEB, name="www", backends=(replace(A, weight=3), B))

    (found,) = foresee(state(WEB, MAIL), state(renamed, MAIL), Standing()).services

    assert (found.name, found.change) == ("www", Change.CHANGED)
    assert found.fields == (FieldDifference("name", "web", "www"),)
    assert [one.name for one in found.backends] == ["a"]
    assert found.disruption
    assert found.disruption.broken == 0
    assert found.disruption.moved > 0


def test_health_is_known_by_the_old_name_of_a_renamed_service() -> None:
    standing = Standing(unable=frozenset({("web", A.identity)}))

    (found,) = foresee(state(WEB), state(replace(WEB, name="www")), standing).services

    assert found.disruption
    assert (found.disruption.moved, found.disruption.shares) == (0, ())


EVERY = replace(
    WEB,
    name="every",
    port=0,
    checks=(),
    backends=(replace(A, port=0), replace(B, port=0)),
)


def test_who_takes_a_port_from_a_service_of_every_port_takes_its_flows() -> None:
    alike = foreseen(state(EVERY), state(EVERY, WEB))["web"]
    other = replace(WEB, backends=(replace(A, address=IPv4Address("10.0.0.9")),))
    all_anew = foreseen(state(EVERY), state(EVERY, other))["web"]

    assert (alike.change, alike.other_service) == (Change.ADDED, "every")
    # The identities differ by the port, so the tables do: about half come to the other one.
    assert alike.disruption
    assert 0.3 < alike.disruption.broken == alike.disruption.flows < 0.7
    assert all_anew.disruption
    assert (all_anew.disruption.flows, all_anew.disruption.broken) == (1.0, 1.0)


def test_flows_of_a_service_that_goes_come_to_the_one_of_every_port() -> None:
    found = foreseen(state(EVERY, WEB), state(EVERY))["web"]
    alone = foreseen(state(WEB), state())["web"]

    assert (found.change, found.other_service) == (Change.REMOVED, "every")
    assert found.disruption
    assert 0.3 < found.disruption.broken < 0.7
    assert (alone.disruption, alone.other_service) == (None, "")


def test_a_service_of_every_port_with_another_mode_keeps_nothing() -> None:
    found = foreseen(state(EVERY), state(EVERY, replace(WEB, mode=Mode.NAT)))["web"]

    assert found.disruption
    assert found.disruption.broken == 1.0


def test_two_services_that_change_places_have_each_others_flows() -> None:
    blue, green = WEB, replace(WEB, name="green", port=81, backends=(replace(A, port=81),))
    swapped = (
        replace(blue, port=81, backends=tuple(replace(b, port=81) for b in blue.backends)),
        replace(green, port=80, backends=(replace(A, port=80),)),
    )

    found = foreseen(state(blue, green), state(*swapped))

    assert (found["web"].other_service, found["green"].other_service) == ("green", "web")
    # Where "web" was, backend a serves on, and b, which had half, is gone.
    assert found["web"].disruption
    assert 0.4 < found["web"].disruption.broken < 0.6


def test_a_service_with_another_port_loses_its_flows() -> None:
    moved = replace(WEB, port=81, mode=Mode.NAT)

    found = foreseen(state(WEB), state(moved))["web"]

    assert (found.change, found.other_service) == (Change.CHANGED, "")
    assert found.disruption
    assert found.disruption.broken == 1.0
