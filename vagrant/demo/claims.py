"""What the demo claims, and how the figures decide whether it is true. No I/O."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vagrant.demo.request import Request
from vagrant.lab.wait import PATIENCE

TOLERANCE: Final = 6.0  # percentage points between a share and its weight
OUT_WITHIN: Final = 2.0 * PATIENCE  # seconds until nothing is sent to a dead backend
BACK_WITHIN: Final = (
    5.0 * PATIENCE
)  # seconds until a backend that is back gets requests again
TAKEN_OVER_WITHIN: Final = (
    2.0 * PATIENCE
)  # seconds until the other node answers for the VIP


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that is true or not, and what was measured."""

    sentence: str
    measured: str
    held: bool


def all_answered(requests: Sequence[Request]) -> Claim:
    """Claim that every request was answered."""
    answered = sum(request.answered for request in requests)
    return Claim(
        f"{len(requests)} requests, each on a new connection: all are answered",
        f"{answered} of {len(requests)}",
        held=answered == len(requests),
    )


def shares_follow_weights(requests: Sequence[Request], weights: Mapping[str, int]) -> Claim:
    """Claim that who answered how often follows the weights."""
    answers = Counter(request.backend for request in requests)
    total, weight = max(1, len(requests)), sum(weights.values())
    shares = {name: 100 * answers[name] / total for name in weights}
    wanted = {name: 100 * weights[name] / weight for name in weights}
    return Claim(
        f"the shares follow the weights {':'.join(map(str, weights.values()))}, "
        f"give or take {TOLERANCE:g} points",
        ", ".join(f"{n} {shares[n]:.1f} % (of {wanted[n]:.1f})" for n in weights),
        held=all(abs(shares[name] - wanted[name]) <= TOLERANCE for name in weights),
    )


def only_the_dead_backend_fails(
    requests: Sequence[Request],
    dead: str,
    given_to: Callable[[Request], str | None],
    *,
    killed: float,
    out: float | None,
) -> Claim:
    """Claim that requests failed only where a backend died, and only until it was out."""
    failed = [request for request in requests if not request.answered]
    elsewhere = sum(given_to(request) != dead for request in failed)
    last = float("inf") if out is None else out
    outside = sum(each.ended < killed or each.started > last for each in failed)
    return Claim(
        f"{dead}'s server is killed under load: only requests given to {dead} fail, "
        "and none after it is out",
        f"{len(failed)} of {len(requests)} failed: {elsewhere} of them elsewhere, "
        f"{outside} at another time",
        held=not elsewhere and not outside,
    )


def out_soon(dead: str, seconds: float | None) -> Claim:
    """Claim that a dead backend is out soon; None: it was not seen to be."""
    return _in_time(f"{dead} is out within {OUT_WITHIN:g} s", seconds, OUT_WITHIN)


def back_soon(backend: str, seconds: float | None, meanwhile: Sequence[Request]) -> Claim:
    """Claim that a backend that is back gets requests again soon, and harms none."""
    failed = sum(not request.answered for request in meanwhile)
    in_time = _in_time("", seconds, BACK_WITHIN)
    return Claim(
        f"{backend} comes back: it gets requests again within {BACK_WITHIN:g} s, "
        "and none fails by it",
        f"{in_time.measured}, {failed} of {len(meanwhile)} failed",
        held=in_time.held and not failed,
    )


def taken_over_soon(
    requests: Sequence[Request], *, off: float, answered: float | None
) -> Claim:
    """Claim that the VIP answers again soon after a node was switched off at ``off``."""
    failed = sum(not request.answered for request in requests)
    claim = _in_time(
        f"the Active node is switched off: the VIP answers again within "
        f"{TAKEN_OVER_WITHIN:g} s",
        None if answered is None else answered - off,
        TAKEN_OVER_WITHIN,
    )
    return Claim(claim.sentence, f"{claim.measured}, {failed} requests failed", claim.held)


def none_fails_afterwards(requests: Sequence[Request], answered: float | None) -> Claim:
    """Claim that no request fails that was started after the VIP answered again."""
    later = [r for r in requests if answered is not None and r.started >= answered]
    failed = sum(not request.answered for request in later)
    return Claim(
        "from then on every request is answered",
        f"{len(later) - failed} of {len(later)}",
        held=bool(later) and not failed,
    )


def download_is_whole(
    received: int, size: int, *, digest: str, wanted: str, error: str
) -> Claim:
    """Claim that a download that went through all of it is what was sent, in bytes."""
    equal = received == size and digest == wanted and not error
    outcome = "sha256 is equal" if equal else error or "sha256 differs"
    return Claim(
        "a download that runs meanwhile, through the VIP, arrives whole",
        f"{received / 2**20:.1f} of {size / 2**20:.1f} MiB, {outcome}",
        held=equal,
    )


def _in_time(sentence: str, seconds: float | None, within: float) -> Claim:
    measured = "never seen" if seconds is None else f"after {seconds:.2f} s"
    return Claim(sentence, measured, held=seconds is not None and seconds <= within)
