"""What is exported means the same when it is applied."""

from dataclasses import fields, replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given

from control.check_common import CheckDefaults
from control.checks import IcmpCheck, TcpCheck
from control.config import parse_services
from control.desired import DesiredState
from control.document import backend_document, dump, pool_document, service_document
from control.errors import ConfigError
from control.model import (
    Affinity,
    Backend,
    BackendState,
    Hash,
    Mode,
    Protocol,
    Returns,
    Service,
)
from control.pool_policy import PoolPolicy, SorryServer, WhenAllDown
from tests.support.desired_states import desired_states


@given(desired_states())
def test_what_is_exported_means_the_same_again(state: DesiredState) -> None:
    assert parse_services(dump(state), "export") == (state, False)


def test_what_is_exported_is_as_a_person_would_write_it() -> None:
    text = """\
services:
- name: web
  vip: 192.0.2.10
  port: 80
  mode: nat
  check: {type: http, path: /health, interval: 5}
  returns: tracked
  backends:
  - {name: web1, address: 192.0.2.21, port: 8080}
  - {address: 192.0.2.22, weight: 2, state: draining}
- name: dns
  vip: 2001:db8::10
  port: 53
  protocol: udp
  mode: dr
  check: none
  ring_size: 65537
  backends: []
"""
    state, _ = parse_services(text, "file")

    assert dump(state) == text


def test_a_whole_file_is_checked_and_told_apart() -> None:
    whole = "interfaces: [eth0]\nhash_seed: 7\nservices: []\n"

    assert parse_services(whole, "c.yaml") == (DesiredState(), True)
    assert parse_services("services: []", "c.yaml") == (DesiredState(), False)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "c.yaml: is empty; `services` is required, `services: []` for none"),
        ("{}", "c.yaml: Object missing required field `services`"),
        (
            "- services",
            "c.yaml: Expected `object`, got `array`; it is made of keys, such as `ser",
        ),
        ("servces: []", "c.yaml:1: Object contains unknown field `servces`; did you mean"),
        ("services: [], hash_seed: x", "c.yaml:1: not YAML: did not find expected"),
        ("services: []\nhash_seed: 1", "c.yaml: Object missing required field `interfac"),
        (
            "services: [{name: a, vip: 192.0.2.1, port: 0, mode: nat}]",
            "c.yaml:1: services[0] (a), check, port: a service of every port needs a port",
        ),
        (
            "services: [{name: a, vip: 192.0.2.1, prt: 80, mode: nat}]",
            "c.yaml:1: services[0] (a): Object contains unknown field `prt`; did you mean",
        ),
    ],
)
def test_a_wrong_text_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_services(text, "c.yaml")

    assert str(refused.value).startswith(sentence)


def test_every_setting_that_is_not_the_default_is_written() -> None:
    backend = Backend(
        "b", IPv4Address("10.0.0.1"), 81, 2, BackendState.DRAINING, "rack1", 1.5, ()
    )
    service = Service(
        name="dns",
        vip=IPv4Address("192.0.2.1"),
        protocol=Protocol.UDP,
        port=53,
        mode=Mode.NAT,
        backends=(backend,),
        checks=(IcmpCheck(), TcpCheck()),
        ring_size=4093,
        affinity=Affinity.ALWAYS,
        hash=Hash.SOURCE,
        returns=Returns.TRACKED,
        pool=PoolPolicy(
            quorum=2,
            hysteresis=1,
            sorry_server=SorryServer(IPv4Address("10.0.0.9"), 81),
            when_all_down=WhenAllDown.ALL,
            keep_flows=True,
            max_ejected=0.5,
            slow_start=30.0,
        ),
    )
    service = service.with_check_defaults(CheckDefaults(fall=2))
    policy = replace(service.pool, watch_handshakes=True)  # which UDP has not

    for one, written in (
        (service, service_document(service)),
        (backend, backend_document(backend, service)),
        (policy, pool_document(policy, service.port)),
    ):
        assert all(getattr(one, field.name) != field.default for field in fields(one))
        keys = {"checks" if key == "check" else key for key in written}
        assert keys == {field.name for field in fields(one)}
