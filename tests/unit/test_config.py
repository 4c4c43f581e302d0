"""The configuration file: what it becomes, and what is said about a wrong one."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.access import PeerNode, Sync
from control.checks import TcpCheck
from control.config import MetricsEndpoint, NodeConfig, load, parse, parse_services
from control.desired import DesiredState
from control.errors import ConfigError
from control.model import Backend, BackendState, Mode, Protocol, Service
from dataplane.source import Limits
from tests.support.damaged import damaged_texts

WHOLE = """
interfaces: [eth0, eth1]
instance: lab
xdp_mode: generic
bpffs: /bpf
state_directory: /state
cache_directory: /cache
hash_seed: 7
direct: [10.0.0.0/8]
api: {socket: /run/lab.sock}
limits: {services: 10, backends: 20, slots: 9000, records: 2000, replies: 3000}
metrics: {listen: "[2001:db8::1]:9999", vrrp_status: /run/lab.json}
services:
  - name: web
    vip: 192.0.2.10
    port: 80
    mode: nat
    ring_size: 4093
    check: {interval: 0.5, timeout: 2, rise: 1, fall: 5, port: 8080}
    backends:
      - {address: 10.0.0.1, name: a, port: 8080, weight: 3, state: draining, zone: r1}
      - {address: 10.0.0.2}
  - {name: dns, vip: 192.0.2.10, protocol: udp, port: 53, mode: dr, check: none}
"""


def test_a_whole_file_is_read() -> None:
    node, desired = parse(WHOLE, "guideway.yaml")

    assert node == NodeConfig(
        interfaces=("eth0", "eth1"),
        instance="lab",
        native=False,
        bpffs=Path("/bpf"),
        state_directory=Path("/state"),
        cache=Path("/cache"),
        hash_seed=7,
        direct=(IPv4Network("10.0.0.0/8"),),
        socket=Path("/run/lab.sock"),
        limits=Limits(services=10, backends=20, slots=9000, records=2000, replies=3000),
        metrics=MetricsEndpoint(IPv6Address("2001:db8::1"), 9999, Path("/run/lab.json")),
    )
    vip = IPv4Address("192.0.2.10")
    a = Backend(
        "a", IPv4Address("10.0.0.1"), 8080, weight=3, state=BackendState.DRAINING, zone="r1"
    )
    b = Backend("10.0.0.2", IPv4Address("10.0.0.2"), 80)
    check = TcpCheck(interval=0.5, timeout=2, rise=1, fall=5, port=8080)
    web = Service("web", vip, Protocol.TCP, 80, Mode.NAT, (a, b), (check,), ring_size=4093)
    dns = Service("dns", vip, Protocol.UDP, 53, Mode.DR, checks=())
    assert desired == DesiredState((web, dns))


def test_what_may_be_left_out_has_a_default() -> None:
    node, desired = parse("interfaces: [eth0]\nservices: []", "guideway.yaml")

    assert (node.instance, node.native, node.direct) == ("default", True, ())
    assert node.socket == Path("/run/guideway/guidewayd.sock")
    assert node.limits == Limits()
    loopback = IPv4Address("127.0.0.1")
    vrrp_status = Path("/run/guideway/vrrp.json")
    assert node.metrics == MetricsEndpoint(loopback, 9475, vrrp_status)
    assert desired == DesiredState()


def test_a_file_may_have_services_of_both_families() -> None:
    text = """
interfaces: [eth0]
direct: [2001:db8:7::/48, 10.0.0.0/8]
services:
  - name: web6
    vip: 2001:DB8::10
    port: 80
    mode: dr
    backends:
      - {address: 2001:DB8:0::21}
      - {name: b, address: "2001:db8::22"}
  - {name: web, vip: 192.0.2.10, port: 80, mode: dr}
