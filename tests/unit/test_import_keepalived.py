"""Configurations of keepalived, and what becomes of them line by line."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from control import config
from control.cli.main import guideway
from control.desired import DesiredState
from control.importing.accepted import accepted
from control.importing.files import Files
from control.importing.keepalived import import_keepalived
from control.importing.notes import RefusedError
from control.importing.plain import Imported
from control.model import Service
from control.pool_policy import PoolPolicy, SorryServer
from tests.support.damaged import damaged_texts
from vrrp.config import load

DATA = Path(__file__).parents[1] / "data" / "keepalived"
SITES = ("fabric", "mail", "shop")


def imported(text: str, *interfaces: str) -> Imported:
    return import_keepalived(
        "k.conf", text, lambda *_: [], interfaces=interfaces or ("e0",)
    )


def notes(result: Imported) -> list[str]:
    return [str(note).removeprefix("k.conf:") for note in result.notes]


def services(result: Imported) -> DesiredState:
    """Return the services as guidewayd reads them."""
    assert result.guidewayd is not None
    text = accepted("guidewayd", result.guidewayd, "test")
    return config.parse(text, "guideway.yaml")[1]


def service(body: str, head: str = "192.0.2.1 80") -> tuple[Service, list[str]]:
    """Return the service that a virtual_server becomes, and the notes."""
    result = imported(f"virtual_server {head} {{\nprotocol TCP\n{body}\n}}")
    (one,) = services(result)
    return one, notes(result)


def checks(checker: str, around: str = "") -> tuple[list[dict[str, Any]], list[str]]:
    """Return the checks that a checker becomes, as a file has them, and the notes."""
    server = f"{around}\nreal_server 10.0.0.1 8080 {{\n{checker}\n}}"
    result = imported(f"virtual_server 192.0.2.1 80 {{\nprotocol TCP\n{server}\n}}")
    services(result)
    assert result.guidewayd is not None
    return result.guidewayd["services"][0]["checks"], notes(result)


def router(body: str, before: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return what a vrrp_instance becomes, and the notes."""
    usual = "interface eth0\nvirtual_router_id 7\n"
    text = f"{before}\nvrrp_instance a {{\n{usual}{body}\n}}\n"
    result = imported(text)
    assert result.vrrpd is not None
    accepted("guideway-vrrpd", result.vrrpd, "test")
    (one,) = result.vrrpd["instances"]
    return one, notes(result)


PACE = {"interval": 60, "timeout": 5, "rise": 1, "fall": 2, "retry_interval": 1}
WEB_PACE = {**PACE, "retry_interval": 3}
IPV4 = "virtual_ipaddress {\n192.0.2.1/24\n}"


