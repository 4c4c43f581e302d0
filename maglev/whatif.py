"""What-if questions about a table, and their answers as numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maglev.compare import Disruption, Shares, disruption, shares
from maglev.overlay import Overlay
from maglev.table import Permutations, Table


@dataclass(frozen=True, slots=True)
class Question:
    """A pool of backends, and what may happen to it."""

    weights: tuple[int, ...]  # by backend
    size: int  # slots
    seed: int = 0
    zones: int = 0  # failure domains, of neighbours in the list of backends; 0: none
    fail: int = 0  # backends that go down at once, evenly spread over the pool
    fail_zone: bool = False  # the first failure domain goes down
    add: int = 0  # backends of weight 1
    remove: int = 0  # backends, evenly spread over the pool
    reweight: int | None = None  # the first backend's new weight


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happens, and one way of making the table for it."""

    what: str
    how: str
    disruption: Disruption
    shares: Shares  # afterwards, of those that are left


@dataclass(frozen=True, slots=True)
class Answer:
    """The table's shares, and what each change does.

    Shares are by backend: those of the question, then those that it adds.
    """

    size: int  # slots
    backends: int
    shares: Shares
    changes: tuple[Change, ...]


def answer(question: Question) -> Answer:
    """Return the answer to ``question``.

    Raises ValueError if its numbers make no table, or leave nobody.
    """
    pool = _Pool(question)
    return Answer(
        size=question.size,
        backends=len(question.weights),
        shares=shares(pool.overlay.base, pool.weights),
        changes=tuple(pool.changes()),
    )


class _Pool:
    """The backends of a question, with those that it adds: they have no weight at first."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self.weights = [*question.weights, *[0] * question.add]
        names = [
            f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80" for i in range(len(self.weights))
        ]
        identities = [name.encode() for name in names]
        self._permutations = Permutations(identities, question.size, question.seed)
        self._zones = [i * max(question.zones, 1) // len(names) for i in range(len(names))]
        self.overlay = Overlay(
            self._permutations, self.weights, self._zones if question.zones else None
        )

    def changes(self) -> Iterator[Change]:
        question, backends = self._question, len(self._question.weights)
        if question.fail:
            what = f"{question.fail} of {backends} fail"
            yield from self._failure(what, _spread(question.fail, backends))
        if question.fail_zone:
            down = [i for i in range(backends) if self._zones[i] == 0]
            yield from self._failure(f"1 of {question.zones} zones fails", down)
        if question.add:
            yield self._rebuild(
                f"{question.add} added to {backends}",
                [*question.weights, *[1] * question.add],
            )
        if question.remove:
            gone = _spread(question.remove, backends)
            yield self._rebuild(
                f"{question.remove} of {backends} removed", self._without(gone)
            )
        if question.reweight is not None:
            yield self._rebuild(
                f"a weight of {self.weights[0]} becomes {question.reweight}",
                [question.reweight, *self.weights[1:]],
            )

    def _failure(self, what: str, down: Sequence[int]) -> Iterator[Change]:
        if len(down) >= len(self._question.weights):
            raise ValueError(f"{what}: somebody has to be left")
        table = self.overlay.move(down).table
        yield self._change(what, "overlay", table, self._without(down))
        yield self._rebuild(what, self._without(down))

    def _rebuild(self, what: str, weights: Sequence[int]) -> Change:
        return self._change(what, "rebuilt", self._permutations.build(weights), weights)

    def _change(self, what: str, how: str, table: Table, weights: Sequence[int]) -> Change:
        return Change(
            what, how, disruption(self.overlay.base, table), shares(table, weights)
        )

    def _without(self, gone: Sequence[int]) -> list[int]:
        absent = frozenset(gone)
        return [0 if i in absent else weight for i, weight in enumerate(self.weights)]


def _spread(count: int, backends: int) -> list[int]:
    """Return ``count`` indices of backends, evenly spread over all."""
    if count >= backends:
        raise ValueError(f"{count} of {backends} backends: somebody has to be left")
    return [i * backends // count for i in range(count)]
