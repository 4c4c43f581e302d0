"""Between the API's messages and what is asked and said of a packet."""

from typing import Final

from control.addresses import IpAddress, parse_address
from control.api.convert import backend_to_pb, service_to_pb
from control.api.fields import surely_meant
from control.api.v1 import guideway_pb2 as pb
from control.errors import ConfigError
from control.explanation import Explanation, Question, SlotOwners
from control.model import Protocol
from dataplane.decision import Rule
from dataplane.frames import Headers
from dataplane.records import SERVICE_VLAN, VLAN, Tag

_PROTOCOLS: Final = {pb.PROTOCOL_TCP: Protocol.TCP, pb.PROTOCOL_UDP: Protocol.UDP}
_VLAN_PROTOCOLS: Final = {
    pb.VLAN_PROTOCOL_UNSPECIFIED: VLAN,
    pb.VLAN_PROTOCOL_8021Q: VLAN,
    pb.VLAN_PROTOCOL_8021AD: SERVICE_VLAN,
}
_VLAN_PROTOCOLS_TO_PB: Final = {
    VLAN: pb.VLAN_PROTOCOL_8021Q,
    SERVICE_VLAN: pb.VLAN_PROTOCOL_8021AD,
}
_RULES: Final = {
    Rule.NONE: pb.RULE_UNSPECIFIED,
    Rule.SLOT: pb.RULE_SLOT,
    Rule.RECORD: pb.RULE_RECORD,
    Rule.BEFORE: pb.RULE_BEFORE,
    Rule.NOW: pb.RULE_NOW,
}


def question_from_pb(request: pb.ExplainRequest) -> Question:
    """Return the packet that is asked about; raise ConfigError."""
    return Question(
        protocol=surely_meant(request.protocol, _PROTOCOLS, "protocol"),
        source=_address("source", request.source),
        source_port=request.source_port,
        destination=_address("destination", request.destination),
        destination_port=request.destination_port,
        interface=request.interface,
        is_established=request.established,
        tags=tuple(map(_tag, request.vlans)),
    )


def explanation_to_pb(explanation: Explanation) -> pb.Explanation:
    """Return what was said of a packet."""
    reason, service = explanation.reason, explanation.service
    message = pb.Explanation(
        summary=explanation.summary,
        verdict=pb.Verdict.Value(f"VERDICT_{reason.verdict.upper()}"),
        reason=reason.name,
        meaning=reason.meaning,
        remedy=reason.remedy,
        interface=explanation.interface,
        out_interface=explanation.out,
        rule=_RULES[explanation.rule],
        why=explanation.why,
        ring_in_transition=explanation.ring_in_transition,
        received=_headers(explanation.received),
    )
    if service:
        message.service, message.mode = service.name, service_to_pb(service).mode
    if explanation.backend:
        message.backend.CopyFrom(backend_to_pb(explanation.backend))
    if explanation.slot:
        message.slot.CopyFrom(_slot(explanation.slot))
    if explanation.left:
        message.left.CopyFrom(_headers(explanation.left))
    return message


def _slot(slot: SlotOwners) -> pb.ExplainedSlot:
    return pb.ExplainedSlot(
        number=slot.number,
        ring_size=slot.ring_size,
        now=slot.now,
        before=slot.before,
        in_transition=slot.in_transition,
    )


def _headers(headers: Headers) -> pb.PacketHeaders:
    return pb.PacketHeaders(
        source_mac=headers.source_mac.hex(":"),
        destination_mac=headers.destination_mac.hex(":"),
        vlans=[
            pb.VlanTag(id=tag.id, protocol=_VLAN_PROTOCOLS_TO_PB[tag.protocol])
            for tag in headers.tags
        ],
        source=str(headers.source),
        source_port=headers.source_port,
        destination=str(headers.destination),
        destination_port=headers.destination_port,
        ttl=headers.ttl,
    )


def _tag(tag: pb.VlanTag) -> Tag:
    if tag.protocol not in _VLAN_PROTOCOLS:
        raise ConfigError("VLAN", f"protocol {tag.protocol} is unknown: 802.1Q or 802.1ad")
    return Tag(tag.id, _VLAN_PROTOCOLS[tag.protocol])


def _address(where: str, text: str) -> IpAddress:
    try:
        return parse_address(text)
    except ValueError as error:
        raise ConfigError(where, str(error)) from error