@pytest.mark.parametrize("site", SITES)
def test_a_site_becomes_what_is_beside_it(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(DATA / site)
    files = Files()
    text = files.text("keepalived.conf")
    result = import_keepalived("keepalived.conf", text, files.include, identity="lb1")

    wanted = [
        Path(name).read_text() for name in ("guideway.yaml", "vrrp.yaml", "notes.txt")
    ]
    assert result.guidewayd == yaml.safe_load(wanted[0])
    assert result.vrrpd == yaml.safe_load(wanted[1])
    assert [str(note) for note in result.notes] == wanted[2].splitlines()


@pytest.mark.parametrize("site", SITES)
def test_both_daemons_accept_what_a_site_becomes(site: str) -> None:
    # Not by `--check`: this host has none of the programs and interfaces.
    with capture_logs():
        result = CliRunner().invoke(
            guideway, ["validate", str(DATA / site / "guideway.yaml")]
        )
    assert (result.exit_code, result.stderr) == (0, "")
    assert "is right; services: " in result.stdout
    assert load(DATA / site / "vrrp.yaml").instances


def test_the_other_node_of_a_template_differs_where_it_says_so() -> None:
    path = str(DATA / "fabric" / "keepalived.conf")
    files = Files()
    result = import_keepalived(path, files.text(path), files.include, identity="lb2")

    assert result.vrrpd is not None
    (one,) = result.vrrpd["instances"]
    assert (one["priority"], one["source"]) == (120, "10.7.0.2")
    assert one["peers"] == ["10.7.0.1"]


@pytest.mark.parametrize(
    ("checker", "expected"),
    [
        ("TCP_CHECK {\n}", {"type": "tcp", **PACE}),
        ("TCP_CHECK {\nconnect_port 8080\nconnect_ip 10.0.0.1\n}", {"type": "tcp", **PACE}),
        (
            "TCP_CHECK {\nbindto 10.0.0.9\nbind_if eth0\n}",
            {"type": "tcp", **PACE, "source": "10.0.0.9", "interface": "eth0"},
        ),
        ("TCP_CHECK {\nconnect_port 22\n}", {"type": "tcp", **PACE, "port": 22}),
        ("PING_CHECK {\nconnect_timeout 2\n}", {"type": "icmp", **PACE, "timeout": 2}),
        ("SMTP_CHECK {\n}", {"type": "smtp", **PACE}),
        (
            "DNS_CHECK {\ntype aaaa\nname example.org\n}",
            {"type": "dns", "interval": 60, "timeout": 5, "rise": 1, "fall": 4}
            | {"name": "example.org", "record": "AAAA"},
        ),
        (
            "UDP_CHECK {\npayload Ab12f 3 456\nrequire_reply\n}",
            {"type": "udp", **PACE, "payload": "hex:Ab120f034506", "reply": ""},
        ),
        (
            "HTTP_GET {\nurl {\npath /a\nstatus_code 200 204-206\n}\n}",
            {"type": "http", **WEB_PACE, "path": "/a", "status": "200,204-206"},
        ),
        (
            "SSL_GET {\nenable_sni\nvirtualhost a.example\nurl {\nregex ok\n}\n}",
            {"type": "https", **WEB_PACE, "host": "a.example", "regex": "ok"}
            | {"verify": False},
        ),
        (
            "MISC_CHECK {\nmisc_path \"/bin/probe -h 10.0.0.1 'a b' 8080\"\n}",
            {"type": "exec", "interval": 60, "timeout": 60, "rise": 1, "fall": 1}
            | {"command": ["/bin/probe", "-h", "{address}", "a b", "{port}"]},
        ),
    ],
)
def test_a_checker_becomes_a_check(checker: str, expected: dict[str, Any]) -> None:
    assert checks(checker) == ([expected], [])


def test_each_url_becomes_a_check_and_all_have_to_pass() -> None:
    found, _ = checks("HTTP_GET {\nurl {\npath /a\n}\nurl {\npath /b\n}\n}\nTCP_CHECK {\n}")

    assert [(one["type"], one.get("path")) for one in found] == [
        ("http", "/a"),
        ("http", "/b"),
        ("tcp", None),
    ]


def test_pace_is_taken_from_checker_server_and_service_in_this_order() -> None:
    around = "delay_loop 6\nconnect_timeout 2\nretry 4\nalpha"
    found, said = checks("delay_loop 7\nTCP_CHECK {\nconnect_timeout 3\n}", around)

    assert said == []
    assert found == [
        {"type": "tcp", "interval": 7, "timeout": 3, "rise": 1, "fall": 5}
        | {"retry_interval": 1, "initial": "down"}
    ]


@pytest.mark.parametrize(
    ("checker", "note"),
    [
        ("FILE_CHECK {\ntrack_file x\n}", "5: FILE_CHECK: a file here says up, down or"),
        ("BFD_CHECK {\nname x\n}", "5: BFD_CHECK: there is no BFD; the check is left out"),
        ("MISC_CHECK {\nmisc_path probe\n}", "6: misc_path: the program has to be named"),
        ("MISC_CHECK {\n}", "5: MISC_CHECK: has no misc_path; left out"),
        ("HTTP_GET {\nurl {\npath a\n}\n}", "5: HTTP_GET: path 'a' is not one"),
        ("HTTP_GET {\nurl {\nregex (?=a)\n}\n}", "5: HTTP_GET: regex '(?=a)' is not one"),
        ("DNS_CHECK {\ntype ANY\n}", "5: DNS_CHECK: record 'ANY' is none of"),
    ],
)
def test_a_checker_that_cannot_be_is_left_out_with_a_note(checker: str, note: str) -> None:
    found, said = checks(checker)

    assert found == []
    assert len(said) == 1
    assert said[0].startswith(note)


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        ("TCP_CHECK {\nbindto fe80::9\n}", "6: bindto: is no address of the backend's"),
        ("TCP_CHECK {\nbind_port 80\n}", "6: bind_port: probes are sent as this host's"),
        ("TCP_CHECK {\nconnect_ip 10.0.0.9\n}", "6: connect_ip: the backend itself is"),
        ("TCP_CHECK {\nretry many\n}", "6: retry: has no number; left out"),
        ("TCP_CHECK {\nconnect_timeout 0\n}", "6: connect_timeout: 0 is not in 0.01…3600"),
        ("TCP_CHECK {\nbogus 1\n}", "6: bogus: has no equivalent here; left out"),
        ("TCP_CHECK {\n}\nuthreshold 10", "7: uthreshold: connections are not counted"),
        ("TCP_CHECK {\n}\nnotify_up /bin/x", "7: notify_up: runs as nobody: name another"),
        ("TCP_CHECK {\n}\nnotify_up x", "7: notify_up: `command`: 'x' is not an absolute"),
        (
            "TCP_CHECK {\n}\nsmtp_alert",
            "7: smtp_alert: no mail is sent: global_defs has no",
        ),
        ("TCP_CHECK {\n}\nweight -3", "7: weight: -3 is not in 0…65535; left out"),
    ],
)
def test_a_line_without_equivalent_gets_a_note_and_the_rest_is_kept(
    setting: str, note: str
) -> None:
    found, said = checks(setting)

    assert [one["type"] for one in found] == ["tcp"]
    assert len(said) == 1
    assert said[0].startswith(note)


