"""Tell the story of one run: what happens to it, said in words, and what has become of it, read from its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from maestro_py.engine.evaluations import Evaluation, answered, event_of
from maestro_py.model.definition import Step, Workflow
from maestro_py.model.effects import Effect, EvaluateElsewhere
from maestro_py.model.events import Event, RunOverdue, RunStarted, StopRequested, decode_event
from maestro_py.model.statuses import Dispatch, InstanceStatus, Outcome
from maestro_py.ports.engine_store import EngineStore, RunRow, Taken
from maestro_py.ports.evaluator import IN_THREAD
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_run_row, a_workflow
from tests.unit.decide.engine_in_memory import EngineInMemory
from tests.unit.decide.store_in_memory import Attempt
from tests.unit.decide.witness import WITNESS


class Story:
    """
    A run of *definition* that was admitted and has not begun.

    Args:
        definition: A workflow, or steps of one.
        params: Parameters of the run as plain values.
        forgetful: The engine loads the run anew for every batch.
        slots: Of the one worker.
        window: Of a foreach that states no concurrency.
    """

    def __init__(
        self,
        *definition: Workflow | Step,
        params: Mapping[str, Any] | None = None,
        forgetful: bool = False,
        slots: int = 1000,
        window: int = 500,
    ) -> None:
        first = definition[0]
        workflow = first if isinstance(first, Workflow) else a_workflow(*(s for s in definition if isinstance(s, Step)))
        self.engine = EngineInMemory(workflow, slots=slots, window=window)
        self.store = self.engine.store
        self.store.runs[RUN_UID] = a_run_row(workflow_id=workflow.id, params=params)
        self.now_ms = NOON_MS
        self.effects: list[Effect] = []  #: Of every decision since the last word was said.
        self._forgetful = forgetful

    # --- what happens --------------------------------------------------------------------------------------

    def start(self) -> Story:
        """Begin the run."""
        return self.tell(RunStarted())

    def tell(self, event: Event, run_uid: UUID = RUN_UID) -> Story:
        """Send *event*, and deliver it with everything that follows from it."""
        self.store.send(run_uid, event)
        return self.settle()

    def settle(self) -> Story:
        """Deliver what is in the inbox, in batches, until nothing is."""
        self.effects = []
        while self.store.inbox or self.engine.has_room:
            self.deliver(sorted(self.store.inbox.values(), key=lambda row: (row.event_class, row.id)))
        return self

    def deliver(self, taken: list[Taken]) -> None:
        """Apply these events of the inbox in one batch."""
        if self._forgetful:
            self.engine.forget()
        WITNESS.effects.clear()
        self.engine.batch(taken, self.now_ms)
        self.effects += WITNESS.effects

    def pass_seconds(self, seconds: float) -> Story:
        """Let time go by, and deliver the timers that are due then."""
        self.now_ms += int(seconds * 1000)
        self.effects = []
        for id_, (fire_ms, event) in sorted(self.store.timers.items()):
            if fire_ms <= self.now_ms:
                del self.store.timers[id_]
                self.deliver([event])
        fired = self.effects
        self.settle()
        self.effects = [*fired, *self.effects]
        return self

    def report(self, step_id: str, outcome: Outcome = Outcome.DONE, run_uid: UUID = RUN_UID, **said: Any) -> Story:
        """Have a worker claim and report the step's newest attempt."""
        attempt = self.attempt(step_id, run_uid)
        self._claimed(attempt)
        self.store.report(attempt, outcome, **said)
        return self.settle()

    def claim(self, step_id: str, run_uid: UUID = RUN_UID) -> Story:
        """Have a worker claim the step's newest attempt."""
        self._claimed(self.attempt(step_id, run_uid))
        return self

    def lose(self, step_id: str) -> Story:
        """Have the worker that runs the step disappear."""
        attempt = self.attempt(step_id)
        self._claimed(attempt)
        self.store.lose(attempt)
        return self.settle()

    def overdue(self, step_id: str) -> Story:
        """Have the deadline of the step's newest attempt pass."""
        self.store.overdue(self.attempt(step_id))
        return self.settle()

    def evaluate(self, step_id: str) -> Story:
        """Have what the step waits for evaluated elsewhere, and tell it the answer."""
        return self.tell(self.answer_for(step_id))

    def answer_for(self, step_id: str) -> Event:
        """Return the answer to the evaluation that was last given away for the step."""
        effect = next(e for e in reversed(self.given_away) if e.step_id == step_id)
        evaluation = Evaluation(self.run.partition, RUN_UID, effect.step_id, effect.attempt, effect.work)
        store = cast("EngineStore", self.store)
        return event_of(evaluation, asyncio.run(answered(effect.work, IN_THREAD, store)))

    @property
    def given_away(self) -> list[EvaluateElsewhere]:
        """The evaluations that were given away since the last word was said."""
        return [effect for effect in self.effects if isinstance(effect, EvaluateElsewhere)]

    def run_overdue(self) -> Story:
        """Have the deadline of the run pass."""
        return self.tell(RunOverdue())

    def stop(self, target: InstanceStatus = InstanceStatus.STOPPED) -> Story:
        """Ask the run to end with *target*: STOPPED is a stop, FAILED a kill."""
        return self.tell(StopRequested(target, by="ana"))

    def kill(self) -> Story:
        """Kill the run."""
        return self.stop(InstanceStatus.FAILED)

    def quarantine(self) -> Story:
        """Have an event come that no run can take."""
        self.store.runs[RUN_UID] = self.run._replace(quarantine_reason="an event was poisonous")
        self.engine.forget()
        return self

    def _claimed(self, attempt: Attempt) -> None:
        if attempt.dispatch == Dispatch.QUEUED:
            self.store.claim(attempt)

    # --- what has become of it -----------------------------------------------------------------------------

    @property
    def run(self) -> RunRow:
        """The row of the run."""
        return self.store.runs[RUN_UID]

    @property
    def status(self) -> str:
        """The status of the run."""
        return self.run.status

    @property
    def statuses(self) -> dict[str, str]:
        """The status of the newest attempt of each step that was created, by step."""
        return {attempt.key.step_id: attempt.status for attempt in self.attempts()}

    def attempts(self, step_id: str | None = None, run_uid: UUID = RUN_UID) -> list[Attempt]:
        """Return the attempts of a step, or the attempts of all steps, as they were created."""
        rows = [a for a in self.store.attempts.values() if a.key.run_uid == run_uid]
        return [a for a in rows if step_id in (None, a.key.step_id)]

    def attempt(self, step_id: str, run_uid: UUID = RUN_UID) -> Attempt:
        """Return the newest attempt of a step."""
        return max(self.attempts(step_id, run_uid), key=lambda attempt: attempt.key.attempt)

    def history(self, step_id: str) -> list[str]:
        """Return the status of each attempt of a step, the first first."""
        return [attempt.status for attempt in self.attempts(step_id)]

    @property
    def timers(self) -> list[tuple[float, Event]]:
        """The timers to come: (seconds from now, event)."""
        pending = sorted(self.store.timers.values())
        return [((fire_ms - self.now_ms) / 1000, decode_event(taken.payload)) for fire_ms, taken in pending]

    @property
    def timeline(self) -> str:
        """The messages of the run's timeline, as one text."""
        return self.run.timeline or ""

    def iterations(self, step_id: str = "loop", run_uid: UUID = RUN_UID) -> dict[int, RunRow]:
        """Return the launched iterations of a foreach by their number."""
        rows = [r for r in self.store.runs.values() if (r.parent_run_uid, r.parent_step_id) == (run_uid, step_id)]
        return {row.instance_id: row for row in sorted(rows, key=lambda row: row.instance_id)}

    def running(self, step_id: str = "loop", run_uid: UUID = RUN_UID) -> list[int]:
        """Return the numbers of the iterations that were launched and have not ended."""
        return [i for i, row in self.iterations(step_id, run_uid).items() if row.end_time_ms is None]

    def ends(self, step_id: str = "loop", run_uid: UUID = RUN_UID) -> dict[int, str]:
        """Return the status of each launched iteration."""
        return {i: row.status for i, row in self.iterations(step_id, run_uid).items()}
