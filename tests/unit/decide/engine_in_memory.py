"""One lane without a loop: whoever drives it says which events a batch takes, and may have it forget or fail."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from maestro_py.engine.batch import Batch
from maestro_py.engine.decide.state import Run
from maestro_py.engine.dispatcher import Dispatcher, LiveWorker
from maestro_py.engine.loading import Loader
from maestro_py.model.definition import Workflow
from maestro_py.model.statuses import Dispatch
from maestro_py.ports.engine_store import (
    AttemptKey,
    DispatchedCount,
    EngineStore,
    EngineTransaction,
    ReadyRow,
    RunKey,
    Taken,
)
from tests.unit.decide.store_in_memory import Attempt, StoreInMemory

#: Partitions of the installation.
PARTITIONS: Final = 4
#: Each worker type that the tests use.
STEP_TYPES: Final = frozenset({"python", "bench_noop"})

T = TypeVar("T")


class EngineInMemory:
    """
    What a lane does with a batch, step by step.

    Args:
        definition: Of the runs.
        slots: Of the one worker.
        window: Of a foreach that states no concurrency.
        own: Partitions in which a batch goes on with runs of which it has taken no event.
    """

    def __init__(
        self, definition: Workflow, *, slots: int = 1000, window: int = 500, own: Collection[int] = ()
    ) -> None:
        self.store = StoreInMemory(definition)
        self.runs: dict[UUID, Run] = {}  #: In memory.
        self.loader = Loader(cast("EngineStore", self.store), window)
        self._slots = slots
        self.own = own
        self._dispatcher = self._new_dispatcher()

    def batch(self, taken: Sequence[Taken], now_ms: int, *, fails: bool = False) -> Batch:
        """
        Apply *taken* in this order and commit; with *fails*, undo everything instead of committing.

        Raises:
            Poisoned: an event cannot be applied; everything is undone.
        """
        batch = Batch(0, self._dispatcher, PARTITIONS, now_ms, self if self.own else None)
        try:
            batch.offer(self._dispatcher.take_ready(0, 100))
            runs = self._load(taken)
            for row in taken:
                assert row.run_uid is not None
                batch.apply(runs[row.run_uid], row)
            immediately(batch.complete(cast("EngineTransaction", self.store), self.loader))
        except BaseException:
            self.forget()
            raise
        if fails:
            self.forget()
            return batch
        self.store.save(batch.writes)
        for row in taken:
            self.store.inbox.pop(row.id, None)
        batch.committed()
        for run in (*batch.runs.values(), *batch.children):
            self.runs[run.run_uid] = run
            if run.status.is_terminal or run.quarantine_reason is not None:
                del self.runs[run.run_uid]
        self._dispatcher.add_ready(0, batch.ready)
        return batch

    def covers(self, partition: int) -> bool:
        """Say whether a batch may go on with runs of *partition*."""
        return partition in self.own

    def run(self, run_uid: UUID) -> Run | None:
        """Return a run that is in memory."""
        return self.runs.get(run_uid)

    def forget(self) -> None:
        """Drop all that is in memory, as another engine that takes over has nothing of it."""
        self.runs.clear()
        self._dispatcher = self._new_dispatcher()
        at_workers = [a for a in self.store.attempts.values() if a.dispatch in (Dispatch.QUEUED, Dispatch.CLAIMED)]
        self._dispatcher.set_offered(DispatchedCount(a.queue or "", tuple(a.backend_keys or ()), 1) for a in at_workers)
        waiting = (a for a in self.store.attempts.values() if a.dispatch == Dispatch.READY)
        self._dispatcher.add_ready(0, [self._ready_row(attempt) for attempt in waiting])

    @property
    def has_room(self) -> bool:
        """Say whether an attempt that waits may be offered now."""
        return bool(self._dispatcher.lanes_with_work())

    def load(self, run_uid: UUID) -> Run:
        """Return a fresh copy of a run, made of its rows."""
        key = RunKey(self.store.runs[run_uid].partition, run_uid)
        (run,) = immediately(self.loader.load(cast("EngineTransaction", self.store), [key]))
        return run

    def _load(self, taken: Iterable[Taken]) -> dict[UUID, Run]:
        return {uid: self.runs.get(uid) or self.load(uid) for uid in {row.run_uid for row in taken} if uid is not None}

    def _new_dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher()
        worker = LiveWorker(UUID(int=1), frozenset({"default"}), STEP_TYPES, self._slots)
        dispatcher.set_workers([worker], share=1.0)
        return dispatcher

    def _ready_row(self, attempt: Attempt) -> ReadyRow:
        root = self.store.runs[attempt.key.run_uid].root_workflow_id
        return ReadyRow(AttemptKey(*attempt.key), attempt.queue or "", tuple(attempt.backend_keys or ()), root)


def immediately(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of *work*, which waits for nothing but its turn."""
    try:
        while work.send(None) is None:
            pass
    except StopIteration as end:
        return cast("T", end.value)
    raise AssertionError("it waited for something")