@pytest.mark.parametrize(
    ("body", "mode", "hash_", "weights", "noted"),
    [
        ("lvs_sched wrr\nlvs_method NAT", "nat", "flow", [3, 0], []),
        ("lb_algo rr\nlb_kind DR", "dr", "flow", [1, 0], []),
        ("lb_algo mh", "nat", "source", [3, 0], []),
        ("lb_algo mh\nmh-port", "nat", "flow", [3, 0], []),
        ("lb_algo sh", "nat", "source", [3, 0], []),
        ("lb_algo wlc", "nat", "flow", [3, 0], ["lb_algo"]),
        ("lb_algo best", "nat", "flow", [3, 0], ["lb_algo"]),
        ("persistence_timeout", "nat", "source", [3, 0], ["persistence_timeout"]),
    ],
)
def test_scheduler_method_and_persistence_are_taken(
    body: str, mode: str, hash_: str, weights: list[int], noted: list[str]
) -> None:
    servers = (
        "real_server 10.0.0.1 80 {\nweight 3\n}\nreal_server 10.0.0.2 80 {\nweight 0\n}"
    )
    one, said = service(f"{body}\n{servers}")

    assert (one.mode, one.hash, one.checks) == (mode, hash_, ())
    assert [backend.weight for backend in one.backends] == weights
    assert [note.split(": ")[1] for note in said] == noted


def test_a_method_of_the_real_servers_is_that_of_the_service() -> None:
    one, said = service("real_server 10.0.0.1 {\nlvs_method DR\n}")

    assert (one.mode, one.backends[0].port, said) == ("dr", 80, [])


