"""Whatever happens to a store, it holds what a model of it says."""

import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from control.desired import DesiredState
from control.encoding import decode
from control.errors import ConfirmationError, NotFoundError, StaleError
from control.store import Store
from tests.support.configuration import web
from tests.unit.test_confirmation import Clock

FILE = Path("/etc/guideway/guideway.yaml")
STATES = st.sampled_from([DesiredState(), web(1), web(2), web(1, 1), web(1, name="mail")])


class History(RuleBasedStateMachine):
    """Applies, rolls back, confirms, waits, restarts; the list of states is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(mkdtemp())
        self.clock = Clock()
        self.store = self.open()
        self.states = [DesiredState()]  # by version
        self.file = ""
        self.due: float | None = None  # by the clock of this boot

    def open(self) -> Store:
        return Store.open(self.directory / "desired.db", clock=self.clock)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def may(self, wanted: DesiredState) -> bool:
        """Tell whether ``wanted`` is no second change."""
        return self.due is None or wanted in (self.states[-1], self.states[-2])

    def follow(self, wanted: DesiredState) -> None:
        if wanted != self.states[-1]:
            self.states.append(wanted)
            self.due = None

    @rule(wanted=STATES)
    def apply(self, wanted: DesiredState) -> None:
        if not self.may(wanted):
            with pytest.raises(ConfirmationError):
                self.store.update(lambda _: wanted, source="api", author="root")
            return
        self.store.update(lambda _: wanted, source="api", author="root")
        self.follow(wanted)

    @precondition(lambda self: self.due is None)
    @rule(wanted=STATES, seconds=st.integers(1, 100))
    def apply_for_a_while(self, wanted: DesiredState, seconds: int) -> None:
        self.store.update(lambda _: wanted, source="cli", author="al", confirm=seconds)
        if wanted != self.states[-1]:
            self.follow(wanted)
            self.due = self.clock.now.boottime + seconds

    @rule(wanted=STATES, number=st.integers(0, 9))
    def apply_to_a_version(self, wanted: DesiredState, number: int) -> None:
        if number == len(self.states) - 1:
            return
        with pytest.raises(StaleError):
            self.store.update(lambda _: wanted, source="api", author="", expected=number)

    @rule(number=st.integers(0, 9))
    def roll_back(self, number: int) -> None:
        if number >= len(self.states):
            with pytest.raises(NotFoundError):
                self.store.find(number)
            return
        self.apply(self.states[number])

    @rule(wanted=STATES, digest=st.sampled_from("ab"))
    def load_a_file(self, wanted: DesiredState, digest: str) -> None:
        self.store.apply_file(wanted, digest, FILE)
        if digest != self.file:
            self.file = digest
            self.follow(wanted)
            self.due = None

    @rule()
    def confirm(self) -> None:
        if self.due is None:
            with pytest.raises(ConfirmationError):
                self.store.confirm(author="alice")
        else:
            self.store.confirm(author="alice")
            self.due = None

    @rule(seconds=st.integers(0, 60), set_by=st.integers(-(10**6), 10**6))
    def time_passes(self, seconds: int, set_by: int) -> None:
        self.clock.pass_by(seconds)
        self.clock.now = replace(self.clock.now, wall=self.clock.now.wall + set_by)
        is_due = self.due is not None and self.due <= self.clock.now.boottime
        assert self.store.expire() == is_due
        if is_due:
            self.follow(self.states[-2])

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.open()

    @invariant()
    def it_holds_what_the_model_says(self) -> None:
        assert (self.store.version, self.store.state) == (
            len(self.states) - 1,
            self.states[-1],
        )
        stored = [self.store.find(number) for number in range(1, len(self.states))]
        assert [decode(state) for _, state in stored] == self.states[1:]
        assert self.store.versions(100) == [version for version, _ in reversed(stored)]
        if self.due is None:
            assert self.store.pending is None
        else:
            assert self.store.pending is not None
            pending, left = self.store.pending
            assert (pending.version, pending.base) == (
                len(self.states) - 1,
                len(self.states) - 2,
            )
            assert left == max(self.due - self.clock.now.boottime, 0)


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
