"""Turn what one batch decided into rows to write, and remember what to do after its commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from maestro_py.engine.decide.graph import Node
from maestro_py.engine.decide.state import CHUNK, OuterParams, ParentRef, Run
from maestro_py.engine.decide.table import decide
from maestro_py.engine.dispatcher import Dispatcher
from maestro_py.engine.evaluations import Evaluation
from maestro_py.engine.rows import (
    attempt_key,
    changed_attempt_row,
    child_initiator,
    event_row,
    new_attempt_row,
    run_row,
)
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
    StopRequested,
    decode_event,
    encode_event,
)
from maestro_py.model.ids import inline_workflow_id, instance_key, new_uid, partition_of, workflow_key
from maestro_py.model.statuses import EventClass
from maestro_py.params import DECISION_VISITS, Budget
from maestro_py.ports.engine_store import (
    AttemptKey,
    EngineTransaction,
    Launch,
    ReadyRow,
    StopChunk,
    Taken,
    Writes,
)

#: A reason of a quarantine is cut to this many characters.
REASON_LIMIT: Final = 2_000

#: What the expressions of one batch may cost together, in visits: about 100 ms, for everybody waits meanwhile.
BATCH_VISITS: Final = 20 * DECISION_VISITS

#: What one batch may write, in rows and about: beyond it events are left for the next one, so that no batch is long
#: however many iterations, or steps, each of its events brings about.
BATCH_WEIGHT: Final = 10_000
#: Rows of what is told to a chunk of iterations, and loop values that weigh as much as a row.
_STOP_WEIGHT: Final = CHUNK // 2
_ITEMS_PER_ROW: Final = 10


class Poisoned(Exception):  # a fact about an event, not an error of the caller
    """An event cannot be applied to its run; the batch is undone and the run quarantined."""

    def __init__(self, run_uid: UUID, reason: str) -> None:
        super().__init__(f"run {run_uid}: {reason}")
        self.run_uid = run_uid
        self.reason = reason


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
    """

    def __init__(self, lane: int, dispatcher: Dispatcher, partitions: int, now_ms: int) -> None:
        self.writes = Writes()
        self.now_ms = now_ms
        self.runs: dict[UUID, Run] = {}  #: Every run that an event was applied to.
        self.children: list[Run] = []  #: Launched, for the caches of whoever owns them.
        self.hinted: set[int] = set()  #: Partitions with new events for runs.
        self.hinted_workflows: set[int] = set()  #: Partitions with new events for workflows.
        self.queues: set[str] = set()  #: Queues with newly offered attempts.
        self.ready: list[ReadyRow] = []  #: New attempts that wait.
        self.evaluations: list[Evaluation] = []  #: To be done elsewhere, after the commit.
        self.unread: list[UUID] = []  #: Runs whose events were buried because they cannot be read.
        self._visits_left = BATCH_VISITS
        self._weight = 0
        self._lane = lane
        self._dispatcher = dispatcher
        self._partitions = partitions
        self._dispatches: dict[tuple[UUID, str, int], str] = {}
        self._iterations: dict[AttemptKey, Sequence[dict[str, Any]]] = {}
        self._pending: list[_Pending] = []

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
            reason = _held_because(run)
            if reason is not None and not isinstance(event, StopRequested):
                self.bury(run, taken, reason)
                return
            if isinstance(event, AttemptReported | AttemptLost | AttemptRevoked):
                self._count_back(run, event)
            budget = Budget(min(DECISION_VISITS, self._visits_left))
            before, recorded = budget.visits_left, len(run.records)
            for effect in decide(run, event, self.now_ms, budget):
                self._GATHER[type(effect)](self, run, effect)
            self._visits_left -= before - budget.visits_left
            self._weight += len(run.records) - recorded
        except Exception as exc:  # whatever it is, it must not stop the partition
            raise Poisoned(run.run_uid, f"{type(exc).__name__}: {exc}") from exc

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
        self._quarantine(run, reason)
        if may_stop and _is_stop(taken):
            self.apply(run, taken)
        else:
            self.bury(run, taken, reason)

    def bury(self, run: Run, taken: Taken, reason: str) -> None:
        """Move an event to the dead letters and mark its run as quarantined."""
        self._quarantine(run, reason)
        # So that the version of its row is compared: an operator may have put the dead letters back meanwhile.
        run.is_dirty = True
        self._bury(taken, reason)

    def bury_unread(self, taken: Taken, reason: str) -> None:
        """Move an event of a run that cannot be read to the dead letters, and mark the row of the run."""
        assert taken.run_uid is not None
        self._bury(taken, reason)
        if taken.run_uid not in self.unread:
            self.unread.append(taken.run_uid)
            mark = {"p": taken.partition, "u": taken.run_uid, "q": _storable(reason), "m": self.now_ms}
            self.writes.quarantines.append(mark)

    def _quarantine(self, run: Run, reason: str) -> None:
        self.runs[run.run_uid] = run
        if run.quarantine_reason is None:
            run.quarantine_reason = _storable(reason)
            run.note(f"Quarantined: {run.quarantine_reason}", self.now_ms, "ERROR")

    def _bury(self, taken: Taken, reason: str) -> None:
        self.writes.dead_letters.append(
            {
                "p": taken.partition,
                "c": taken.event_class,
                "x": taken.id,
                "u": taken.run_uid,
                "w": None,
                "e": taken.payload.encode(),
                "r": _storable(reason),
                "m": self.now_ms,
            }
        )

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
        self._send(parent.partition, parent.run_uid, event)

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

    async def complete(self, tx: EngineTransaction) -> None:
        """Read what launching and stopping need, and make the rows of every run that changed."""
        launches: dict[AttemptKey, tuple[Run, int, int]] = {}
        for run, effect in self._pending:
            if isinstance(effect, StopIterations):
                await self._stop_chunk(tx, run, effect)
                continue
            key = AttemptKey(run.partition, run.run_uid, effect.step_id, effect.attempt)
            # Launches of one foreach follow one another without a gap.
            _, first, count = launches.get(key, (run, effect.first, 0))
            launches[key] = (run, first, count + effect.count)
        for key, (run, first, count) in launches.items():
            try:
                await self._launch(tx, run, key, first, count)
            except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as exc:
                # Ours, not the database's: its loop values are not as we stored them.
                raise Poisoned(run.run_uid, f"{type(exc).__name__}: {exc}") from exc
        for run in self.runs.values():
            self._write_run(run)

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
        if run.is_dirty:
            self.writes.runs.append(run_row(run, self.now_ms))
        if run.records:
            self.writes.events.append(event_row(run, self.now_ms))

    async def _stop_chunk(self, tx: EngineTransaction, run: Run, effect: StopIterations) -> None:
        told = StopRequested(effect.target, by="the enclosing foreach")
        chunk = StopChunk(self._inline_id(run, effect.step_id), effect.after_iteration, CHUNK, encode_event(told))
        rows = await tx.stop_chunk(chunk)
        self.hinted.update(partition for partition, _ in rows)
        if len(rows) == CHUNK:
            last = rows[-1][1]
            go_on = ChildrenStopContinued(effect.step_id, effect.attempt, last, effect.target)
            self._send(run.partition, run.run_uid, go_on)

    async def _launch(self, tx: EngineTransaction, run: Run, key: AttemptKey, first: int, count: int) -> None:
        values = await self._loop_values(tx, key, first, count)
        step = run.steps[key.step_id]
        scope = f"{run.scope}/{key.step_id}" if run.scope else key.step_id
        initiator = orjson.dumps(child_initiator(run, step, orjson.loads(run.initiator)))
        assert run.definition_uid is not None
        launch = Launch(
            workflow_id=self._inline_id(run, key.step_id),
            workflow_version=run.workflow_version,
            definition_uid=run.definition_uid,
            scope=scope,
            correlation_id=run.correlation_id,
            depth=run.depth + 1,
            root_workflow_id=run.root_workflow_id,
            parent=key,
            initiator=initiator,
            now_ms=self.now_ms,
        )
        parent = ParentRef(*key)
        outer = OuterParams(step.task["values"], step.task["outputs"]) if step.task else None
        for iteration, loop_values in enumerate(values, first):
            partition = partition_of(instance_key(launch.workflow_id, iteration), self._partitions)
            run_uid = new_uid()
            launch.iterations.append({"p": partition, "u": run_uid, "i": iteration, "l": loop_values})
            self.hinted.add(partition)
            if outer is not None:
                child = Run(
                    partition=partition,
                    run_uid=run_uid,
                    workflow_id=launch.workflow_id,
                    instance_id=iteration,
                    run_id=1,
                    graph=run.graph.family[scope],
                    workflow_version=run.workflow_version,
                    definition_uid=run.definition_uid,
                    internal_id=run.internal_id,
                    correlation_id=run.correlation_id,
                    depth=run.depth + 1,
                    root_workflow_id=run.root_workflow_id,
                    parent=parent,
                    outer=outer,
                    loop_values=loop_values,
                )
                child.initiator = initiator
                self.children.append(child)
        self.writes.launches.append(launch)

    async def _loop_values(
        self, tx: EngineTransaction, key: AttemptKey, first: int, count: int
    ) -> Sequence[dict[str, Any]]:
        """Return the loop values of *count* iterations from *first* (1-based) on."""
        fresh = self._iterations.get(key)
        start = first - 1
        if fresh is not None:
            return fresh[start : start + count]
        wanted = range(start // CHUNK, (start + count - 1) // CHUNK + 1)
        chunks = await tx.load_items(key, wanted)
        joined = [values for chunk in wanted for values in chunks[chunk]]
        offset = start - wanted.start * CHUNK
        return joined[offset : offset + count]

    def _inline_id(self, run: Run, step_id: str) -> str:
        return inline_workflow_id(run.internal_id, run.instance_id, run.workflow_id, step_id)

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


def _is_stop(taken: Taken) -> bool:
    try:
        return isinstance(decode_event(taken.payload), StopRequested)
    except Exception:  # it is what poisoned the run
        return False


def _storable(reason: str) -> str:
    """Return *reason* as PostgreSQL can hold it: a reason that is refused would be found for ever."""
    return reason[:REASON_LIMIT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _held_because(run: Run) -> str | None:
    """Return why the events of the run queue behind the one that quarantined it; once it has ended, none needs to."""
    return None if run.status.is_terminal else run.quarantine_reason


def _ready_row(run: Run, node: Node, attempt: int, now_ms: int) -> ReadyRow:
    key = AttemptKey(run.partition, run.run_uid, node.step.id, attempt)
    return ReadyRow(key, node.step.queue, node.backend_keys, run.root_workflow_id, now_ms)