def test_ports_that_dr_cannot_change_are_those_of_the_service() -> None:
    one, said = service("lb_kind DR\nreal_server 10.0.0.1 8080 {\n}")

    assert [backend.port for backend in one.backends] == [80]
    assert said == ["4: real_server: DR cannot change ports: 80 is taken rather than 8080"]


def test_two_servers_at_one_address_have_names_of_their_own() -> None:
    servers = "".join(f"real_server 10.0.0.1 {port} {{\n}}\n" for port in (81, 82, 81))
    one, said = service(servers)

    assert [backend.name for backend in one.backends] == ["10.0.0.1", "10.0.0.1-82"]
    assert said == ["7: real_server: 10.0.0.1:81 is there already; left out"]


@pytest.mark.parametrize(
    ("servers", "problem"),
    [
        ("real_server 2001:db8::1 80 {\n}", "both have to be of one family; left out"),
        ("real_server 127.0.0.1 80 {\n}", "is not an address that a host can have"),
        ("real_server 192.0.2.1 80 {\n}", "is the VIP itself"),
        ("real_server web1 80 {\n}", "has no address and port; left out"),
        ("real_server {\n}", "has no address and port; left out"),
        ("real_server 10.0.0.1 99999 {\n}", "port 99999 is not in 0…65535; left out"),
    ],
)
def test_a_real_server_that_cannot_be_is_left_out(servers: str, problem: str) -> None:
    one, said = service(f"{servers}\nreal_server 10.0.0.9 80 {{\n}}")

    assert [str(backend.address) for backend in one.backends] == ["10.0.0.9"]
    assert len(said) == 1
    assert problem in said[0]


def test_a_group_becomes_a_service_for_each_address() -> None:
    group = "virtual_server_group g {\n192.0.2.1-3 80\n192.0.2.8/31 81\n}\n"
    virtual = "virtual_server group g {\nprotocol TCP\nreal_server 10.0.0.1 80 {\n}\n}"
    result = imported(group + virtual)

    assert [one.where for one in services(result)] == [
        "192.0.2.1:80/tcp",
        "192.0.2.2:80/tcp",
        "192.0.2.3:80/tcp",
        "192.0.2.8:81/tcp",
        "192.0.2.9:81/tcp",
    ]


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("fwmark 3", "packets are known by address and port, not by marks"),
        ("group nobody", "there is no such group"),
        ("", "has no address"),
        ("www.example 80", "'www.example' is not an address or a range of them"),
        ("192.0.2.2 http", "invalid literal"),
        ("192.0.2.2-300 80", "is not an address or a range of them"),
        ("192.0.2.9-2 80", "ends before it begins"),
        ("10.0.0.0/8 80", "has 16777216 addresses, more than 1024"),
        ("fe80::1 80", "is an address of one link only"),
        ("192.0.2.1 80", "192.0.2.1:80/tcp is a virtual server already"),
    ],
)
def test_a_virtual_server_that_cannot_be_is_left_out(head: str, problem: str) -> None:
    good = "virtual_server 192.0.2.1 80 {\nprotocol TCP\n}\n"
    result = imported(f"{good}virtual_server {head} {{\nprotocol TCP\n}}")

    assert [one.where for one in services(result)] == ["192.0.2.1:80/tcp"]
    assert [problem in note for note in notes(result)] == [True]


def test_without_a_protocol_it_is_udp_as_in_keepalived() -> None:
    result = imported("virtual_server 192.0.2.1 53 {\nlb_kind DR\n}")

    assert [one.where for one in services(result)] == ["192.0.2.1:53/udp"]
    assert notes(result) == [
        "1: virtual_server: has no protocol, which keepalived takes for UDP"
    ]


def test_more_services_than_usual_get_limits() -> None:
    group = "virtual_server_group g {\n10.9.0.0-10.9.3.255 80\n10.9.4.1 80\n}\n"
    result = imported(group + "virtual_server group g {\nprotocol TCP\nlb_kind DR\n}")

    assert result.guidewayd is not None
    assert result.guidewayd["limits"] == {"services": 1027, "slots": 16_777_216}
    assert len(services(result).services) == 1025


