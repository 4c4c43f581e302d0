"""What a dry run of the program says of a packet, as a frozen value."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Self

from dataplane.abi import REASONS, Reason, constants, ffi, sizeof


class Action(IntEnum):
    """``enum xdp_action``: what the driver does with the packet."""

    ABORTED = 0
    DROP = 1
    PASS = 2
    TX = 3  # sent by the interface that it came from
    REDIRECT = 4  # sent by another one


class Rule(Enum):
    """Which rule named the backend: ``enum gw_rule``, described in ``bpf/decision.h``."""

    NONE = constants.GW_RULE_NONE
    SLOT = constants.GW_RULE_SLOT
    RECORD = constants.GW_RULE_RECORD
    BEFORE = constants.GW_RULE_BEFORE
    NOW = constants.GW_RULE_NOW


@dataclass(frozen=True, slots=True)
class Slot:
    """The slot of the packet's flow, when the program looked."""

    number: int  # in its ring, from 0
    backend_id: int
    before_id: int  # or NO_BACKEND_ID, or RECORDS_ONLY


@dataclass(frozen=True, slots=True)
class Decision:
    """``struct gw_decision``."""

    reason: Reason
    service_id: int | None  # None: the packet belongs to none
    ring_size: int
    slot: Slot | None  # None: it was not looked for, or there is none
    rule: Rule
    backend_id: int  # that the rule names; it may be nobody's
    out_ifindex: int  # where to send; 0: no stage said so

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the bytes of the struct."""
        value: Any = ffi.new("struct gw_decision *")
        ffi.buffer(value)[:] = data[: sizeof("gw_decision")]
        owners = value.owners.backend_id, value.owners.before_id
        return cls(
            REASONS[value.reason],
            value.service_id if value.has_service else None,
            value.ring_size,
            Slot(value.slot, *owners) if value.has_slot else None,
            Rule(value.rule),
            value.backend_id,
            value.out_ifindex,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a packet, and why."""

    action: Action
    packet: bytes  # as it leaves the program
    decision: Decision