"""
    node, desired = parse(text, "guideway.yaml")

    assert node.direct == (IPv6Network("2001:db8:7::/48"), IPv4Network("10.0.0.0/8"))
    backends = (
        Backend("2001:db8::21", IPv6Address("2001:db8::21"), 80),
        Backend("b", IPv6Address("2001:db8::22"), 80),
    )
    vip = IPv6Address("2001:db8::10")
    assert desired == DesiredState(
        (
            Service("web6", vip, Protocol.TCP, 80, Mode.DR, backends),
            Service("web", IPv4Address("192.0.2.10"), Protocol.TCP, 80, Mode.DR),
        )
    )


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("10.0.0.1/8", "has host bits set; did you mean 10.0.0.0/8?"),
        ("2001:db8::1/32", "has host bits set; did you mean 2001:db8::/32?"),
        ("eth0", "is not a prefix such as 10.0.0.0/8 or 2001:db8::/32"),
        ("fe80::%eth0/64", "is one interface's; a prefix counts on all of them"),
        ("::/0", "has IPv4 addresses in it, in the form of IPv6; write an IPv4 prefix, or"),
        ("::ffff:10.0.0.0/104", "has IPv4 addresses in it, in the form of IPv6; write"),
    ],
)
def test_a_wrong_prefix_is_refused(prefix: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"interfaces: [eth0]\nservices: []\ndirect: ['{prefix}']", "c.yaml")

    assert str(raised.value).startswith(f"c.yaml:3: `direct`: {prefix!r} {sentence}")


def test_metrics_can_be_left_out() -> None:
    node, _ = parse("interfaces: [eth0]\nservices: []\nmetrics: none", "c.yaml")

    assert node.metrics is None


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ("{listen: localhost:9475}", "`listen`: 'localhost' is not an IP address"),
        ("{listen: 127.0.0.1}", "`listen`: '127.0.0.1' is not ADDRESS:PORT"),
        (
            "{listen: '127.0.0.1:0'}",
            "`listen`: '127.0.0.1:0' is not ADDRESS:PORT",
        ),
        ("{listen: '127.0.0.1:65536'}", "`listen`: '127.0.0.1:65536' is not ADDRESS:PORT"),
        ("{listen: '2001:db8::1:9475x'}", "`listen`: '2001:db8::1:9475x' is not"),
        ("{listen: ':9475'}", "`listen`: ':9475' has no address; 0.0.0.0 and [::] are all"),
        ("{listen: 9475}", "Expected `str`, got `int`; put it in quotes"),
        ("{listen: [2001:db8::1]}", "got `array`; brackets make a list: leave them out"),
        ("{listne: 3}", "unknown field `listne`; did you mean `listen`?"),
        ("false", "Expected `str | object`, got `bool`"),
        ("nowhere", "Invalid enum value 'nowhere'; it is one of none"),
        ("{vrrp_status: vrrp.json}", "an absolute path, from / on"),
    ],
)
def test_wrong_metrics_are_refused(metrics: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"interfaces: [eth0]\nservices: []\nmetrics: {metrics}", "c.yaml")

    assert sentence in str(raised.value)


WEB = "name: web, vip: 192.0.2.1, port: 80, mode: dr"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "c.yaml: is empty; `interfaces` and `services` are required"),
        ("services: []", "c.yaml: Object missing required field `interfaces`"),
        (
            "interfaces: []",
            "c.yaml:1: interfaces: Expected `array` of length >= 1",
        ),
        (
            "interfaces: [eth0, eth0]\nservices: []",
            "c.yaml:1: an interface is named twice in `interfaces`",
        ),
        ("interfaces: [eth0\n", "c.yaml:2: not YAML: did not find expected ','"),
        ("interfaces: \0", "c.yaml: not YAML: unacceptable character #x0000: control"),
        ("interfaces: [eth0]\nport: 1", "c.yaml:2: Object contains unknown field `port`"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "c.yaml")

    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        (
            "name: web, vip: nope, port: 80, mode: dr",
            "c.yaml:2: services[0] (web): `vip`: 'nope' is not an IP address",
        ),
        (
            # YAML 1.1 takes this for a number to the base of 60.
            "name: web, vip: 2001:10:20:30:40:50:1:2, port: 80, mode: dr",
            (
                "c.yaml:2: services[0] (web), vip: Expected `str`, got `int`; put it in "
                "quotes"
            ),
        ),
        (
            "name: web, vip: 192.0.2.1, port: 70000, mode: dr",
            "c.yaml:2: services[0] (web), port: Expected `int` <= 65535",
        ),
        (
            "name: web, vip: 192.0.2.1, port: 80, mode: ipip",
            (
                "c.yaml:2: services[0] (web), mode: Invalid enum value 'ipip'; it is one "
                "of dr, nat"
            ),
        ),
        (
            "name: web, vip: 192.0.2.1, port: 80",
            "c.yaml:2: services[0] (web): Object missing required field `mode`",
        ),
        (
            f"{WEB}, backends: [{{address: 10.0.0.1}}, {{wait: 3, address: 10.0.0.2}}]",
            (
                "c.yaml:2: services[0] (web), backends[1] (10.0.0.2): Object contains "
                "unknown field `wait`; did you mean `weight`?"
            ),
        ),
        (
            f"{WEB}, check: {{type: htp}}",
            (
                "c.yaml:2: services[0] (web), check, type: Invalid value 'htp'; it is one "
                "of tcp, tls, http, https, udp, dns, exec, grpc, icmp, smtp, file"
            ),
        ),
        (
            f"{WEB}, check: {{interval: .nan}}",
            "c.yaml:2: services[0] (web), check, interval: Expected `float` > 0.0",
        ),
        (
            f"{WEB}, ring_size: 100",
            (
                "c.yaml:2: services[0] (web), ring_size: ring size 100 is not a prime "
                "number; 101 is the next one"
            ),
        ),
    ],
)
def test_a_wrong_service_is_refused_with_its_place(service: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"interfaces: [eth0]\nservices: [{{{service}}}]", "c.yaml")

    assert str(raised.value) == sentence


SEVERAL = """\
interfaces: [eth0]
services:
- name: web
  vip: 192.0.2.1
  port: 80
  mode: dr
  backends:
  - {name: b1, address: 10.0.0.1}
  - address: 10.0.0.2
    weight: 2
