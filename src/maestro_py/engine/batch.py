"""Turn what one batch decided into rows to write, and remember what to do after its commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from maestro_py.engine.decide.graph import Node
from maestro_py.engine.decide.state import CHUNK, Run
from maestro_py.engine.decide.table import decide
from maestro_py.engine.dispatcher import Dispatcher
from maestro_py.engine.evaluations import Evaluation
from maestro_py.engine.launching import Launcher
from maestro_py.engine.loading import Loader
from maestro_py.engine.quarantine import Poisoned, Quarantine, held_because, is_stop
from maestro_py.engine.reach import Reach
from maestro_py.engine.rows import attempt_key, changed_attempt_row, event_row, new_attempt_row, run_row
from maestro_py.model.effects import (
    CancelAttempt,
    Dispatch,
    Effect,
    EvaluateElsewhere,
    LaunchIterations,
    NotifyParent,
    NotifyWorkflow,
    SendToSelf,
    SetTimer,
    StopIterations,
    StoreIterations,
)
from maestro_py.model.events import (
    CLASS_OF,
    AttemptLost,
    AttemptReported,
    AttemptRevoked,
    ChildFinished,
    ChildrenStopContinued,
    Event,
    RunEnded,
    RunStarted,
    StopRequested,
    decode_event,
    encode_event,
)
from maestro_py.model.ids import partition_of, workflow_key
from maestro_py.model.statuses import EventClass
from maestro_py.params import DECISION_VISITS, Budget
from maestro_py.ports.engine_store import (
    AttemptKey,
    EngineTransaction,
    ReadyRow,
    StopChunk,
    Taken,
    Writes,
)

#: What the expressions of one batch may cost together, in visits: about 100 ms, for everybody waits meanwhile.
BATCH_VISITS: Final = 20 * DECISION_VISITS

#: What one batch may write, in rows and about: beyond it events are left for the next one, so that no batch is long
#: however many iterations, or steps, each of its events brings about.
BATCH_WEIGHT: Final = 10_000
#: Rows of what is told to a chunk of iterations, and loop values that weigh as much as a row.
_STOP_WEIGHT: Final = CHUNK // 2
_ITEMS_PER_ROW: Final = 10


class _Pending(NamedTuple):
    run: Run
    effect: LaunchIterations | StopIterations


class Batch:
    """
    Everything one transaction of a lane does.

    Args:
        lane: Index of the lane, for the dispatcher.
        dispatcher: Says which attempts may be offered at once.
        partitions: How many engine partitions the installation has.
        now_ms: UTC epoch ms, the same for all of the batch.
        reach: What the batch may go on with; None: nothing but the events it has taken.
    """

    def __init__(
        self, lane: int, dispatcher: Dispatcher, partitions: int, now_ms: int, reach: Reach | None = None
    ) -> None:
        self.writes = Writes()
        self.now_ms = now_ms
        self.runs: dict[UUID, Run] = {}  #: Every run that an event was applied to.
        self.children: list[Run] = []  #: Launched and told to start, for the caches of whoever owns them.
        self.reached: set[int] = set()  #: Partitions of the runs it went on with.
        self.hinted: set[int] = set()  #: Partitions with new events for runs.
        self.hinted_workflows: set[int] = set()  #: Partitions with new events for workflows.
        self.queues: set[str] = set()  #: Queues with newly offered attempts.
        self.ready: list[ReadyRow] = []  #: New attempts that wait.
        self.evaluations: list[Evaluation] = []  #: To be done elsewhere, after the commit.
        self._visits_left = BATCH_VISITS
        self._weight = 0
        self._lane = lane
        self._dispatcher = dispatcher
        self._partitions = partitions
        self._dispatches: dict[tuple[UUID, str, int], str] = {}
        self._iterations: dict[AttemptKey, Sequence[dict[str, Any]]] = {}
        self._pending: list[_Pending] = []
        self._reach = reach
        self._born: dict[UUID, dict[str, Any]] = {}  # rows of iterations that began at once
        self._follow_ups: deque[tuple[Run, Event]] = deque()
        self._quarantine = Quarantine(self.writes, now_ms)
        self.unread = self._quarantine.unread  #: Runs whose events were buried because they cannot be read.
        self.bury_unread = self._quarantine.bury_unread

    # --- deciding ------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Say whether the batch has so much to write that further events are to be left for the next one."""
        return self._weight >= BATCH_WEIGHT

    def put_back(self, taken: Taken) -> None:
        """Leave an event, or what a timer said, for a later batch: it is behind all that is in the inbox now."""
        row = {"p": taken.partition, "c": taken.event_class, "u": taken.run_uid, "w": None, "e": taken.payload.encode()}
        self.writes.inbox.append(row)
        self.hinted.add(taken.partition)

    def apply(self, run: Run, taken: Taken) -> None:
        """
        Decide upon one event and gather what follows.

        Raises:
            Poisoned: the event is none we know, or `decide` raised.
        """
        self.runs[run.run_uid] = run
        try:
            event = decode_event(taken.payload)
            reason = held_because(run)
            if reason is not None and not isinstance(event, StopRequested):
                self.bury(run, taken, reason)
                return
            if isinstance(event, AttemptReported | AttemptLost | AttemptRevoked):
                self._count_back(run, event)
        except Exception as exc:  # whatever it is, it must not stop the partition
            raise _poisoned(run, exc) from exc
        self._decide(run, event)
        self._go_on()

    def _decide(self, run: Run, event: Event) -> None:
        try:
            budget = Budget(min(DECISION_VISITS, self._visits_left))
            before, recorded = budget.visits_left, len(run.records)
            for effect in decide(run, event, self.now_ms, budget):
                self._GATHER[type(effect)](self, run, effect)
            self._visits_left -= before - budget.visits_left
            self._weight += len(run.records) - recorded
        except Exception as exc:  # whatever it is, it must not stop the partition
            raise _poisoned(run, exc) from exc

    def _go_on(self) -> None:
        """Decide upon the runs in reach that what was decided concerns."""
        while self._follow_ups:
            run, event = self._follow_ups.popleft()
            self._reached(run)
            self._decide(run, event)

    def _reached(self, run: Run) -> None:
        self.runs[run.run_uid] = run
        self.reached.add(run.partition)
        # So that the version of its row is compared: no inbox row of it, which an earlier batch whose COMMIT nobody
        # heard of would still hold, says that what we remember of it, or have just read, is what the next one left.
        run.is_dirty = True

    def apply_to_poisoned(self, run: Run, taken: Taken, reason: str, *, may_stop: bool) -> None:
        """
        Quarantine the run and bury the event; a request to stop the run is obeyed all the same.

        Args:
            run: Poisoned: one of its events cannot be applied.
            taken: One of its events.
            reason: Why it is poisoned.
            may_stop: Whether stopping it was not what failed.

        Raises:
            Poisoned: it cannot be stopped either.
        """
        self.runs[run.run_uid] = run
        self._quarantine.mark(run, reason)
        if may_stop and is_stop(taken):
            self.apply(run, taken)
        else:
            self.bury(run, taken, reason)

    def bury(self, run: Run, taken: Taken, reason: str) -> None:
        """Move an event to the dead letters and mark its run as quarantined."""
        self.runs[run.run_uid] = run
        self._quarantine.bury(run, taken, reason)

    def offer(self, rows: Sequence[ReadyRow]) -> None:
        """Offer ready attempts to the workers."""
        for row in rows:
            key = row.key
            self.writes.offers.append({"p": key.partition, "u": key.run_uid, "i": key.step_id, "n": key.attempt})
            self.queues.add(row.queue)

    def _count_back(self, run: Run, event: AttemptReported | AttemptLost | AttemptRevoked) -> None:
        node = run.graph.nodes.get(event.step_id)
        if node is not None:
            self._dispatcher.release(node.step.queue, node.backend_keys)

    # --- effects -------------------------------------------------------------------------------------------

    def _dispatch(self, run: Run, effect: Dispatch) -> None:
        node = run.graph.nodes[effect.step_id]
        if self._dispatcher.offer(self._lane, node.step.queue, node.backend_keys):
            dispatch = "QUEUED"
            self.queues.add(node.step.queue)
        else:
            dispatch = "READY"
            self.ready.append(_ready_row(run, node, effect.attempt, self.now_ms))
        self._dispatches[run.run_uid, effect.step_id, effect.attempt] = dispatch

    def _cancel(self, run: Run, effect: CancelAttempt) -> None:
        self.writes.cancels.append(attempt_key(run, effect.step_id, effect.attempt))
        self.hinted.add(run.partition)  # a revocation is an event for ourselves

    def _set_timer(self, run: Run, effect: SetTimer) -> None:
        self.writes.timers.append(
            {"p": run.partition, "u": run.run_uid, "f": effect.fire_at_ms, "e": encode_event(effect.event)}
        )

    def _send_to_self(self, run: Run, effect: SendToSelf) -> None:
        self._send(run.partition, run.run_uid, effect.event)

    def _evaluate_elsewhere(self, run: Run, effect: EvaluateElsewhere) -> None:
        self.evaluations.append(Evaluation(run.partition, run.run_uid, effect.step_id, effect.attempt, effect.work))

    def _notify_parent(self, run: Run, effect: NotifyParent) -> None:
        assert run.parent is not None
        parent = run.parent
        event = ChildFinished(parent.step_id, parent.attempt, run.instance_id, effect.status)
        known = self._in_reach(parent.partition, parent.run_uid)
        if known is not None:
            self._follow_ups.append((known, event))
        else:
            self._send(parent.partition, parent.run_uid, event)

    def _in_reach(self, partition: int, run_uid: UUID) -> Run | None:
        if self._reach is None or not self._reaches(partition):
            return None
        run = self.runs.get(run_uid) or self._reach.run(run_uid)
        return None if run is None or run.quarantine_reason is not None else run

    def _reaches(self, partition: int) -> bool:
        # Not with less than a decision may need: what does not fit would be evaluated elsewhere, one by one, where the
        # next batch has the visits.
        has_room = not self.is_full and self._visits_left >= DECISION_VISITS
        return has_room and self._reach is not None and self._reach.covers(partition)

    def _notify_workflow(self, run: Run, effect: NotifyWorkflow) -> None:
        partition = partition_of(workflow_key(run.workflow_id), self._partitions)
        payload = encode_event(RunEnded())
        row = {"p": partition, "c": EventClass.WORKFLOW, "u": None, "w": run.workflow_id, "e": payload}
        self.writes.inbox.append(row)
        self.hinted_workflows.add(partition)

    def _store_iterations(self, run: Run, effect: StoreIterations) -> None:
        iterations = effect.iterations
        self._iterations[AttemptKey(run.partition, run.run_uid, effect.step_id, effect.attempt)] = iterations
        self._weight += len(iterations) // _ITEMS_PER_ROW
        for chunk, first in enumerate(range(0, len(iterations), CHUNK)):
            values = orjson.dumps(iterations[first : first + CHUNK])
            self.writes.items.append(attempt_key(run, effect.step_id, effect.attempt) | {"c": chunk, "l": values})

    def _postpone(self, run: Run, effect: LaunchIterations | StopIterations) -> None:
        """Leave what needs to read rows for `complete`; what is launched meanwhile in this batch joins it."""
        self._pending.append(_Pending(run, effect))
        self._weight += effect.count if isinstance(effect, LaunchIterations) else _STOP_WEIGHT

    _GATHER: dict[type[Effect], Callable[[Batch, Run, Any], None]] = {  # noqa: RUF012  # a constant table
        Dispatch: _dispatch,
        CancelAttempt: _cancel,
        SetTimer: _set_timer,
        SendToSelf: _send_to_self,
        EvaluateElsewhere: _evaluate_elsewhere,
        NotifyParent: _notify_parent,
        NotifyWorkflow: _notify_workflow,
        StoreIterations: _store_iterations,
        LaunchIterations: _postpone,
        StopIterations: _postpone,
    }

    def _send(self, partition: int, run_uid: UUID, event: Event) -> None:
        row = {"p": partition, "c": CLASS_OF[type(event)], "u": run_uid, "w": None, "e": encode_event(event)}
        self.writes.inbox.append(row)
        self.hinted.add(partition)

    # --- completing ----------------------------------------------------------------------------------------

    async def complete(self, tx: EngineTransaction, loader: Loader) -> None:
        """Read what launching and stopping need, and make the rows of every run that changed."""
        launcher = Launcher(loader, tx, self._iterations, self._partitions, self.now_ms)
        while self._pending:
            pending, self._pending = self._pending, []
            launches: dict[AttemptKey, tuple[Run, int, int]] = {}
            for run, effect in pending:
                if isinstance(effect, StopIterations):
                    await self._stop_chunk(tx, run, effect)
                    continue
                key = AttemptKey(run.partition, run.run_uid, effect.step_id, effect.attempt)
                # Launches of one foreach follow one another without a gap.
                _, first, count = launches.get(key, (run, effect.first, 0))
                launches[key] = (run, first, count + effect.count)
            for key, (run, first, count) in launches.items():
                await self._launch(launcher, run, key, first, count)
                # Steps that wait for nothing may make many rounds, and everybody waits meanwhile.
                await asyncio.sleep(0)
        self.writes.launches += launcher.launches
        for run in self.runs.values():
            self._write_run(run)

    async def _launch(self, launcher: Launcher, run: Run, key: AttemptKey, first: int, count: int) -> None:
        try:
            launched = await launcher.launch(run, key, first, count)
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as exc:
            # Ours, not the database's: its loop values are not as we stored them.
            raise _poisoned(run, exc) from exc
        for child, row in launched:
            if self._reaches(child.partition):
                self._born[child.run_uid] = row
                self._reached(child)
                self._decide(child, RunStarted())
                self._go_on()
            else:
                self.children.append(child)
                self.hinted.add(child.partition)

    def _write_run(self, run: Run) -> None:
        for step in run.changed.values():
            if step.is_new:
                dispatch = self._dispatches.get((run.run_uid, step.step_id, step.attempt))
                self.writes.new_attempts.append(new_attempt_row(run, step, dispatch))
            elif step.is_evaluated:
                dispatch = self._dispatches.get((run.run_uid, step.step_id, step.attempt))
                self.writes.evaluated.append(new_attempt_row(run, step, dispatch))
            else:
                self.writes.attempts.append(changed_attempt_row(run, step))
        born = self._born.get(run.run_uid)
        if born is not None:
            born |= run_row(run, self.now_ms)
            run.is_dirty = False
        elif run.is_dirty or (run.changed and run.has_iterations):
            # Of a run with iterations the version is compared whatever changed: a batch of an iteration that nobody
            # heard of may have changed it too, without an event of its own that would keep this one waiting.
            run.is_dirty = True
            self.writes.runs.append(run_row(run, self.now_ms))
        if run.records:
            self.writes.events.append(event_row(run, self.now_ms))

    async def _stop_chunk(self, tx: EngineTransaction, run: Run, effect: StopIterations) -> None:
        told = StopRequested(effect.target, by="the enclosing foreach")
        chunk = StopChunk(run.iterations_id(effect.step_id), effect.after_iteration, CHUNK, encode_event(told))
        rows = await tx.stop_chunk(chunk)
        self.hinted.update(partition for partition, _ in rows)
        if len(rows) == CHUNK:
            last = rows[-1][1]
            go_on = ChildrenStopContinued(effect.step_id, effect.attempt, last, effect.target)
            self._send(run.partition, run.run_uid, go_on)

    # --- after the commit ----------------------------------------------------------------------------------

    def committed(self) -> None:
        """Bring the working copies up to what is in the database now."""
        for run in self.runs.values():
            if run.is_dirty:
                run.row_version += 1
                run.is_dirty = False
            for step in run.changed.values():
                step.is_new = False
                step.is_evaluated = False
                if step.foreach is None:
                    step.task = None
            run.changed.clear()
            run.records.clear()


def _poisoned(run: Run, exc: Exception) -> Poisoned:
    return Poisoned(run.run_uid, f"{type(exc).__name__}: {exc}")


def _ready_row(run: Run, node: Node, attempt: int, now_ms: int) -> ReadyRow:
    key = AttemptKey(run.partition, run.run_uid, node.step.id, attempt)
    return ReadyRow(key, node.step.queue, node.backend_keys, run.root_workflow_id, now_ms)
