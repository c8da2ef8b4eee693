"""
A small world that drives runs to their end by chance: workers, timers, lost hints, doubled events, failing engines.

Everything that may happen next is a move; which happens is drawn from a seeded generator, so that a history can be
told again.  After each commit the world checks what must never be otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import orjson

from maestro_py.engine.batch import Batch
from maestro_py.model.definition import Workflow
from maestro_py.model.events import ChildFinished, Event, RunStarted, decode_event
from maestro_py.model.statuses import Dispatch, Outcome, StepStatus
from maestro_py.ports.engine_store import AttemptKey, RunRow, Taken
from maestro_py.testing.builders import NOON_MS, RUN_UID, a_run_row
from tests.unit.decide.engine_in_memory import EngineInMemory
from tests.unit.decide.store_in_memory import Attempt

#: What becomes of an attempt, besides the outcomes that a worker reports.
LOST: Final = "LOST"
OVERDUE: Final = "OVERDUE"  #: Runs until its deadline passes, and ends when it is told to.

#: Step id, the 0-based iterations around it from the outside in, attempt -> what becomes of the attempt.
Script = Callable[[str, tuple[int, ...], int], str]


class World:
    """
    A run of *workflow* and everything around it.

    Args:
        workflow: What is run.
        script: What becomes of each attempt.
        seed: Of the generator that draws the moves.
        forgetful: The engine loads everything anew for every batch; draws the same moves as one that is not.
        trouble: Batches fail, events come twice, engines forget.
        requests: Events that somebody sends to the run at some moment.
        slots: Of the one worker; with few of them attempts wait in the engine.
        deadlines: A foreach may find its timeout passed at any moment; otherwise it never does.
        own: Partitions in which a batch goes on with parents and iterations at once.
    """

    def __init__(
        self,
        workflow: Workflow,
        script: Script,
        seed: int,
        *,
        forgetful: bool = False,
        trouble: bool = True,
        requests: Sequence[Event] = (),
        slots: int = 3,
        deadlines: bool = False,
        own: Collection[int] = (),
    ) -> None:
        self.engine = EngineInMemory(workflow, slots=slots, own=own)
        self.store = self.engine.store
        self.store.runs[RUN_UID] = a_run_row(workflow_id=workflow.id)
        self.history: list[Event] = []  #: What was applied to the outermost run, in order.
        self.now_ms = NOON_MS
        self._script = script
        self._draw = random.Random(seed)
        self._forgetful = forgetful
        self._trouble = trouble
        self._requests = list(requests)
        self._deadlines = deadlines
        self._told_overdue: set[AttemptKey] = set()
        self._predecessors = _predecessors(workflow)
        self._windows = {step.id: step.concurrency or 500 for step in workflow.all_steps() if step.is_foreach}
        self.store.send(RUN_UID, RunStarted())

    # --- moving --------------------------------------------------------------------------------------------

    def run_to_end(self, most_moves: int = 20_000) -> World:
        """Move until nothing can happen any more."""
        for _ in range(most_moves):
            moves = self._moves()
            if not moves:
                return self
            self._draw.choice(moves)()
        raise AssertionError(f"not at an end after {most_moves} moves")

    def _moves(self) -> list[Callable[[], None]]:
        moves: list[Callable[[], None]] = []
        if self.store.inbox or self.engine.has_room:
            moves += [self._deliver] * 3
        timers = [id_ for id_, (_, row) in self.store.timers.items() if self._deadlines or "Overdue" not in row.payload]
        if timers:
            moves.append(lambda: self._fire(self._draw.choice(timers)))
        held = [a for a in self.store.attempts.values() if a.dispatch in (Dispatch.QUEUED, Dispatch.CLAIMED)]
        if held:
            moves += [lambda: self._work(self._draw.choice(held))] * 2
        if self._requests:
            moves.append(self._request)
        return moves

    def _deliver(self) -> None:
        """Apply some events in any order, as they may arrive; perhaps the batch fails and they come again."""
        waiting = list(self.store.inbox.values())
        taken = self._draw.sample(waiting, self._draw.randint(min(1, len(waiting)), min(len(waiting), 8)))
        fails = self._trouble and self._draw.random() < 0.1
        forgets = self._trouble and self._draw.random() < 0.1
        doubled = self._trouble and self._draw.random() < 0.2
        self._batch(taken, fails=fails, forgets=forgets)
        if doubled and not fails:
            self._double(taken)

    def _fire(self, id_: int) -> None:
        """Have a timer be due: any of them may be, for a server's clock and an engine's need not agree."""
        fire_ms, event = self.store.timers.pop(id_)
        self.now_ms = max(self.now_ms, fire_ms)
        self._batch([event])

    def _work(self, attempt: Attempt) -> None:
        """Have a worker claim an attempt, or go on with one it has claimed."""
        if attempt.dispatch == Dispatch.QUEUED:
            self.store.claim(attempt)
            return
        row = self.store.runs[attempt.key.run_uid]
        fate = self._script(attempt.key.step_id, self.path_of(row.run_uid), attempt.key.attempt)
        if attempt.cancel_requested and (fate == OVERDUE or self._draw.random() < 0.5):
            # The worker obeys, or dies before it can say so.
            fate = self._draw.choice([Outcome.STOPPED.value, LOST])
        if fate == LOST:
            self.store.lose(attempt)
        elif fate != OVERDUE:
            outputs = {"n": attempt.key.attempt} if fate == Outcome.DONE else None
            self.store.report(attempt, Outcome(fate), outputs=outputs)
        elif attempt.key not in self._told_overdue:
            self._told_overdue.add(attempt.key)
            self.store.overdue(attempt)

    def _request(self) -> None:
        self.store.send(RUN_UID, self._requests.pop(0))

    def _double(self, taken: Sequence[Taken]) -> None:
        """Send an event again; the end of an iteration is said once, in the transaction in which it ends."""
        row = self._draw.choice(taken) if taken else None
        if row is not None and row.run_uid is not None:
            event = decode_event(row.payload)
            if not isinstance(event, ChildFinished):
                self.store.send(row.run_uid, event)

    def _batch(self, taken: Sequence[Taken], *, fails: bool = False, forgets: bool = False) -> None:
        if self._forgetful or forgets:
            self.engine.forget()
        batch = self.engine.batch(taken, self.now_ms, fails=fails)
        if not fails:
            self.history += [decode_event(row.payload) for row in taken if row.run_uid == RUN_UID]
            self._check(batch)

    # --- what must never be otherwise ----------------------------------------------------------------------

    def _check(self, batch: Batch) -> None:
        for row in batch.writes.new_attempts:
            statuses = self.statuses(row["u"])
            if row["n"] == 1:
                before = [StepStatus(statuses[p]) for p in self._predecessors[row["i"]] if p in statuses]
                assert len(before) == len(self._predecessors[row["i"]]), f"{row['i']} began too early"
                assert all(status.is_complete for status in before), f"{row['i']} began too early"
        for launch in batch.writes.launches:
            runs = (self.store.runs[uid] for uid in self.store.iterations[launch.workflow_id].values())
            live = sum(run.end_time_ms is None for run in runs)
            assert live <= self._windows[launch.parent.step_id], "more iterations run than the window allows"

    # --- what has become of it -----------------------------------------------------------------------------

    def statuses(self, run_uid: UUID = RUN_UID) -> dict[str, str]:
        """Return the status of the newest attempt of each step that was created, by step."""
        return {a.key.step_id: a.status for a in self.store.attempts.values() if a.key.run_uid == run_uid}

    def histories(self, run_uid: UUID = RUN_UID) -> dict[str, list[str]]:
        """Return the statuses of all attempts of each step, the first first."""
        found: dict[str, list[str]] = {}
        for attempt in self.store.attempts.values():
            if attempt.key.run_uid == run_uid:
                found.setdefault(attempt.key.step_id, []).append(attempt.status)
        return found

    def path_of(self, run_uid: UUID) -> tuple[int, ...]:
        """Return the 0-based iterations that a run lies in, from the outside in; empty for the outermost."""
        row = self.store.runs[run_uid]
        if row.parent_run_uid is None:
            return ()
        index: int = orjson.loads(row.loop_values or "")["loop_index"]
        return (*self.path_of(row.parent_run_uid), index)

    def account(self) -> list[str]:
        """Return all that became of every run, without the identities that are drawn anew each time."""
        return sorted(self._account_of(row) for row in self.store.runs.values())

    def _account_of(self, row: RunRow) -> str:
        attempts = [
            (a.key.step_id, a.key.attempt, a.status, sorted(a.times.items()), a.message, a.runtime, a.edges, a.intent)
            for a in self.store.attempts.values()
            if a.key.run_uid == row.run_uid
        ]
        place = (row.scope, self.path_of(row.run_uid))
        return repr((place, row.status, row.start_time_ms, row.end_time_ms, row.row_version, row.timeline, attempts))


def _predecessors(workflow: Workflow) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {step.id: set() for step in workflow.all_steps()}
    for step in workflow.all_steps():
        for successor in step.successors:
            found[successor].add(step.id)
    return found