- name: mail
  vip: 192.0.2.2
  port: 25
  mode: nat
  check:
    type: tcp
    interval: 5
  pool:
    quorum: 1
"""


@pytest.mark.parametrize(
    ("right", "wrong", "place"),
    [
        (
            "weight: 2",
            "weight: -2",
            "10: services[0] (web), backends[1] (10.0.0.2), weight:",
        ),
        ("weight: 2", "wieght: 2", "10: services[0] (web), backends[1] (10.0.0.2): Object"),
        (
            "weight: 2",
            "port: 81",
            "10: services[0] (web), backends[1] (10.0.0.2), port: port",
        ),
        (
            "address: 10.0.0.2",
            "address: x",
            "9: services[0] (web), backends[1] (x): `address`: ",
        ),
        (
            "10.0.0.2",
            "10.0.0.1",
            "9: services[0] (web), backends[1] (10.0.0.1), address: b",
        ),
        (
            "10.0.0.2",
            "192.0.2.2",
            "9: services[0] (web), backends[1] (192.0.2.2), address:",
        ),
        (
            "192.0.2.2",
            "'2001:db8::%eth0'",
            "12: services[1] (mail), vip: 2001:db8::%eth0 is an address of",
        ),
        (
            "192.0.2.2\n  port: 25",
            "192.0.2.1\n  port: 80",
            "12: services[1] (mail), vip: 192",
        ),
        ("name: mail", "name: web", "11: services[1] (web), name: two services are called"),
        (
            "name: mail",
            "name: ma il",
            "11: services[1] (ma il), name: 'ma il' is not a name",
        ),
        (
            "interval: 5",
            "interval: 4000",
            "17: services[1] (mail), check, interval: Expected",
        ),
        (
            "interval: 5",
            "interval: 0.001",
            "15: services[1] (mail), check: interval 0.001 s",
        ),
        (
            "interval: 5",
            "path: /",
            "17: services[1] (mail), check: Object contains unknown",
        ),
        (
            "quorum: 1",
            "hysteresis: 1",
            "19: services[1] (mail), pool, hysteresis: hysteresis",
        ),
        (
            "quorum: 1",
            "sorry_server: y",
            "19: services[1] (mail), pool: `sorry_server`: 'y'",
        ),
        (
            "mode: nat",
            "mode: nat\n  protocol: sctp",
            "15: services[1] (mail), protocol: Invalid",
        ),
        ("[eth0]", "['a b']", "1: interfaces[0]: Expected `str` matching regex"),
        (
            "[eth0]",
            "[eth0]\ndirect: [10.0.0.1/8]",
            "2: `direct`: '10.0.0.1/8' has host bits",
        ),
    ],
)
def test_whatever_is_wrong_its_line_and_its_service_are_named(
    right: str, wrong: str, place: str
) -> None:
    assert parse(SEVERAL, "c.yaml")
    assert SEVERAL.count(right) == 1

    with pytest.raises(ConfigError) as raised:
        parse(SEVERAL.replace(right, wrong), "c.yaml")

    assert str(raised.value).startswith(f"c.yaml:{place}")
    assert "\n" not in str(raised.value)


def test_what_comes_by_an_alias_is_named_where_it_is_written() -> None:
    text = (
        "services:\n"
        "- {name: a, vip: 192.0.2.1, port: 80, mode: dr, backends: &all [\n"
        "    {address: 10.0.0.1}, {address: 10.0.0.2,\n"
        "     weight: -1}]}\n"
        "- {name: b, vip: 192.0.2.2, port: 80, mode: dr, backends: *all}\n"
    )

    with pytest.raises(ConfigError) as raised:
        parse_services(text, "c.yaml")

    assert str(raised.value).startswith("c.yaml:4: services[0] (a), backends[1] (10.0.0.2)")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / "c.yaml")

    assert (
        str(raised.value) == f"{tmp_path}/c.yaml: cannot be read: No such file or directory"
    )


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xff")

    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8"):
        load(tmp_path / "c.yaml")


def test_a_key_that_stands_twice_is_refused() -> None:
    text = "interfaces: [eth0]\nservices: []\nservices: []\n"

    with pytest.raises(ConfigError) as caught:
        parse(text, "guideway.yaml")

    sentence = "guideway.yaml:3: not YAML: 'services' stands here twice"
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("{intervall: 3}", "unknown field `intervall`; did you mean `interval`?"),
        (
            "{bogus: 3}",
            "keys here are interval, timeout, rise, fall, retry_interval, initial",
        ),
        ("often", "Invalid enum value 'often'; it is one of none"),
        ("2024-02-31", "not YAML that can be read"),
        ("!!int abc", "not YAML that can be read"),
        ("[" * 3000, "c.yaml:3: is nested more than 32 levels deep"),
    ],
)
def test_it_is_said_what_would_be_right(value: str, sentence: str) -> None:
    service = f"{{name: web, vip: 192.0.2.1, port: 80, mode: dr, check: {value}}}"

    with pytest.raises(ConfigError) as raised:
        parse(f"interfaces: [eth0]\nservices:\n- {service}\n", "c.yaml")

    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@given(damaged_texts(WHOLE) | st.text(max_size=200))
def test_any_text_is_a_configuration_or_gets_a_sentence(text: str) -> None:
    sentence = "c.yaml"
    try:
        parse(text, "c.yaml")
    except ConfigError as error:
        sentence = str(error)

    assert sentence.startswith("c.yaml")
    assert "\n" not in sentence


PEERS = """
interfaces: [eth0]
services: []
api:
  listen: 192.0.2.1:7007
  certificate: /c
  key: /k
  client_ca: /a
  peer: [O=nodes]
