"""What `guideway vrrp status` shows of each virtual router."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import msgspec
from rich.console import Console

from control.cli.tables import vrrp_view
from vrrp.errors import Fault, Oddity
from vrrp.machine import State
from vrrp.status import Status

BACKUP = Status(
    State.BACKUP,
    since=1000.0,
    priority=100,
    active=IPv4Address("10.0.0.2"),
    reason="10.0.0.2 is superior, with priority 150",
)


def shown(status: Status, *, maintenance: bool = False) -> str:
    """Return the line of an instance, as a terminal that is wide enough shows it."""
    instance: dict[str, Any] = json.loads(msgspec.json.encode(status, enc_hook=str))
    plain = {"maintenance": maintenance, "instances": {"front": instance}}
    console = Console(width=400, color_system=None)
    with console.capture() as capture:
        console.print(vrrp_view(plain, now=1007.0))
    return " ".join(capture.get().splitlines()[1].split())


def test_it_is_said_what_a_router_is_since_when_and_why() -> None:
    why = "10.0.0.2 is superior, with priority 150"

    assert shown(BACKUP) == f"front backup 7s ago 10.0.0.2 100 {why}"


def test_what_goes_wrong_is_said_with_numbers_the_most_frequent_first() -> None:
    ailing = replace(
        BACKUP,
        stands_back=True,
        virtual_mac="00:00:5e:00:01:33",
        fenced=2,
        noticed={Oddity.OWNER: 5},
        discarded={Fault.TTL: 1, Fault.VRID: 33},
    )

    assert shown(ailing).endswith(
        "with priority 150; leaves the Active alone; virtual MAC 00:00:5e:00:01:33; "
        "late itself, so gave up: 2; odd: 5 (owner); discarded: 33 (vrid), 1 (ttl)"
    )


def test_who_waits_for_its_sync_group_says_so() -> None:
    waiting = replace(BACKUP, active=None, reason="it takes part", waits=True)

    assert shown(waiting) == (
        "front backup 7s ago nobody 100 it takes part; "
        "would take over, but others of its sync group hear an Active"
    )


def test_who_rests_does_not_know_who_is_active_but_why_it_rests() -> None:
    resting = replace(BACKUP, state=State.INITIALIZE, active=None, problem="eth0 is down")

    assert shown(resting) == "front initialize 7s ago unknown 100 eth0 is down"