def test_an_instance_is_taken_with_all_its_settings() -> None:
    body = """
    state BACKUP
    priority 120
    advert_int 0.5
    preempt_delay 10
    down_timer_adverts 4
    mcast_src_ip 192.0.2.9
    garp_master_delay 2
    garp_master_repeat 3
    garp_master_refresh 30
    garp_master_refresh_repeat 2
    """
    one, said = router(body + IPV4, "global_defs {\nvrrp_version 3\n}")

    assert said == []
    assert one == {
        "name": "a",
        "interface": "eth0",
        "vrid": 7,
        "priority": 120,
        "interval": 0.5,
        "preempt_delay": 10,
        "down_adverts": 4,
        "source": "192.0.2.9",
        "addresses": ["192.0.2.1/24"],
        "announce": {"repeat": 3, "delay": 2, "refresh": 30, "refresh_repeat": 2},
    }


def test_an_instance_speaks_version_2_unless_it_says_so() -> None:
    secret = "authentication {\nauth_type PASS\nauth_pass 123456789\n}\n"
    old, said = router(secret + IPV4)
    new, more = router(f"version 3\n{secret}{IPV4}")

    assert (old["version"], old["password"], said) == (2, "12345678", [])
    assert "version" not in new
    assert "password" not in new
    assert more == ["6: authentication: version 3 has no authentication; left out"]


def test_version_2_counts_whole_seconds() -> None:
    one, said = router(f"advert_int 1.6\n{IPV4}")

    assert one["interval"] == 2
    assert len(said) == 1


def test_over_ipv6_a_link_local_address_goes_first() -> None:
    one, said = router("virtual_ipaddress {\n2001:db8::1\n192.0.2.1/24\n}")

    assert one["addresses"] == ["fe80::7/64", "2001:db8::1/128"]
    assert one["unadvertised"] == ["192.0.2.1/24"]
    assert len(said) == 2


def test_peers_over_ipv6_are_heard_with_the_ttl_that_keepalived_sends() -> None:
    peers = "unicast_src_ip 2001:db8::2\nunicast_peer {\n2001:db8::3\n}\n"
    one, _ = router(peers + "virtual_ipaddress {\nfe80::1/64\n}")

    assert (one["peers"], one["min_ttl"]) == (["2001:db8::3"], 64)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('"killall -0 haproxy"', {"type": "process", "process": "haproxy"}),
        ('"/usr/bin/pgrep -x nginx"', {"type": "process", "process": "nginx"}),
        ("/bin/check", {"type": "script", "command": ["/bin/check"]}),
        ('"/bin/check -a b"', {"type": "script", "command": ["/bin/check", "-a", "b"]}),
        ('"check b"', {"type": "script", "command": ["/bin/sh", "-c", "check b"]}),
    ],
)
def test_a_script_becomes_a_check(script: str, expected: dict[str, Any]) -> None:
    before = f"vrrp_script s {{\nscript {script}\ntimeout 3\nweight 5\n}}"
    text = f"{before}\nvrrp_instance a {{\ninterface eth0\nvirtual_router_id 7\n{IPV4}\n"
    result = imported(text + "track_script {\ns\n}\n}")

    assert result.vrrpd is not None
    accepted("guideway-vrrpd", result.vrrpd, "test")
    timeout = {"timeout": 3} if expected["type"] == "script" else {}
    assert result.vrrpd["checks"] == [{"name": "s", **expected, **timeout}]
    assert result.vrrpd["instances"][0]["track"] == [{"check": "s", "weight": 5}]


def test_scripts_that_nobody_tracks_are_not_taken() -> None:
    result = imported(
        "vrrp_script s {\nscript /bin/check\n}\n"
        f"vrrp_instance a {{\ninterface eth0\nvirtual_router_id 7\n{IPV4}\n}}"
    )

    assert result.vrrpd is not None
    assert "checks" not in result.vrrpd


