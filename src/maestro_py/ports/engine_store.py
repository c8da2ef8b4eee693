"""What an engine needs of the store: fenced batches, in set-based reads and writes.

A row of `Writes` is a plain dict because it goes into one JSON document for one statement; its keys are the short
names that the statement gives its columns, documented at each field.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from maestro_py.model.definition import Workflow
from maestro_py.model.events import Event
from maestro_py.params import Found, Loop, ResultsKey


class Taken(NamedTuple):
    """An event that this transaction deleted from the inbox, or a timer that fired; only these are applied."""

    partition: int
    event_class: int
    id: int  #: Order within the partition and class; 0 for a timer.
    run_uid: UUID | None
    workflow_id: str | None
    payload: str


class DueTimers(NamedTuple):
    """Which timers a transaction fires."""

    partitions: Sequence[int] = ()
    now_ms: int = 0  #: Timers up to this time are due, UTC epoch ms.
    limit: int = 0  #: Of each partition, at most.


NO_TIMERS: Final = DueTimers()


class RunKey(NamedTuple):
    """The primary key of a run."""

    partition: int
    run_uid: UUID


class AttemptKey(NamedTuple):
    """The primary key of an attempt."""

    partition: int
    run_uid: UUID
    step_id: str
    attempt: int


class RunRow(NamedTuple):
    """A row of ``workflow_instance`` as the engine reads it; JSON columns are text."""

    partition: int
    run_uid: UUID
    row_version: int
    workflow_id: str
    instance_id: int
    run_id: int
    status: str
    workflow_version: int
    definition_uid: UUID
    scope: str
    correlation_id: str
    depth: int
    root_workflow_id: str
    parent_partition: int | None
    parent_run_uid: UUID | None
    parent_step_id: str | None
    parent_attempt: int | None
    loop_values: str | None
    initiator: str
    params: str | None
    start_time_ms: int | None
    end_time_ms: int | None
    deadline_ms: int | None
    stop_target: str | None
    quarantine_reason: str | None
    timeline: str | None


class AttemptRow(NamedTuple):
    """A row of ``step_attempt`` as the engine reads it: the newest attempt of each step; JSON columns are text."""

    partition: int
    run_uid: UUID
    step_id: str
    attempt: int
    step_seq: int
    status: str
    times: str
    error_retries: int
    platform_retries: int
    timeout_retries: int
    params: str | None
    edges: str | None
    runtime: str | None
    intent: str | None
    message: str | None
    outputs: str | None
    dispatched: bool


class ResultsPage(NamedTuple):
    """The values of one output in some iterations of a foreach."""

    values: str | None  #: JSON values joined by commas; None: one of them is no scalar, or they are too large.
    bytes: int  #: Their size.
    found: list[Found]  #: Of each kind of value, the first iteration that has it.


class Backlog(NamedTuple):
    """Partitions whose inbox is not empty."""

    runs: set[int]  #: With events for runs.
    workflows: set[int]  #: With events for ``@workflow:<id>`` aggregates.


class ReadyRow(NamedTuple):
    """An attempt that waits for its queue to have room."""

    key: AttemptKey
    queue: str
    backend_keys: tuple[str, ...]
    root_workflow_id: str
    since_ms: int = 0  #: When the attempt was created; UTC epoch ms.


class DispatchedCount(NamedTuple):
    """How many attempts of a route are offered to workers or claimed by them."""

    queue: str
    backend_keys: tuple[str, ...]
    attempts: int


class Dequeued(NamedTuple):
    """What became of workflows in which a slot is free."""

    partitions: Collection[int]  #: To be hinted: runs of theirs were admitted.
    held: Collection[str]  #: Somebody else has the row of the workflow locked: to be tried again.


@dataclass(slots=True)
class Launch:
    """Iterations of one foreach to be created; the constant columns are given once."""

    workflow_id: str
    workflow_version: int
    definition_uid: UUID
    scope: str
    correlation_id: str
    depth: int
    root_workflow_id: str
    parent: AttemptKey
    initiator: bytes  #: JSON
    now_ms: int
    #: p partition, u run_uid, i iteration, l loop values; of one that has begun also what `Writes.runs` has
    iterations: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class StopChunk:
    """A chunk of the live iterations of one foreach to be told to stop."""

    workflow_id: str
    after_iteration: int
    limit: int
    payload: bytes  #: JSON of the event each is sent.


@dataclass(slots=True)
class Writes:
    """Everything one batch writes."""

    #: (partition, epoch) of further runs it changes: without their fence nothing is written
    fence: list[tuple[int, int]] = field(default_factory=list)
    #: p, u, v row_version read, s status, b start ms, e end ms, d deadline ms, g stop target, q quarantine reason,
    #: t timeline, m modify ms
    runs: list[dict[str, Any]] = field(default_factory=list)
    #: p, u, i step, n attempt, o seq, x step uuid, s status, t times, y type, re/rp/rt retries, a params, e edges,
    #: r runtime, w intent, m message, d dispatch, q queue, k backend keys, j task, l timeout ms
    new_attempts: list[dict[str, Any]] = field(default_factory=list)
    #: p, u, i, n, s, t, e, r, w, m as above
    attempts: list[dict[str, Any]] = field(default_factory=list)
    #: as new_attempts: of attempts whose parameters were evaluated after their rows had been made
    evaluated: list[dict[str, Any]] = field(default_factory=list)
    #: p, u, f fire ms, e event
    timers: list[dict[str, Any]] = field(default_factory=list)
    #: p, c class, u run uid, w workflow id, e event
    inbox: list[dict[str, Any]] = field(default_factory=list)
    #: p, u, i step, n attempt, c chunk, l array of loop values
    items: list[dict[str, Any]] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    #: p, u, i, n
    cancels: list[dict[str, Any]] = field(default_factory=list)
    #: p, u, i, n
    offers: list[dict[str, Any]] = field(default_factory=list)
    #: p, m ms, e event
    events: list[dict[str, Any]] = field(default_factory=list)
    #: p, c class, x inbox id, u run uid, w workflow id, e payload, r reason, m ms
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    #: p, u, q reason, m modify ms: of runs that cannot be read
    quarantines: list[dict[str, Any]] = field(default_factory=list)


class EngineTransaction(Protocol):
    """One fenced transaction: `take` begins it, `save` commits it, a block that ends without `save` rolls it back."""

    async def take(
        self,
        partitions: Sequence[int],
        limits: Sequence[tuple[int, int]],
        timers: DueTimers = NO_TIMERS,
        excluded: Sequence[UUID] = (),
        only: Sequence[UUID] | None = None,
    ) -> list[Taken]:
        """
        Check the fence, then delete events and due timers and return them, oldest first within each class.

        Args:
            partitions: Whose inbox to read.
            limits: (class, events of each partition at most).
            timers: Which timers to fire.
            excluded: Runs whose events stay where they are.
            only: Runs whose events alone are taken; None: all.

        Raises:
            Fenced: another engine owns one of the partitions now.
        """
        ...

    async def load_runs(self, keys: Sequence[RunKey]) -> tuple[list[RunRow], list[AttemptRow]]:
        """Return the runs, and the newest attempt of each of their steps."""
        ...

    async def load_outer(self, keys: Sequence[AttemptKey]) -> dict[AttemptKey, str]:
        """Return the JSON that the iterations of each foreach share."""
        ...

    async def load_items(self, key: AttemptKey, chunks: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """Return the loop values in these chunks of a foreach."""
        ...

    async def stop_chunk(self, chunk: StopChunk) -> list[tuple[int, int]]:
        """Send the event to the live iterations; return (partition, iteration) of each."""
        ...

    async def dequeue(self, workflow_ids: Sequence[str], now_ms: int) -> Dequeued:
        """Admit queued runs of these workflows as their run strategies allow; one that is locked is left alone."""
        ...

    async def save(self, writes: Writes) -> list[UUID]:
        """
        Write everything and commit; return the workers that hold an attempt to be cancelled.

        Raises:
            StaleInstance: a row is no longer as it was read; nothing is kept.
            BadRow: a value or a constraint refused a row; nothing is kept.
            RowContended: a row stayed locked by somebody else; nothing is kept.
            StoreUnavailable: the server is away, and whether the COMMIT took effect is unknown.
        """
        ...


class EngineStore(Protocol):
    """The store as an engine sees it."""

    def batch(self, fence: Sequence[tuple[int, int]]) -> AbstractAsyncContextManager[EngineTransaction]:
        """
        Lend a transaction behind the fence: (partition, epoch) pairs this engine owns.

        Raises:
            StoreUnavailable: PostgreSQL is away; whether a COMMIT took effect is then unknown.
        """
        ...

    async def send(self, partition: int, run_uid: UUID, event: Event) -> None:
        """
        Put *event* into the inbox of a run, in a transaction of its own.

        Raises:
            BadRow: PostgreSQL refuses a value of it.
            StoreUnavailable: PostgreSQL is away; whether the event is there is unknown.
        """
        ...

    async def workflow(self, definition_uid: UUID) -> tuple[Workflow, str]:
        """Return a definition and the internal id of its workflow."""
        ...

    async def results_page(self, loop: Loop, key: ResultsKey, first: int, last: int, most_bytes: int) -> ResultsPage:
        """
        Return the output that *key* names in iterations *first* to *last* of *loop*, all of which have ended.

        Raises:
            BadRow: PostgreSQL refuses the name.
            StoreUnavailable: PostgreSQL is away.
        """
        ...

    async def backlog(self, partitions: Sequence[int]) -> Backlog:
        """Return those of *partitions* whose inbox is not empty."""
        ...

    async def next_timers(self, partitions: Sequence[int], until_ms: int) -> list[tuple[int, int]]:
        """Return (fire ms, partition) of the timers due until *until_ms*."""
        ...

    async def ready(self, partitions: Sequence[int]) -> list[ReadyRow]:
        """Return the attempts of *partitions* that are READY."""
        ...

    async def dispatched(self, partitions: Sequence[int]) -> list[DispatchedCount]:
        """Count the attempts of *partitions* that are QUEUED or CLAIMED."""
        ...

    async def contended(self, keys: Sequence[RunKey]) -> set[UUID]:
        """Return those runs of which some row is locked by somebody else right now."""
        ...
