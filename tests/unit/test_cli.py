"""The command line: changes, and tables for people."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.checks import TcpCheck
from control.cli.tables import age, size
from control.desired import DesiredState
from control.model import BackendState, Mode, Protocol
from tests.support.command_line import ADD_WEB, CommandLine, command_line
from tests.support.running_api import BACKEND_MAC


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


def test_a_service_is_added_as_it_is_said(cli: CommandLine) -> None:
    assert cli.said(ADD_WEB) == "service web is added at 192.0.2.10:80/tcp\n"

    web = cli.node.store.state.service("web")
    assert (str(web.vip), web.port, web.protocol) == ("192.0.2.10", 80, Protocol.TCP)
    assert (web.mode, web.checks, web.ring_size) == (Mode.DR, (TcpCheck(),), None)
    assert [(b.name, b.identity, b.weight) for b in web.backends] == [
        ("a", "10.0.0.1:80", 1),
        ("b", "10.0.0.2:80", 3),
    ]


def test_a_service_is_added_with_all_options(cli: CommandLine) -> None:
    line = (
        "service add dns --vip 192.0.2.10 --port 53 --protocol udp --mode nat "
        "--backend 10.0.0.1:5353 --ring-size 4093 --check-interval 0.5 --check-timeout 2 "
        "--check-port 53 --rise 1 --fall 5"
    )
    cli.said(line)

    dns = cli.node.store.state.service("dns")
    assert (dns.protocol, dns.mode, dns.ring_size) == (Protocol.UDP, Mode.NAT, 4093)
    assert dns.checks == (TcpCheck(interval=0.5, timeout=2, rise=1, fall=5, port=53),)
    assert dns.backends[0].identity == "10.0.0.1:5353"


def test_a_service_of_ipv6_is_added_and_shown(cli: CommandLine) -> None:
    line = (
        "service add web6 --vip 2001:db8::10 --port 80 --mode nat "
        "--backend 2001:db8::1 --backend [2001:db8::2] "
        "--backend [2001:DB8::3]:8080,weight=2"
    )
    assert cli.said(line) == "service web6 is added at [2001:db8::10]:80/tcp\n"

    web = cli.node.store.state.service("web6")
    assert [(b.name, b.identity, b.weight) for b in web.backends] == [
        ("2001:db8::1", "[2001:db8::1]:80", 1),
        ("2001:db8::2", "[2001:db8::2]:80", 1),
        ("2001:db8::3", "[2001:db8::3]:8080", 2),
    ]
    assert cli.rows("service list")[1].startswith("web6 [2001:db8::10]:80/tcp nat")
    assert cli.rows("backend list web6")[3].startswith("2001:db8::3 [2001:db8::3]:8080 2")


def test_an_ipv6_backend_is_added_by_its_address(cli: CommandLine) -> None:
    cli.run("service add web6 --vip 2001:db8::10 --port 80 --mode dr")

    said = cli.said("backend add web6 2001:db8::1")

    assert said == "2001:db8::1 is added to web6\n"
    assert cli.node.store.state.service("web6").backend("2001:db8::1").port == 80


def test_a_shown_backend_says_why_it_is_down_and_what_its_probes_met(
    cli: CommandLine,
) -> None:
    cli.run(ADD_WEB)
    cli.node.down["a"] = "no answer"

    lines = cli.rows("backend show web a")

    assert lines[:5] == [
        "backend: a of web",
        "address: 10.0.0.1:80",
        "weight: 1",
        "state: active",
        "MAC: ?",
    ]
    assert lines[5].startswith("health: down since 2")
    assert lines[6] == "gets: nothing: no answer"
    assert lines[7].startswith("tcp every 1 s: down since 2")
    assert lines[7].endswith(
        "; 1 of 2 results against it; flapping: up again at the earliest in 20 s"
    )
    assert lines[8] == "PROBED TOOK RESULT"
    assert lines[9].endswith("ago 1.0 ms no answer")
    assert lines[10].endswith("ago 2.1 ms no result: Too many open files")


def test_a_backend_that_is_not_there_cannot_be_shown(cli: CommandLine) -> None:
    cli.run(ADD_WEB)

    result = cli.run("backend show web x")

    assert result.exit_code == 1
    assert "x" in result.stderr


def test_a_service_may_go_unchecked(cli: CommandLine) -> None:
    cli.said(ADD_WEB + " --no-check")

    assert cli.node.store.state.service("web").checks == ()


def test_a_service_is_changed(cli: CommandLine) -> None:
    cli.run(ADD_WEB)

    assert cli.said("service change web --fall 5 --mode nat") == "service web is changed\n"

    web = cli.node.store.state.service("web")
    assert (web.mode, web.checks) == (Mode.NAT, (TcpCheck(fall=5),))


def test_a_service_is_removed(cli: CommandLine) -> None:
    cli.run(ADD_WEB)

    assert cli.said("service remove web") == "service web is gone\n"
    assert cli.node.store.state == DesiredState()


def test_services_are_listed(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.node.down["a"] = "no answer"

    assert cli.rows("service list") == [
        "SERVICE ADDRESS MODE BACKENDS CHECK SLOTS",
        "web 192.0.2.10:80/tcp dr 1 of 2 serve tcp every 1 s 4093",
    ]


def test_a_service_is_shown_with_its_backends(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.node.down["a"] = "health check: no answer within 1 s"

    shown = cli.said("service show web")

    assert "slots:     4093 (automatic)" in shown
    assert "b        10.0.0.2:80       3  100.0%  up" in shown
    assert BACKEND_MAC in shown
    assert shown.endswith("\na gets no traffic: health check: no answer within 1 s\n")


def test_a_backend_is_shown_with_what_is_left_of_its_drain(cli: CommandLine) -> None:
    cli.said(ADD_WEB)
    cli.said("backend drain web a --deadline 2h")

    assert re.search(r"state: +draining 1h59m left", cli.said("backend show web a"))


def test_backends_come_change_and_go(cli: CommandLine) -> None:
    cli.run(ADD_WEB)

    def backend(name: str) -> tuple[int, BackendState]:
        found = cli.node.store.state.service("web").backend(name)
        return found.weight, found.state

    assert cli.said("backend add web 10.0.0.3 --weight 2") == "10.0.0.3 is added to web\n"
    assert backend("10.0.0.3") == (2, BackendState.ACTIVE)

    answer = cli.said("backend set web 10.0.0.3 --weight 0 --state active")
    assert answer == "10.0.0.3 has weight 0 and state active in web now\n"
    assert backend("10.0.0.3") == (0, BackendState.ACTIVE)

    answer = cli.said("backend set web 10.0.0.3 --state disabled")
    assert answer == "10.0.0.3 has state disabled in web now\n"
    assert backend("10.0.0.3") == (0, BackendState.DISABLED)

    answer = cli.said("backend drain web 10.0.0.3")
    assert answer == "10.0.0.3 gets no new flows of web any more; those that it has stay\n"
    assert backend("10.0.0.3") == (0, BackendState.DRAINING)

    assert cli.said("backend remove web 10.0.0.3") == "10.0.0.3 serves web no more\n"
    assert len(cli.node.store.state.service("web").backends) == 2


def test_a_backend_has_a_port_and_a_name_of_its_own_in_nat(cli: CommandLine) -> None:
    cli.run("service add web --vip 192.0.2.10 --port 80 --mode nat")

    assert (
        cli.said("backend add web 10.0.0.3 --port 8080 --name c") == "c is added to web\n"
    )
    assert cli.node.store.state.service("web").backend("c").identity == "10.0.0.3:8080"


@pytest.mark.parametrize(
    "line",
    [
        "10.0.0.3:8080,weight=2,name=c,zone=r1",
        "10.0.0.3:8080 --weight 2 --name c --zone r1",
        "10.0.0.3,weight=2,zone=r1 --port 8080 --name c",
    ],
)
def test_a_backend_is_added_in_either_spelling(cli: CommandLine, line: str) -> None:
    cli.run("service add web --vip 192.0.2.10 --port 80 --mode nat")

    assert cli.said(f"backend add web {line}") == "c is added to web\n"

    added = cli.node.store.state.service("web").backend("c")
    assert (added.identity, added.weight, added.zone) == ("10.0.0.3:8080", 2, "r1")


def test_an_ipv6_backend_is_added_with_a_port(cli: CommandLine) -> None:
    cli.run("service add web --vip 2001:db8::10 --port 80 --mode nat")

    assert cli.said("backend add web [2001:db8::1]:8080") == "2001:db8::1 is added to web\n"

    (added,) = cli.node.store.state.service("web").backends
    assert added.identity == "[2001:db8::1]:8080"


def test_a_backend_that_starts_slowly_is_listed_with_the_part_of_its_weight(
    cli: CommandLine,
) -> None:
    cli.run(ADD_WEB)
    cli.node.ramps["b"] = 0.4

    a, b = cli.rows("backend list web")[1:3]

    assert a.split()[2:4] == ["1", "25.0%"]
    assert "40% of 3 75.0%" in b
    assert "weight: 40% of 3" in cli.rows("backend show web b")


def test_backends_of_one_service_or_of_all_are_listed(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.run("service add mail --vip 192.0.2.10 --port 25 --mode dr --backend 10.0.0.9")

    assert cli.rows("backend list mail") == [
        "BACKEND ADDRESS WEIGHT SHARE HEALTH STATE MAC",
        f"10.0.0.9 10.0.0.9:25 1 100.0% up active {BACKEND_MAC}",
    ]
    assert cli.rows("backend list") == [
        "SERVICE BACKEND ADDRESS WEIGHT SHARE HEALTH STATE MAC",
        f"web a 10.0.0.1:80 1 25.0% up active {BACKEND_MAC}",
        f"web b 10.0.0.2:80 3 75.0% up active {BACKEND_MAC}",
        f"mail 10.0.0.9 10.0.0.9:25 1 100.0% up active {BACKEND_MAC}",
    ]


def test_statistics_show_the_reasons_that_happened(cli: CommandLine) -> None:
    cli.run(ADD_WEB)

    table = cli.rows("stats")

    assert table == [
        "REASON VERDICT PACKETS BYTES NEW FLOWS MEANING",
        "forwarded_dr forward 100 6.4 kB 5 sent to a backend",
        "SERVICE PACKETS BYTES NEW FLOWS",
        "web 100 6.4 kB 5",
        "SERVICE BACKEND PACKETS BYTES NEW FLOWS",
        "web a 100 6.4 kB 5",
        "web b 100 6.4 kB 5",
    ]


def test_statistics_show_every_reason_if_asked(cli: CommandLine) -> None:
    assert cli.rows("stats --reasons --all") == [
        "REASON VERDICT PACKETS BYTES NEW FLOWS MEANING",
        "forwarded_dr forward 100 6.4 kB 5 sent to a backend",
        "malformed drop 0 0 B 0 cut short",
    ]


def test_the_status_tells_what_to_mend(cli: CommandLine) -> None:
    cli.node.warnings = ("eth0 runs in generic mode, which is slow",)

    shown = cli.said("status")

    assert "interfaces:     eth0 (native)" in shown
    assert "VLANs:          trunk (eth0, 802.1ad 7, 802.1Q 10)" in shown
    assert "desired state:  version 0; the kernel has it" in shown
    assert "warning: eth0 runs in generic mode, which is slow" in shown


def test_what_the_daemon_says_is_no_markup(cli: CommandLine) -> None:
    cli.run("service add :cat: --vip 192.0.2.10 --port 80 --mode dr --backend 10.0.0.1")
    cli.node.down["10.0.0.1"] = "[red]down[/red] :dog: [link=x]"

    shown = cli.said("service show :cat:")

    assert "service:   :cat:" in shown
    assert "[red]down[/red] :dog: [link=x]" in shown


def test_a_pipe_gets_whole_lines_without_colours(cli: CommandLine) -> None:
    cli.run(ADD_WEB)
    cli.node.down["a"] = "a reason of many words, " * 20

    shown = cli.said("backend list")

    assert cli.node.down["a"].strip() in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (59.9, "59s"),
        (187, "3m07s"),
        (5 * 3600 + 180, "5h03m"),
        (2 * 86400 + 4 * 3600, "2d04h"),
    ],
)
def test_an_age_has_two_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (1_234_567_890, "1.23 GB"),
        (2**64 - 1, "1.84e+04 PB"),
    ],
)
def test_a_size_has_three_digits(count: int, text: str) -> None:
    assert size(count) == text


def test_zones_are_set_and_shown_where_there_are_some(cli: CommandLine) -> None:
    cli.said(ADD_WEB)
    assert "ZONE" not in cli.said("backend list web")

    answer = cli.said("backend set web a --zone rack1")

    assert answer == "a has zone rack1 in web now\n"
    header, a, b = cli.rows("backend list web")[:3]
    assert "ZONE" in header.split()
    assert ("rack1" in a.split(), "rack1" in b.split()) == (True, False)
    cli.said(["backend", "set", "web", "a", "--zone", ""])
    assert "ZONE" not in cli.said("backend list web")
