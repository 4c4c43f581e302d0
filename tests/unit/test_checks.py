"""Checks as values: what is refused, and how they are written in files and commands."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from control.api.convert_checks import (
    checks_from_pb,
    checks_to_pb,
    defaults_from_pb,
    defaults_to_pb,
)
from control.api.v1 import guideway_pb2 as pb
from control.check_common import BUILT_IN, CheckDefaults, Initial, Via
from control.checks import (
    CHECKS,
    AnyCheck,
    DnsCheck,
    ExecCheck,
    FileCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    IcmpCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
from control.config import parse
from control.encoding import decode
from control.errors import ConfigError
from tests.support.command_line import ADD_WEB, CommandLine, command_line
from tests.support.desired_states import check_defaults, checks


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (TcpCheck(retry_interval=0), "retry_interval 0 s is not in 0.01…3600 s"),
        (TcpCheck(jitter=0.6), "jitter 0.6 is not in 0…0.5"),
        (TcpCheck(jitter=float("nan")), "jitter nan is not in 0…0.5"),
        (TcpCheck(source="eth0"), "source 'eth0' is not an address that a host can have"),
        (IcmpCheck(source="0.0.0.0"), "source '0.0.0.0' is not an address that a host"),
        (UdpCheck(source="fe80::1%eth0"), "source 'fe80::1%eth0' is not an address that"),
        (TcpCheck(interface="a" * 16), f"interface '{'a' * 16}' is not the name of one"),
        (SmtpCheck(interface=".."), "interface '..' is not the name of one, as `ip link`"),
        (DnsCheck(interface="a b"), "interface 'a b' is not the name of one, as `ip link`"),
        (TlsCheck(ca="ca.pem"), "ca 'ca.pem' is not an absolute path, from / on"),
        (TlsCheck(ca="/ca", verify=False), "ca does not go with verify: false"),
        (TlsCheck(sni="a..b"), "sni 'a..b' is not a host name"),
        (TlsCheck(sni="a\0b"), "sni 'a\\x00b' is not a host name"),
        (TlsCheck(sni="x" * 64), f"sni '{'x' * 64}' is not a host name"),
        (HttpCheck(method="BREW"), "method 'BREW' is none of GET, HEAD, OPTIONS"),
        (HttpCheck(path="health"), "path 'health' is not one: it begins with / and has"),
        (HttpCheck(path="/a b"), "path '/a b' is not one: it begins with / and has"),
        (HttpCheck(path="/\r\nX: y"), "path '/\\r\\nX: y' is not one: it begins"),
        (HttpCheck(host="a/b"), "host 'a/b' is neither a name nor an address"),
        (HttpCheck(host="::1"), "host '::1' is neither a name nor an address"),
        (HttpCheck(host="a:99999"), "host 'a:99999' is neither a name nor an address"),
        (HttpCheck(headers=(("X Y", "z"),)), "header 'X Y' is not the name of one"),
        (HttpCheck(headers=(("hOST", "z"),)), "header Host is given by `host`"),
        (
            HttpCheck(headers=(("X", "y\r\nZ: a"),)),
            "header X may have printable ASCII characters only",
        ),
        (HttpCheck(status=""), "status: '' is neither a code (200) nor a range (200-299)"),
        (HttpCheck(status="2xx"), "status: '2xx' is neither a code (200) nor a range"),
        (HttpCheck(status="299-200"), "status: '299-200' ends before it begins"),
        (HttpCheck(regex="(a"), "regex '(a' is not one of RE2's: missing ): (a"),
        (HttpCheck(regex="a\\1"), "regex 'a\\\\1' is not one of RE2's: invalid escape"),
        (HttpCheck(regex="(a{999}){999}"), "regex '(a{999}){999}' is not one of RE2's"),
        (HttpCheck(digest="ABC"), "digest 'ABC' is not 32 (MD5) or 64 (SHA-256) digits"),
        (
            HttpCheck(method="HEAD", regex="a"),
            "regex and digest do not go with method HEAD",
        ),
        (HttpsCheck(path="x"), "path 'x' is not one: it begins with / and has"),
        (HttpsCheck(sni=""), "sni '' is not a host name"),
        (UdpCheck(payload="hex:0"), "payload 'hex:0' is not hexadecimal digits"),
        (UdpCheck(payload="hex:0X"), "payload 'hex:0X' is not hexadecimal digits"),
        (UdpCheck(reply="hex:0g"), "reply 'hex:0g' is not hexadecimal digits, two for"),
        (UdpCheck(payload="\ud800"), "payload '\\ud800' is not hexadecimal digits"),
        (UdpCheck(payload="é" * 701), "payload has more than 1400 bytes"),
        (DnsCheck(name="a..b"), "name 'a..b' is not a DNS name"),
        (DnsCheck(name="a." * 127), f"name '{'a.' * 127}' is not a DNS name"),
        (DnsCheck(record="ANY"), "record 'ANY' is none of A, AAAA, CNAME, MX, NS, PTR"),
        (DnsCheck(rcode="OK"), "rcode 'OK' is none of NOERROR, FORMERR, SERVFAIL"),
        (DnsCheck(address="x"), "address 'x' is not an IP address"),
        (DnsCheck(address="::1", record="A"), "address ::1 needs record AAAA"),
        (ExecCheck(), "command is required: a program and its arguments"),
        (ExecCheck(command=("true",)), "command 'true' is not an absolute path, from / on"),
        (ExecCheck(command=("/a", "b\0")), "command has a zero character in it"),
        (ExecCheck(command=("/a", "b" * 4096)), "command has more than 4096 characters"),
        (GrpcCheck(service="a\nb"), "service 'a\\nb' is not the name of a gRPC service"),
        (GrpcCheck(sni="a.example"), "ca and sni need tls: true"),
        (IcmpCheck(port=7), "port does not go with type icmp: a ping has none"),
        (SmtpCheck(helo="a b"), "helo 'a b' is not a host name"),
        (FileCheck(path=""), "path '' is not an absolute path, from / on"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value.kind,
)
def test_a_check_that_cannot_work_is_refused(check: AnyCheck, problem: str) -> None:
    said = next(check.problems())

    assert said.startswith(problem)


@given(check_defaults, check_defaults)
def test_defaults_are_the_same_after_a_journey_through_the_api(
    defaults: CheckDefaults, others: CheckDefaults
) -> None:
    assert list(defaults.problems_of_defaults()) == []
    assert defaults_from_pb(defaults_to_pb(defaults), others) == defaults


@given(checks)
def test_what_the_strategies_make_is_right(check: AnyCheck) -> None:
    assert list(check.problems()) == []


@given(checks, check_defaults)
def test_a_check_is_the_same_after_a_journey_through_the_api(
    check: AnyCheck, defaults: CheckDefaults
) -> None:
    found = checks_from_pb(checks_to_pb((check,)), (TcpCheck(),), defaults)
    assert found == (check,)


WRITTEN: list[tuple[str, str, AnyCheck]] = [
    ("{}", "tcp", TcpCheck()),
    (
        "{type: tcp, initial: before, retry_interval: 0.2, jitter: 0}",
        "tcp,initial=before,retry_interval=0.2,jitter=0",
        TcpCheck(initial=Initial.BEFORE, retry_interval=0.2, jitter=0),
    ),
    (
        "{type: tcp, source: 10.0.0.9, interface: eth0.10}",
        "tcp,source=10.0.0.9,interface=eth0.10",
        TcpCheck(source="10.0.0.9", interface="eth0.10"),
    ),
    ("{type: smtp, via: vip}", "smtp,via=vip", SmtpCheck(via=Via.VIP)),
    (
        "{type: tls, sni: a.example, ca: /ca.pem}",
        "tls,sni=a.example,ca=/ca.pem",
        TlsCheck(sni="a.example", ca="/ca.pem"),
    ),
    ("{type: http, path: /health}", "http,path=/health", HttpCheck(path="/health")),
    (
        "{type: http, status: 204, headers: {X-A: 'b, c'}, regex: 'a,b=c'}",
        r"http,status=204,header.X-A=b\, c,regex=a\,b=c",
        HttpCheck(status="204", headers=(("X-A", "b, c"),), regex="a,b=c"),
    ),
    (
        "{type: https, verify: false, host: a.example, port: 8443}",
        "https,verify=no,host=a.example,port=8443",
        HttpsCheck(verify=False, host="a.example", port=8443),
    ),
    (
        "{type: udp, payload: ping, reply: 'hex:00 ff'}",
        "udp,payload=ping,reply=hex:00 ff",
        UdpCheck(payload="ping", reply="hex:00 ff"),
    ),
    (
        "{type: dns, name: a.example, record: A, address: 192.0.2.7}",
        "dns,name=a.example,record=A,address=192.0.2.7",
        DnsCheck(name="a.example", record="A", address="192.0.2.7"),
    ),
    (
        "{type: exec, command: [/bin/check, a b, '{address}'], dynamic: true}",
        "exec,command=/bin/check 'a b' {address},dynamic=yes",
        ExecCheck(command=("/bin/check", "a b", "{address}"), dynamic=True),
    ),
    (
        "{type: grpc, service: a.B, tls: true}",
        "grpc,service=a.B,tls=true",
        GrpcCheck(service="a.B", tls=True),
    ),
    ("{type: icmp, interval: 2}", "icmp,interval=2", IcmpCheck(interval=2)),
    (
        "{type: smtp, helo: lb.example}",
        "smtp,helo=lb.example",
        SmtpCheck(helo="lb.example"),
    ),
    (
        "{type: file, path: '/run/{address}'}",
        "file,path=/run/{address}",
        FileCheck(path="/run/{address}"),
    ),
]


def read(checks: str) -> tuple[AnyCheck, ...]:
    """Return the checks of a service in a file."""
    service = f"{{name: web, vip: 192.0.2.1, port: 80, mode: dr, {checks}}}"
    _, state = parse(f"interfaces: [eth0]\nservices: [{service}]", "c.yaml")
    return state.service("web").checks


@pytest.mark.parametrize(("file", "line", "check"), WRITTEN)
def test_a_check_in_the_file_is_what_it_is_on_the_command_line(
    cli: CommandLine, file: str, line: str, check: AnyCheck
) -> None:
    assert read(f"check: {file}") == (check,)
    cli.said(ADD_WEB)
    cli.said(["service", "change", "web", "--check", line])
    assert cli.node.store.state.service("web").checks == (check,)


def test_every_kind_of_check_is_tried_above() -> None:
    assert {check.kind for _, _, check in WRITTEN} == set(CHECKS)


def test_a_service_may_have_several_checks_or_none() -> None:
    both = (IcmpCheck(), HttpCheck(path="/health"))

    assert read("checks: [{type: icmp}, {type: http, path: /health}]") == both
    assert read("checks: [{port: 81}, {port: 82}]") == (
        TcpCheck(port=81),
        TcpCheck(port=82),
    )
    assert read("checks: []") == read("check: none") == ()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("check: {}, checks: []", "has both `check` and `checks`: put all into `checks`"),
        ("checks: [{}, {}]", "services[0] (web), checks[1]: is there twice"),
        (
            "checks: [{type: icmp}, {type: http, path: x}]",
            "services[0] (web), checks[1] (http): path 'x' is not one",
        ),
        (
            "check: {source: '2001:db8::9'}",
            "check, source: source 2001:db8::9 is IPv6, and the backends are IPv4: both",
        ),
        (
            "checks: [{}, {type: icmp, source: 192.0.2.1}]",
            "checks[1] (icmp), source: source 192.0.2.1 is the VIP of service 'web', and",
        ),
        (
            "check: {type: file, path: /x, source: 192.0.2.9}",
            "unknown field `source`: it goes with type tcp, tls, http, https, udp, dns",
        ),
        (
            "checks: none",
            "c.yaml:2: services[0] (web), checks: Expected `array`, got `str`",
        ),
        (
            "check: {type: tcp, path: /x}",
            "unknown field `path`: it goes with type http, https, file",
        ),
        ("check: {type: http, pth: /x}", "unknown field `pth`; did you mean `path`?"),
        ("check: {type: exec}", "missing required field `command`"),
        ("check: {type: exec, command: /bin/x}", "got `str`; it is a list: put it in br"),
        ("check: {timeout: 5s}", "got `str`; it is a number alone, without quotes or a"),
        ("check: http", "'http'; it is one of none, or made of keys, such as `type:`"),
        ("check: {type: http, headers: {X: 1}}", "Expected `str`, got `int`; put it in"),
        ("check: {type: 7}", "Expected `str`, got `int`"),
        ("check: {via: moon}", "'moon'; it is one of backend, vip"),
        (
            "check: {type: icmp, via: vip}",
            "unknown field `via`: it goes with type tcp",
        ),
        ("check: {initial: maybe}", "'maybe'; it is one of first, up, down, before"),
        (
            f"checks: [{', '.join(f'{{port: {port}}}' for port in range(1, 18))}]",
            "services[0] (web), checks: 17 checks are more than 16",
        ),
    ],
)
def test_what_is_wrong_with_checks_in_a_file_is_said(keys: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(keys)

    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        ("ftp", "'ftp' is no kind of check; did you mean `tcp`?"),
        ("http,path", "'path' is not KEY=VALUE"),
        ("icmp,path=/", "path: no such key here: it goes with http, https, file"),
        ("http,headers=x", "headers: no such key here; did you mean `header.NAME`?"),
        ("tcp,rise=often", "rise: 'often' is not a valid integer"),
        ("tcp,initial=maybe", "initial: 'maybe' is none of first, up, down, before"),
        ("tcp,via=moon", "via: 'moon' is none of backend, vip"),
        ("exec,command='", "command: No closing quotation"),
        ("tls,verify=perhaps", "verify: 'perhaps' is not a valid boolean"),
    ],
)
def test_what_is_wrong_with_a_check_on_the_command_line_is_said(
    cli: CommandLine, check: str, sentence: str
) -> None:
    result = cli.run(["service", "change", "web", "--check", check])

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())


def test_options_of_all_checks_are_for_those_given_or_else_for_those_there(
    cli: CommandLine,
) -> None:
    def now() -> tuple[AnyCheck, ...]:
        return cli.node.store.state.service("web").checks

    cli.said(ADD_WEB)
    cli.said("service change web --check icmp,fall=9 --check http --fall 5")
    assert now() == (IcmpCheck(fall=9), HttpCheck(fall=5))
    cli.said("service change web --check-interval 0.5")
    assert now() == (IcmpCheck(fall=9, interval=0.5), HttpCheck(fall=5, interval=0.5))
    cli.said("service change web --check http,path=/health")
    assert now() == (HttpCheck(path="/health"),)
    cli.said("service change web --check http,status=204")
    assert now() == (HttpCheck(path="/health", status="204"),)
    cli.said("service change web --check tcp")
    assert now() == (TcpCheck(),)
    cli.said("service change web --no-check")
    assert now() == ()


def test_all_checks_are_shown(cli: CommandLine) -> None:
    cli.said(ADD_WEB)
    cli.said(["service", "change", "web", "--check", "icmp", "--check", "https,port=8443"])

    shown = json.loads(cli.said("-o json service show web"))

    assert [check["type"] for check in shown["checks"]] == ["icmp", "https"]
    assert shown["check"] == shown["checks"][0]
    https = {"path": "/", "verify": True, "ca": None, "headers": {}, "regex": None}
    assert https.items() <= shown["checks"][1].items()
    assert "icmp every 1 s, https port 8443 every 1 s" in cli.said("service show web")


def test_a_client_that_knows_of_one_check_sees_it_or_none() -> None:
    """Field 6, which was there before there were several."""
    tcp = checks_to_pb((TcpCheck(),))[0]

    assert tcp.WhichOneof("kind") == "tcp"
    assert (tcp.tcp.interval, tcp.tcp.port, tcp.tcp.rise) == (1, 0, 2)
    none = [pb.HealthCheck(none=pb.NoCheck())]
    assert checks_from_pb(none, (TcpCheck(),), BUILT_IN) == ()


def test_a_state_that_an_earlier_release_has_stored_is_read() -> None:
    check = {"interval": 0.5, "timeout": 2.0, "rise": 1, "fall": 5, "port": None}
    service = {
        "name": "web",
        "vip": "192.0.2.1",
        "protocol": "tcp",
        "port": 80,
        "mode": "dr",
        "backends": [],
        "check": check,
        "ring_size": None,
    }
    dns = {**service, "name": "dns", "port": 53, "check": None}
    stored = json.dumps({"shape": 1, "services": [service, dns]}).encode()

    web, unchecked = decode(stored)

    assert web.checks == (TcpCheck(interval=0.5, timeout=2, rise=1, fall=5),)
    assert unchecked.checks == ()


def test_the_defaults_find_a_black_hole_within_six_seconds() -> None:
    check = TcpCheck()

    # The last success was just before; each probe begins as late as it may.
    pause = check.interval * (1 + check.jitter)
    waits = pause + (check.fall - 1) * max(pause, check.timeout) + check.timeout
    assert waits <= 6
