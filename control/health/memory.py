"""What is known of a probe, so that the next guidewayd knows it too: a value, as bytes.

Pure. It belongs to a definition: address, port, and all that the check asks.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from control.check_common import MAX_COUNT
from control.health.tracker import Tracker
from control.status import Health, Outcome, ProbeResult

KEPT: Final = 8  # results of each probe
_MAX_TEXT: Final = 1000  # characters

Time = Annotated[float, Meta(ge=0, le=1e11)]
Text = Annotated[str, Meta(max_length=_MAX_TEXT)]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a probe has found out so far."""

    tracker: Tracker
    since: float | None = None  # Unix time of the verdict's last change
    weight: int | None = None  # that the last success has given
    results: tuple[ProbeResult, ...] = ()  # the newest last


class _Result(msgspec.Struct, array_like=True, frozen=True):
    time: Time
    duration: Time
    outcome: Outcome
    problem: Text = ""


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """Later releases read it: keys may be added, and neither renamed nor removed."""

    health: Health
    against: Annotated[int, Meta(ge=0, le=MAX_COUNT)] = 0
    rose: Time | None = None
    flaps: Annotated[int, Meta(ge=0, le=100)] = 0
    held: Time = 0.0
    since: Time | None = None
    weight: Annotated[int, Meta(ge=0, le=65535)] | None = None
    results: tuple[_Result, ...] = ()


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Stored)


def encode(memory: Memory) -> bytes:
    """Return ``memory`` as bytes."""
    tracker = memory.tracker
    return _ENCODER.encode(
        _Stored(
            tracker.health,
            tracker.against,
            tracker.rose,
            tracker.flaps,
            tracker.held,
            memory.since,
            memory.weight,
            tuple(_Result(*result) for result in memory.results),
        )
    )


def decode(stored: bytes) -> Memory | None:
    """Return what :func:`encode` has made bytes of; None for anything else."""
    try:
        found = _DECODER.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Memory(
        Tracker(found.health, found.against, found.rose, found.flaps, found.held),
        found.since,
        found.weight,
        tuple(
            ProbeResult(one.time, one.duration, one.outcome, one.problem)
            for one in found.results[-KEPT:]
        ),
    )
