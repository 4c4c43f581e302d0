"""What checks have in common, and checks of single backends: file, API, command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control.check_common import CheckDefaults, Initial
from control.checks import HttpCheck, IcmpCheck, TcpCheck
from control.config import parse_services
from control.desired import DesiredState
from control.document import dump
from control.encoding import decode, encode
from control.errors import ConfigError
from control.health.probe import Probe, probes_of
from control.model import Service
from tests.support.command_line import ADD_WEB, CommandLine, command_line

FILE = """\
services:
- name: web
  vip: 192.0.2.10
  port: 80
  mode: dr
  check_defaults: {interval: 5, retry_interval: 2, initial: down}
  check: {type: http, path: /health, retry_interval: null}
  backends:
  - {address: 10.0.0.1}
  - {address: 10.0.0.2, check: {type: http, path: /ready, interval: 1}}
  - {address: 10.0.0.3, check: none}
  - {address: 10.0.0.4, checks: [{type: tcp}, {type: icmp, interval: 10}]}
- name: dns
  vip: 192.0.2.10
  port: 53
  mode: dr
  check_defaults: {fall: 2}
  backends: []
"""
SLOW = {"interval": 5, "retry_interval": 2, "initial": Initial.DOWN}


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


def read(text: str) -> DesiredState:
    return parse_services(text, "file")[0]


def only(text: str) -> Service:
    (service,) = read(text).services
    return service


def test_a_check_has_what_its_service_says_where_it_says_nothing() -> None:
    web = read(FILE).service("web")

    assert web.checks == (HttpCheck(interval=5, path="/health", initial=Initial.DOWN),)
    assert [backend.checks for backend in web.backends] == [
        None,
        (HttpCheck(**{**SLOW, "interval": 1}, path="/ready"),),
        (),
        (TcpCheck(**SLOW), IcmpCheck(**{**SLOW, "interval": 10})),
    ]
    assert read(FILE).service("dns").checks == (TcpCheck(fall=2),)


def test_what_is_exported_says_what_is_in_common_once() -> None:
    assert dump(read(FILE)) == FILE
    assert decode(encode(read(FILE))) == read(FILE)


def test_a_file_may_say_for_all_services_what_they_do_not_say_themselves() -> None:
    text = (
        "check_defaults: {interval: 7, fall: 5}\n"
        "services: [{name: a, vip: 192.0.2.1, port: 80, mode: dr, "
        "check_defaults: {fall: 2, rise: 1}}]"
    )
    wanted = CheckDefaults(interval=7, fall=2, rise=1)

    assert only(text).check_defaults == wanted
    assert only(text).checks == (TcpCheck(interval=7, fall=2, rise=1),)
    assert parse_services("interfaces: [eth0]\n" + text, "whole")[0] == read(text)
    assert read(dump(read(text))) == read(text)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            "check_defaults: {interval: 0}",
            "services[0] (a), check_defaults, interval: Expected `float` > 0.0",
        ),
        (
            "check_defaults: {interval: 0.001}",
            "services[0] (a), check_defaults: interval 0.001 s is",
        ),
        ("check_defaults: {intervall: 1}", "did you mean `interval`?"),
        ("check_defaults: {path: /x}", "unknown field `path`; keys here are interval, "),
        ("check_defaults: {port: 80}", "unknown field `port`; keys here are interval, "),
        (
            "check_defaults: none",
            "Expected `object`, got `str`; it is made of keys, such as `interval:`",
        ),
        (
            "backends: [{address: 10.0.0.1, check: none, checks: []}]",
            "has both `check` and `checks`",
        ),
        (
            "backends: [{address: 10.0.0.1, check: {type: http, path: x}}]",
            "services[0] (a), backends[0] (10.0.0.1), check: path 'x' is not one",
        ),
        (
            "backends: [{address: 10.0.0.1, check: {source: 192.0.2.1}}]",
            "source 192.0.2.1 is the VIP of service 'a'",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(keys: str, sentence: str) -> None:
    text = f"services: [{{name: a, vip: 192.0.2.1, port: 80, mode: dr, {keys}}}]"

    with pytest.raises(ConfigError) as refused:
        read(text)

    assert sentence in str(refused.value)


def test_a_backend_is_asked_what_it_says_and_each_question_once() -> None:
    web = only(
        "services: [{name: a, vip: 192.0.2.1, port: 80, mode: dr, "
        "checks: [{type: tcp}, {type: icmp}], backends: ["
        "{address: 10.0.0.1}, {address: 10.0.0.2, check: {port: 80}}, "
        "{address: 10.0.0.3, checks: [{type: tcp}, {type: tcp, port: 80}]}, "
        "{address: 10.0.0.4, check: none}]}]"
    )
    first, second, third, fourth = (backend.address for backend in web.backends)

    asked = {name: probes for (_, name), (_, probes) in probes_of(read_of(web)).items()}

    assert asked == {
        str(first): [Probe(first, 80, TcpCheck()), Probe(first, 0, IcmpCheck())],
        str(second): [Probe(second, 80, TcpCheck())],
        str(third): [Probe(third, 80, TcpCheck())],
    }
    assert str(fourth) not in asked


def read_of(service: Service) -> DesiredState:
    return DesiredState((service,))


def test_defaults_that_change_take_along_the_checks_that_had_them(cli: CommandLine) -> None:
    cli.said(f"{ADD_WEB} --check-defaults interval=5,fall=2 --check http,fall=4")
    cli.said("backend set web b --check tcp,interval=3")

    before = cli.node.store.state.service("web")
    cli.said("service change web --check-defaults interval=6,retry_interval=1")
    web = cli.node.store.state.service("web")

    assert before.checks == (HttpCheck(interval=5, fall=4),)
    assert before.backend("b").checks == (TcpCheck(interval=3, fall=2),)
    assert web.check_defaults == CheckDefaults(interval=6, fall=2, retry_interval=1)
    assert web.checks == (HttpCheck(interval=6, fall=4, retry_interval=1),)
    assert web.backend("b").checks == (TcpCheck(interval=3, fall=2, retry_interval=1),)
    shown = "defaults: interval=6, fall=2, retry_interval=1"
    assert shown in cli.rows("service show web")


def test_a_backend_gets_checks_of_its_own_and_gives_them_back(cli: CommandLine) -> None:
    cli.said(f"{ADD_WEB} --check http,host=www.example,path=/health")
    cli.said("backend add web 10.0.0.3 --name c --check icmp --check tcp,port=8080")

    def checks(name: str) -> object:
        return cli.node.store.state.service("web").backend(name).checks

    assert checks("c") == (IcmpCheck(), TcpCheck(port=8080))
    cli.said("backend set web a --check http,path=/ready")  # the rest is as it was
    assert checks("a") == (HttpCheck(host="www.example", path="/ready"),)
    assert cli.said("backend set web a --no-check") == "a has no check in web now\n"
    assert checks("a") == ()
    assert "own checks: none: it counts as up" in cli.rows("backend show web a")
    cli.said("backend set web a --service-check")
    assert checks("a") is None
    assert "own checks: icmp every 1 s, tcp port 8080 every 1 s" in cli.rows(
        "backend show web c"
    )


def test_who_has_checks_of_its_own_is_marked_among_the_backends(cli: CommandLine) -> None:
    cli.said(ADD_WEB)
    assert not any("OWN CHECKS" in row for row in cli.rows("service show web"))
    cli.said("backend add web 10.0.0.3,name=c --check icmp --check tcp,port=8080")
    cli.said("backend set web b --no-check")

    header, *rows = [
        row for row in cli.rows("service show web") if ":80" in row or "OWN" in row
    ][-4:]

    assert header.endswith("MAC OWN CHECKS")
    assert [row.partition(" active ")[2].partition(" ")[2] for row in rows] == [
        "",
        "none",
        "icmp, tcp",
    ]


def test_what_is_exported_by_the_api_is_applied_again(cli: CommandLine, tmp_path) -> None:
    (tmp_path / "file").write_text(FILE)

    cli.said(f"apply -f {tmp_path / 'file'}")

    assert cli.said("export") == FILE
    assert "no difference" in cli.said(f"diff -f {tmp_path / 'file'}")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("service change web --check-defaults interval", "'interval' is not KEY=VALUE"),
        ("service change web --check-defaults intervall=1", "did you mean"),
        (
            "service change web --check-defaults port=80",
            "port: no such key here; keys are interval, timeout, rise, fall, retry",
        ),
        ("service change web --check-defaults rise=x", "rise: 'x' is not a valid integer"),
        ("service change web --check-defaults jitter=7", "jitter 7 is not in 0…0.5"),
        ("backend set web a --check icmp --no-check", "--no-check contradicts --check"),
        ("backend set web a --check icmp --service-check", "--service-check contradicts"),
        ("backend set web a --check http,path=x", "path 'x' is not one"),
        ("backend add web 10.0.0.9 --check icmp,port=7", "port does not go with type icmp"),
    ],
)
def test_a_slip_changes_nothing_and_is_said(
    cli: CommandLine, line: str, sentence: str
) -> None:
    cli.said(ADD_WEB)
    before = cli.node.store.state

    result = cli.run(line)

    assert result.exit_code != 0
    assert sentence in result.stderr
    assert cli.node.store.state == before
