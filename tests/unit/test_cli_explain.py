"""``guideway explain``."""

import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from control.explanation import Question
from control.model import Protocol
from control.reasons import described
from dataplane.records import SERVICE_VLAN, Tag
from tests.support.command_line import CommandLine, command_line
from tests.support.explained import SUMMARY, WHY, dropped, passed, reason

FLOW = "explain tcp 198.51.100.7:40000 192.0.2.1:80"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


def test_it_says_where_a_packet_goes_and_why_and_what_is_rewritten(
    cli: CommandLine,
) -> None:
    told = described(reason("forwarded_nat"))

    assert cli.rows(FLOW) == [
        SUMMARY,
        f"reason: forwarded_nat: {told.meaning}",
        f"chosen by: {WHY}",
        "ring: 4093 slots, in transition",
        f"to do: {told.remedy}",
        "HEADER IN BY eth0 OUT BY eth1",
        "source MAC 02:00:00:00:00:00 02:00:00:00:00:03",
        "destination MAC 02:00:00:00:00:01 02:00:00:00:00:b2",
        "VLANs none none",
        "source 198.51.100.7:40000 198.51.100.7:40000",
        "destination 192.0.2.1:80 10.0.0.12:8080",
        "TTL 64 63",
    ]


def test_it_says_why_a_packet_is_dropped(cli: CommandLine) -> None:
    cli.node.answer = dropped
    told = described(reason("no_backend"))

    rows = cli.rows(FLOW)

    assert rows[0] == "dropped: the service has no backend that can serve (service web)"
    assert rows[1:4] == [
        f"reason: no_backend: {told.meaning}",
        f"to do: {told.remedy}",
        "HEADER IN BY eth0 DROPPED",
    ]
    assert rows[-1] == "TTL 64"


def test_a_packet_to_no_service_is_no_error(cli: CommandLine) -> None:
    cli.node.answer = passed

    rows = cli.rows(FLOW)

    assert rows[0] == "passed to the host: no service has 192.0.2.1:80/tcp"
    assert "HEADER IN BY eth0 TO THE HOST" in rows


def test_its_json_keeps_its_shape(cli: CommandLine) -> None:
    told = described(reason("forwarded_nat"))
    received = {
        "source_mac": "02:00:00:00:00:00",
        "destination_mac": "02:00:00:00:00:01",
        "vlans": ["802.1ad 7", "802.1Q 10"],
        "source": "198.51.100.7",
        "source_port": 40000,
        "destination": "192.0.2.1",
        "destination_port": 80,
        "ttl": 64,
    }

    said = json.loads(cli.said(f"{FLOW} --vlan 802.1ad:7 --vlan 10 -o json"))

    assert said == {
        "summary": SUMMARY,
        "verdict": "forward",
        "reason": "forwarded_nat",
        "meaning": told.meaning,
        "remedy": told.remedy,
        "interface": "eth0",
        "out_interface": "eth1",
        "service": "web",
        "mode": "nat",
        "backend": {"name": "b2", "address": "10.0.0.12", "port": 8080},
        "rule": "now",
        "why": WHY,
        "slot": {
            "number": 7,
            "ring_size": 4093,
            "now": "b2",
            "before": "b1",
            "in_transition": True,
        },
        "ring_in_transition": True,
        "received": received,
        "left": {
            **received,
            "source_mac": "02:00:00:00:00:03",
            "destination_mac": "02:00:00:00:00:b2",
            "destination": "10.0.0.12",
            "destination_port": 8080,
            "ttl": 63,
        },
    }


def test_what_there_is_not_is_null_in_json(cli: CommandLine) -> None:
    cli.node.answer = passed
    nothing = ("out_interface", "service", "mode", "backend", "rule", "slot")

    said = json.loads(cli.said(f"{FLOW} -o json"))

    assert {name: said[name] for name in nothing} == dict.fromkeys(nothing)
    assert said["left"] == said["received"]
    cli.node.answer = dropped
    assert json.loads(cli.said(f"{FLOW} -o json"))["left"] is None


@pytest.mark.parametrize(
    ("line", "question"),
    [
        (
            "explain udp [2001:db8::7]:5353 [2001:db8::10]:53",
            Question(
                Protocol.UDP,
                ip_address("2001:db8::7"),
                5353,
                ip_address("2001:db8::10"),
                53,
            ),
        ),
        (
            f"{FLOW} --established --interface eth1 --vlan 802.1AD:7 --vlan 802.1Q:10",
            Question(
                Protocol.TCP,
                ip_address("198.51.100.7"),
                40000,
                ip_address("192.0.2.1"),
                80,
                "eth1",
                is_established=True,
                tags=(Tag(7, SERVICE_VLAN), Tag(10)),
            ),
        ),
    ],
)
def test_the_packet_that_was_named_is_asked_about(
    cli: CommandLine, line: str, question: Question
) -> None:
    cli.said(line)

    assert cli.node.asked == [question]


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        (
            "explain tcp 198.51.100.7 192.0.2.1:80",
            2,
            "'198.51.100.7' has no port: write it ",
        ),
        (
            "explain tcp 2001:db8::7:40000 [2001:db8::10]:80",
            2,
            "'2001:db8::7:40000' has no port: write it like [2001:db8::7:40000]:80",
        ),
        ("explain tcp 198.51.100.7:0 192.0.2.1:80", 2, "0 is not in the range 1<=x<=65535"),
        (
            "explain icmp 198.51.100.7:1 192.0.2.1:80",
            2,
            "'icmp' is not one of 'tcp', 'udp'",
        ),
        (f"{FLOW} --vlan 4095", 2, "4095 is not in the range 1<=x<=4094"),
        (f"{FLOW} --vlan q:5", 2, "'q' is neither 802.1Q nor 802.1ad"),
        ("explain tcp nobody:1 192.0.2.1:80", 1, "source: 'nobody' is not an IP address"),
        (
            "explain tcp 198.51.100.7:1 [2001:db8::1]:80",
            1,
            "flow: 198.51.100.7 is IPv4, and",
        ),
        (f"{FLOW} --vlan 1 --vlan 2 --vlan 3", 1, "VLANs: 3 tags are more than 2"),
        (f"{FLOW.replace('tcp', 'udp')} --established", 1, "established: udp has no"),
    ],
)
def test_what_is_no_packet_gets_one_sentence(
    cli: CommandLine, line: str, code: int, sentence: str
) -> None:
    result = cli.run(line)

    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr
    assert cli.node.asked == []
