"""Watch every decision that a test brings about: what it takes of the tables, and that it leaves no nonsense behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import pytest

from maestro_py.engine import batch
from maestro_py.engine.decide import table
from maestro_py.engine.decide.diagram import (
    BEGINS,
    FAIL_IMMEDIATELY,
    NOTHING_LIVE,
    QUARANTINED,
    RETRIED_AT_ONCE,
    Arrow,
)
from maestro_py.engine.decide.state import Run
from maestro_py.model.effects import Effect
from maestro_py.model.events import Event, RunOverdue, StopRequested
from maestro_py.model.statuses import InstanceStatus, StepStatus
from maestro_py.params import Budget

Record = tuple[str, int, str, str, int]
K = TypeVar("K")
V = TypeVar("V")


class Noting(dict[K, V]):
    """A table that remembers which of its rows were read."""

    def __init__(self, rows: Mapping[K, V], taken: set[K]) -> None:
        super().__init__(rows)
        self._taken = taken

    def __getitem__(self, key: K) -> V:
        self._taken.add(key)
        return super().__getitem__(key)


class Witness:
    """What was seen of the tables since the tests of this folder began."""

    def __init__(self) -> None:
        self.rows: set[tuple[Any, type[Event]]] = set()  #: (status, event)
        self.step_arrows: set[Arrow] = set()
        self.run_arrows: set[Arrow] = set()
        self.effects: list[Effect] = []  #: Of every decision since somebody cleared it.

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Stand between the shell and the rules, and between the rules and their tables."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(table, "RUN_TRANSITIONS", Noting(table.RUN_TRANSITIONS, self.rows))
            patch.setattr(table, "STEP_TRANSITIONS", Noting(table.STEP_TRANSITIONS, self.rows))
            patch.setattr(batch, "decide", self.decide)
            yield

    def decide(self, run: Run, event: Event, now_ms: int, budget: Budget | None = None) -> list[Effect]:
        """Decide as the table says, and look at the result."""
        before = {step_id: step.status for step_id, step in run.steps.items()}
        quarantined = run.quarantine_reason is not None
        known = len(run.records)
        effects = table.decide(run, event, now_ms, budget)
        self._note(event, before, run.records[known:], quarantined)
        check(run)
        self.effects += effects
        return effects

    def _note(
        self, event: Event, before: Mapping[str, StepStatus], records: Sequence[Record], quarantined: bool
    ) -> None:
        begun = {(step_id, attempt) for step_id, attempt, old, _, _ in records if old == StepStatus.NOT_CREATED}
        for step_id, attempt, old, new, _ in records:
            cause = type(event).__name__
            if not step_id:
                if quarantined:
                    cause = QUARANTINED
                elif old != InstanceStatus.CREATED:
                    cause = NOTHING_LIVE
                self.run_arrows.add(Arrow(old, new, cause))
                continue
            source: str = old
            if quarantined:
                cause = QUARANTINED
            elif old == StepStatus.NOT_CREATED and attempt > 1:
                source = before[step_id]
                if not before[step_id].is_retried:
                    source, cause = StepStatus.PLATFORM_FAILED, RETRIED_AT_ONCE
            elif (step_id, attempt) in begun:
                cause = BEGINS
            elif step_id != getattr(event, "step_id", None) and not isinstance(event, StopRequested | RunOverdue):
                cause = FAIL_IMMEDIATELY
            self.step_arrows.add(Arrow(source, new, cause))


def check(run: Run) -> None:
    """Assert what is true of every run between two decisions."""
    live = [step for step in run.steps.values() if step.is_live]
    assert len(live) == run.live
    assert run.status is not InstanceStatus.IN_PROGRESS or live, "a run in which nothing is live has ended"
    assert not run.status.is_terminal or not live, "a run that has ended has no live step"
    assert all(gate[0] >= 0 for gate in run.gates.values())
    for step in run.steps.values():
        state = step.foreach
        if state is not None:
            assert 0 <= state.running <= state.launched <= state.total
            assert min(state.counts.values(), default=1) > 0
            assert state.running + sum(state.counts.values()) == state.launched
            assert state.running <= step.node.window


WITNESS: Final = Witness()
