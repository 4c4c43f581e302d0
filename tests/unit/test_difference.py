"""Differences are told by service and backend, and nothing else."""

from dataclasses import fields, replace
from ipaddress import IPv4Address

from hypothesis import given

from control.checks import ExecCheck, HttpCheck, HttpsCheck, IcmpCheck
from control.difference import (
    BACKEND_FIELDS,
    SERVICE_FIELDS,
    BackendDifference,
    Change,
    Difference,
    FieldDifference,
    ServiceDifference,
    difference,
)
from control.model import Backend, BackendState, DesiredState, Mode, Protocol, Service
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

    there = {one.name: one for one in difference(before, after).services}
    back = {one.name: one for one in difference(after, before).services}

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