@pytest.mark.parametrize(
    ("track", "note"),
    [
        ("track_script {\nnobody\n}", "nobody: is not defined; left out"),
        ("track_interface {\neth1 weight 5 reverse\n}", "eth1: what fails cannot count"),
        ("track_interface {\neth1 weight 999\n}", "eth1: weights are in -253…253: 253"),
        ("track_interface {\neth1 weight x\n}", "eth1: 'x' is no weight; left out"),
        ("track_interface {\n/\n}", "/: Expected `str` matching regex"),
        ("use_vmac_addr", "use_vmac_addr: addresses of other interfaces are there"),
        ("vmac_xmit_base", "vmac_xmit_base: goes with use_vmac only; left out"),
        ("priority 255\nuse_vmac", "use_vmac: does not go with priority 255; left out"),
        ("nopreempt\npreempt_delay 5", "preempt_delay: does not go with nopreempt"),
        ("notify x", "notify: `command`: 'x' is not an absolute path"),
        ("notify_master /bin/x", "notify_master: there is `notify` alone, whose third"),
    ],
)
def test_what_an_instance_cannot_have_gets_a_note(track: str, note: str) -> None:
    _, said = router(f"{track}\n{IPV4}")

    assert [note in one for one in said if "is not defined" in one or note in one]
    assert any(note in one for one in said)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (f"virtual_router_id 7\n{IPV4}", "needs interface, virtual_router_id and"),
        (
            f"interface eth0\nvirtual_router_id 256\n{IPV4}",
            "needs interface, virtual_router",
        ),
        ("interface eth0\nvirtual_router_id 7", "needs interface, virtual_router_id and"),
        (f"interface a/b\nvirtual_router_id 7\n{IPV4}", "Expected `str` matching regex"),
        (
            f"interface eth0\nvirtual_router_id 7\nunicast_peer {{\nx\n}}\n{IPV4}",
            "'x' in `peers` is not an address; left out",
        ),
    ],
)
def test_an_instance_that_cannot_be_is_left_out(body: str, problem: str) -> None:
    good = f"vrrp_instance a {{\ninterface eth0\nvirtual_router_id 9\n{IPV4}\n}}\n"
    result = imported(f"{good}vrrp_instance b {{\n{body}\n}}")

    assert result.vrrpd is not None
    assert [one["name"] for one in result.vrrpd["instances"]] == ["a"]
    assert any(problem in note for note in notes(result))


def test_a_group_of_one_is_left_out() -> None:
    text = f"vrrp_instance a {{\ninterface eth0\nvirtual_router_id 9\n{IPV4}\n}}\n"
    result = imported(text + "vrrp_sync_group g {\ngroup {\na\nb\n}\n}")

    assert result.vrrpd is not None
    assert "sync_groups" not in result.vrrpd
    assert notes(result) == [
        "8: vrrp_sync_group: b is no instance, or in a group already; left out",
        "8: vrrp_sync_group: has less than two instances; left out",
    ]


def test_interfaces_are_those_of_the_instances_without_their_vlans() -> None:
    text = (
        "vrrp_instance a {\ninterface bond0.7\nvirtual_router_id 9\nvirtual_ipaddress {\n"
    )
    more = "192.0.2.1/24 dev eth3\n}\n}\nvirtual_server 192.0.2.1 80 {\nprotocol TCP\n}"
    result = import_keepalived("k.conf", text + more, lambda *_: [])

    assert result.guidewayd is not None
    assert result.guidewayd["interfaces"] == ["bond0", "eth3"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "k.conf: is empty: there is nothing to import"),
        ("! only this", "k.conf: is empty: there is nothing to import"),
        (
            "global_defs {\n}",
            "k.conf: has no virtual_server and no vrrp_instance to import",
        ),
        (
            "virtual_server fwmark 1 {\n}",
            (
                "k.conf: has no virtual_server and no vrrp_instance to import; k.conf:1: "
                "fwmark: packets are known by address and port, not by marks; the virtual "
                "server is left out"
            ),
        ),
        (
            "virtual_server 192.0.2.1 80 {\nprotocol TCP\n}",
            "k.conf: says nothing of interfaces: name those of guidewayd by --interface",
        ),
    ],
)
def test_where_there_is_nothing_to_import_it_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(RefusedError) as raised:
        import_keepalived("k.conf", text, lambda *_: [])

    assert str(raised.value) == sentence


