"""What would the program do with a packet? The program's own answer, without a trace.

A process of its own (``python -m dataplane.explainer``; ``child.py`` says why) compiles the
program as a dry run (``bpf/dry_run.h``), lets it look into the maps of the one that serves,
runs it on each packet and says what came out. Nothing is pinned or attached: when the
process ends, the kernel forgets the program.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dataplane import child, libbpf
from dataplane.abi import MAPS, sizeof
from dataplane.decision import Action, Decision, Outcome
from dataplane.errors import DataplaneError
from dataplane.loader import compiled, loaded
from dataplane.records import Index
from dataplane.source import Limits, source

# Not the counters: no dry run can count where it has none. Not what the kernel said of
# ways, which the program writes down for the next packet: this one asks anew. And not
# what a packet is about to leave behind.
SHARED_MAPS: Final = tuple(
    name
    for name in MAPS
    if name not in ("ways", "traces") and not name.endswith("_counters")
)
_NICE: Final = 10  # health checks are more urgent than questions
_DECISIONS: Final = "decisions"


class Probe(msgspec.Struct, frozen=True):
    """A packet to ask about."""

    packet: bytes  # a frame
    ifindex: int  # where it comes in


class _Question(msgspec.Struct, frozen=True):
    """What the process is told."""

    limits: Limits
    maps: dict[str, int]  # descriptors by name
    cache: str | None
    probes: list[Probe]


class _Answer(msgspec.Struct, frozen=True):
    """What it says of one probe."""

    action: int
    packet: bytes
    decision: bytes  # struct gw_decision


def explain(
    limits: Limits,
    maps: Mapping[str, int],
    probes: Sequence[Probe],
    cache: Path | None = None,
) -> tuple[Outcome, ...]:
    """Return what the program over these maps would do with each of ``probes``.

    ``maps`` are descriptors of SHARED_MAPS by name; the program is that of ``limits``.
    Takes a second, and more than two if ``cache``, a directory, does not have it compiled;
    the process dies with us. Raises LoadError.
    """
    question = _Question(limits, dict(maps), str(cache) if cache else None, list(probes))
    said = child.run(
        "dataplane.explainer",
        str(os.getpid()),
        said=msgspec.json.encode(question),
        descriptors=maps.values(),
    )
    return tuple(
        Outcome(Action(one.action), one.packet, Decision.unpack(one.decision))
        for one in msgspec.json.decode(said, type=list[_Answer])
    )


def _answers(question: _Question) -> list[_Answer]:
    text = source(question.limits, dry_run=True)
    cache = Path(question.cache) if question.cache else None
    made = loaded(compiled(text, (*MAPS, _DECISIONS), cache), question.maps)
    decisions = made.maps[_DECISIONS]
    return [_answer(made.program, decisions, one) for one in question.probes]


def _answer(program: int, decisions: int, probe: Probe) -> _Answer:
    size, key = sizeof("gw_decision"), Index(0).pack()
    libbpf.map_update(decisions, key, bytes(size))
    run = libbpf.prog_run(program, probe.packet, ifindex=probe.ifindex)
    decision = libbpf.map_lookup(decisions, key, size)
    assert decision is not None  # noqa: S101 - arrays have all their elements
    return _Answer(run.verdict, run.packet, decision)


def _main() -> int:
    child.die_with(int(sys.argv[1]))
    os.nice(_NICE)
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=_Question)
    try:
        answers = _answers(question)
    except DataplaneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(answers))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