"""


def test_peers_are_read() -> None:
    peer = "{address: '[2001:db8::2]:7007', name: lb2}"
    text = f"{PEERS}peers: [{peer}]\nsync: {{always: true}}"

    node, _ = parse(text, "guideway.yaml")

    assert node.sync == Sync((PeerNode("2001:db8::2", 7007, "lb2"),), 0.25, always=True)
    assert node.sync.peers[0].where == "[2001:db8::2]:7007"
    assert node.access.tcp
    assert node.access.tcp.peer == ("O=nodes",)


@pytest.mark.parametrize(
    ("peers", "sentence"),
    [
        ("peers: [{address: 192.0.2.1:7007}]", "192.0.2.1:7007 is this node itself"),
        (
            "peers: [{address: 192.0.2.2:7007}, {address: 192.0.2.2:7007}]",
            "a node is named twice in `peers`",
        ),
        ("peers: [{address: lb2}]", "`address`: 'lb2' is not ADDRESS:PORT"),
        ("sync: {interval: 0.01}", "sync, interval"),
    ],
)
def test_peers_that_cannot_be_are_refused(peers: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"{PEERS}{peers}", "guideway.yaml")

    assert sentence in str(raised.value)


def test_peers_need_certificates() -> None:
    text = "interfaces: [eth0]\nservices: []\npeers: [{address: 192.0.2.2:7007}]"

    with pytest.raises(ConfigError) as raised:
        parse(text, "guideway.yaml")

    assert "`peers` needs `api.listen` with its certificate" in str(raised.value)
