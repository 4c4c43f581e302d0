"""From numbers that the program decided on to names and sentences for an operator. Pure."""

from control.compile import Compiled
from control.explanation import Explanation, Question, SlotOwners
from control.facts import Network
from control.model import Backend, Mode, Protocol
from control.reasons import Described, described
from control.serving import Served
from control.transition import is_in_transition
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.decision import Action, Outcome, Rule, Slot
from dataplane.frames import Headers


def interpret(
    question: Question,
    interface: str,
    received: Headers,
    outcome: Outcome,
    network: Network,
    compiled: Compiled | None,
) -> Explanation:
    """Return what the program said of ``question``, with names instead of numbers.

    ``received`` are the headers of the packet, which came in by ``interface``.
    """
    decision = outcome.decision
    served = compiled.services if compiled else ()
    one = next((each for each in served if each.id == decision.service_id), None)
    left = None if outcome.action is Action.DROP else Headers.of(outcome.packet)
    reason = described(decision.reason)
    backend = None
    if one and reason.verdict == "forward":
        backend = _backend(one, decision.backend_id)
    slot = _owners(decision.slot, decision.ring_size, served) if decision.slot else None
    out = ""
    if outcome.action is Action.TX:
        out = interface
    elif outcome.action is Action.REDIRECT:
        indices = {each.ifindex: each.name for each in network.interfaces}
        out = indices.get(decision.out_ifindex, f"number {decision.out_ifindex}")
    return Explanation(
        summary=_summary(question, reason, one, backend, out),
        why=_why(decision.rule, slot, question) if slot else "",
        reason=reason,
        interface=interface,
        out=out,
        service=one.service if one else None,
        backend=backend,
        rule=decision.rule,
        slot=slot,
        ring_in_transition=bool(one and one.ring and is_in_transition(one.ring)),
        received=received,
        left=left,
    )


def _backend(served: Served, number: int) -> Backend | None:
    names = {each: name for name, each in served.backend_ids.items()}
    members = {backend.name: backend for backend in served.service.members}
    return members.get(names[number]) if number in names else None


def _owners(slot: Slot, ring_size: int, served: tuple[Served, ...]) -> SlotOwners:
    names = {number: name for one in served for name, number in one.backend_ids.items()} | {
        NO_BACKEND_ID: "",
        RECORDS_ONLY: "",
    }
    now, before = (
        names.get(number, f"number {number}")
        for number in (slot.backend_id, slot.before_id)
    )
    in_transition = slot.before_id != NO_BACKEND_ID
    return SlotOwners(slot.number, ring_size, now, before, in_transition)


def _summary(
    question: Question,
    reason: Described,
    served: Served | None,
    backend: Backend | None,
    out: str,
) -> str:
    if reason.verdict == "forward":
        way = f"out of interface {out}"
        if served is None or backend is None:
            return f"forwarded {way}: {reason.meaning}"
        what = "sorry server" if served.pool.is_sorry(backend.name) else "backend"
        by = "NAT" if served.service.mode is Mode.NAT else "DR"
        name = f"{served.service.name}/{backend.name}"
        place = backend.identity if backend.port else str(backend.address)
        return f"forwarded to {what} {name} {place} by {by}, {way}"
    verdict = "dropped" if reason.verdict == "drop" else "passed to the host"
    if reason.name == "not_ours":
        return f"{verdict}: no service has {question.where}"
    of = f" (service {served.service.name})" if served else ""
    return f"{verdict}: {reason.meaning}{of}"


def _why(rule: Rule, slot: SlotOwners, question: Question) -> str:
    """Say how the backend was chosen."""
    history = f"slot {slot.number} of {slot.ring_size} is {slot.now or 'nobody'}'s"
    if slot.in_transition:
        history += f" now, and was {slot.before or 'another one'}'s"
    match rule:
        case Rule.NONE | Rule.SLOT:
            return history
        case Rule.RECORD:
            return f"the flow has a record; {history}"
        case Rule.BEFORE:
            return f"{history}; the flow has no record, so it began before"
        case Rule.NOW:
            return f"{history}; {_why_now(slot, question)}"


def _why_now(slot: SlotOwners, question: Question) -> str:
    """Say why the slot's owner gets a packet of a flow that might have a record."""
    if not slot.in_transition:
        return "the service records all flows, and this one has no record that counts"
    if question.protocol is Protocol.TCP and not question.is_established:
        return "the flow begins"
    if not slot.before:
        return "a flow without a record counts as new"
    return f"the flow has no record, and {slot.before} cannot serve"