def test_a_note_does_nothing_to_a_terminal() -> None:
    result = imported(
        f'{"global_defs {"}\n"\\E[2J" 1\n}}\nvirtual_server 192.0.2.1 80 {{\n}}'
    )

    assert any("\\x1b[2J" in note for note in notes(result))
    assert all(note.isprintable() for note in notes(result))


WORDS = st.sampled_from(
    [
        word
        for site in SITES
        for word in (DATA / site / "keepalived.conf").read_text().split()
    ]
)
SITE_TEXTS = [(DATA / site / "keepalived.conf").read_text() for site in SITES]


@given(
    st.one_of(
        *(damaged_texts(text) for text in SITE_TEXTS),
        st.lists(st.one_of(WORDS, st.sampled_from("\n {}\"'!#@$~\\"))).map(" ".join),
        st.text(max_size=300),
        st.binary(max_size=300).map(lambda data: Files().decoded("k.conf", data)),
    )
)
def test_any_text_is_imported_or_refused_in_a_sentence(text: str) -> None:
    result, said = outcome(text)

    assert said.isprintable()
    if result is None:
        return
    assert [note for note in notes(result) if not note.isprintable()] == []
    if result.guidewayd is not None:
        accepted("guidewayd", result.guidewayd, "test")


def outcome(text: str) -> tuple[Imported | None, str]:
    """Return what a text becomes, and the sentence if something is refused.

    What two instances share, guideway-vrrpd looks at when all are together.
    """
    result = None
    try:
        result = imported(text)
        if result.vrrpd is not None:
            accepted("guideway-vrrpd", result.vrrpd, "test")
    except (RefusedError, ValueError) as error:
        return result, str(error)
    return result, ""


def test_a_quorum_and_a_sorry_server_become_the_policy_of_the_pool() -> None:
    server = "real_server 10.0.0.1 8080 { }"
    body = f"quorum 3\nhysteresis 1\nsorry_server 10.0.0.9 81\ninhibit_on_failure\n{server}"

    found, said = service(body)

    assert found.pool == PoolPolicy(
        quorum=3,
        hysteresis=1,
        sorry_server=SorryServer(IPv4Address("10.0.0.9"), 81),
        keep_flows=True,
    )
    assert said == []


@pytest.mark.parametrize(
    ("body", "pool", "note"),
    [
        ("quorum 0", PoolPolicy(), "quorum: 0 is not in 1…4294967295; left out"),
        ("quorum 2\nhysteresis 2", PoolPolicy(2, 1), "hysteresis: has to be below the"),
        ("sorry_server 127.0.0.1 80", PoolPolicy(), "sorry_server: 127.0.0.1 is not an"),
        ("sorry_server web", PoolPolicy(), "sorry_server: has no address and port"),
        (
            "lb_kind DR\nsorry_server 10.0.0.9 81",
            PoolPolicy(sorry_server=SorryServer(IPv4Address("10.0.0.9"), 80)),
            "sorry_server: DR cannot change ports: 80 is taken rather than 81",
        ),
        (
            "real_server 10.0.0.1 80 { inhibit_on_failure }\nreal_server 10.0.0.2 80 { }",
            PoolPolicy(keep_flows=True),
            "inhibit_on_failure: all backends of a service are treated alike",
        ),
    ],
)
def test_what_does_not_fit_of_a_policy_is_noted(body, pool, note) -> None:
    found, (said,) = service(body)

    assert found.pool == pool
    assert note in said
