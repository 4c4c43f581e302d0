"""What was said of a packet: as JSON, and as a table for people."""

from typing import TypedDict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from control.addresses import with_port
from control.api.v1 import guideway_pb2 as pb
from control.cli.plain import spelled

_COLOURS = {"forward": "green", "drop": "red"}


class HeadersPlain(TypedDict):
    """The headers of a packet."""

    source_mac: str
    destination_mac: str
    vlans: list[str]  # the outer one first: "802.1ad 7", "802.1Q 10"
    source: str
    source_port: int
    destination: str
    destination_port: int
    ttl: int  # or hop limit


class SlotPlain(TypedDict):
    """The slot of a flow."""

    number: int  # from 0
    ring_size: int
    now: str | None  # backend that gets new flows; null: nobody
    before: str | None  # backend that keeps flows from before; null: nobody
    in_transition: bool


class ChosenPlain(TypedDict):
    """The backend that a packet goes to."""

    name: str
    address: str
    port: int


class ExplanationPlain(TypedDict):
    """The answer of ``explain``."""

    summary: str
    verdict: str  # "forward", "pass" or "drop"
    reason: str
    meaning: str
    remedy: str  # what to do about it
    interface: str
    out_interface: str | None  # null: it is not sent
    service: str | None  # null: it belongs to none
    mode: str | None  # "dr" or "nat"
    backend: ChosenPlain | None  # null: it goes to none
    rule: str | None  # "slot", "record", "before" or "now"; null: none was asked
    why: str
    slot: SlotPlain | None  # null: it was not looked for
    ring_in_transition: bool
    received: HeadersPlain
    left: HeadersPlain | None  # null: dropped


def explanation_plain(explanation: pb.Explanation) -> ExplanationPlain:
    """Return what was said of a packet."""
    chosen = explanation.backend
    slot = explanation.slot
    return {
        "summary": explanation.summary,
        "verdict": spelled(pb.Verdict, explanation.verdict),
        "reason": explanation.reason,
        "meaning": explanation.meaning,
        "remedy": explanation.remedy,
        "interface": explanation.interface,
        "out_interface": explanation.out_interface or None,
        "service": explanation.service or None,
        "mode": spelled(pb.Mode, explanation.mode) if explanation.mode else None,
        "backend": (
            {"name": chosen.name, "address": chosen.address, "port": chosen.port}
            if explanation.HasField("backend")
            else None
        ),
        "rule": spelled(pb.Rule, explanation.rule) if explanation.rule else None,
        "why": explanation.why,
        "slot": (
            {
                "number": slot.number,
                "ring_size": slot.ring_size,
                "now": slot.now or None,
                "before": slot.before or None,
                "in_transition": slot.in_transition,
            }
            if explanation.HasField("slot")
            else None
        ),
        "ring_in_transition": explanation.ring_in_transition,
        "received": _headers_plain(explanation.received),
        "left": (
            _headers_plain(explanation.left) if explanation.HasField("left") else None
        ),
    }


def explanation_view(plain: ExplanationPlain) -> RenderableType:
    """Return the answer in a sentence, then why, then what of the packet is rewritten."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(plain):
        facts.add_row(Text(f"{name}:"), Text(value))
    summary = Text(plain["summary"], _COLOURS.get(plain["verdict"], ""))
    return Group(summary, Text(), facts, Text(), _rewritten(plain))


def _facts(plain: ExplanationPlain) -> list[tuple[str, str]]:
    facts = [("reason", f"{plain['reason']}: {plain['meaning']}")]
    if plain["why"]:
        facts.append(("chosen by", plain["why"]))
    if plain["slot"]:
        transition = "in transition" if plain["ring_in_transition"] else "not in transition"
        facts.append(("ring", f"{plain['slot']['ring_size']} slots, {transition}"))
    facts.append(("to do", plain["remedy"]))
    return facts


def _rewritten(plain: ExplanationPlain) -> Table:
    """Return each header as it comes in and as it leaves."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    came, left = plain["received"], plain["left"]
    for column in ("HEADER", f"IN BY {plain['interface']}", _left_by(plain)):
        table.add_column(column, overflow="fold")
    after = _cells(left) if left else [("", "")] * len(_cells(came))
    for (name, old), (_, new) in zip(_cells(came), after, strict=True):
        table.add_row(Text(name), Text(old), Text(new, "" if old == new else "yellow"))
    return table


def _left_by(plain: ExplanationPlain) -> str:
    if plain["left"] is None:
        return "DROPPED"
    out = plain["out_interface"]
    return f"OUT BY {out}" if out else "TO THE HOST"


def _cells(headers: HeadersPlain) -> list[tuple[str, str]]:
    return [
        ("source MAC", headers["source_mac"]),
        ("destination MAC", headers["destination_mac"]),
        ("VLANs", ", ".join(headers["vlans"]) or "none"),
        ("source", with_port(headers["source"], headers["source_port"])),
        ("destination", with_port(headers["destination"], headers["destination_port"])),
        ("TTL", str(headers["ttl"])),
    ]


def _headers_plain(headers: pb.PacketHeaders) -> HeadersPlain:
    return {
        "source_mac": headers.source_mac,
        "destination_mac": headers.destination_mac,
        "vlans": [_tag(tag) for tag in headers.vlans],
        "source": headers.source,
        "source_port": headers.source_port,
        "destination": headers.destination,
        "destination_port": headers.destination_port,
        "ttl": headers.ttl,
    }


def _tag(tag: pb.VlanTag) -> str:
    is_service = tag.protocol == pb.VLAN_PROTOCOL_8021AD
    return f"{'802.1ad' if is_service else '802.1Q'} {tag.id}"
