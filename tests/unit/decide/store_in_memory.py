"""
The rows of one definition's runs in memory, changed as the statements of `storage.engine_statements` change them.

It stands in for PostgreSQL where thousands of histories are tried; that PostgreSQL does the same is tested elsewhere.
What goes in is made JSON and read again, as on its way to PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from maestro_py.model.definition import Workflow
from maestro_py.model.errors import StaleInstance
from maestro_py.model.events import (
    CLASS_OF,
    AttemptLost,
    AttemptOverdue,
    AttemptReported,
    AttemptRevoked,
    Event,
    RunStarted,
    encode_event,
)
from maestro_py.model.statuses import Dispatch, EventClass, InstanceStatus, Outcome, StepStatus
from maestro_py.params import Found, Loop, ResultsKey
from maestro_py.ports.engine_store import (
    AttemptKey,
    AttemptRow,
    Launch,
    ResultsPage,
    RunKey,
    RunRow,
    StopChunk,
    Taken,
    Writes,
)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A row of ``step_attempt``; JSON columns are plain values."""

    key: AttemptKey
    step_seq: int
    status: str
    times: dict[str, int]
    error_retries: int
    platform_retries: int
    timeout_retries: int
    params: Any
    edges: Any
    runtime: Any
    intent: str | None
    message: str | None
    dispatch: str | None
    queue: str | None
    backend_keys: list[str] | None
    task: Any
    timeout_ms: int | None
    outputs: Any = None
    cancel_requested: bool = False


@dataclass(slots=True)
class StoreInMemory:
    """Plays both the store and its transactions for one definition."""

    definition: Workflow
    internal_id: str = "root"
    runs: dict[UUID, RunRow] = field(default_factory=dict)
    attempts: dict[AttemptKey, Attempt] = field(default_factory=dict)
    items: dict[AttemptKey, dict[int, list[dict[str, Any]]]] = field(default_factory=dict)
    inbox: dict[int, Taken] = field(default_factory=dict)
    timers: dict[int, tuple[int, Taken]] = field(default_factory=dict)  #: id to (fire ms, event)
    dead_letters: list[dict[str, Any]] = field(default_factory=list)
    ended_workflows: list[str] = field(default_factory=list)  #: Told to ``@workflow:<id>``.
    iterations: dict[str, dict[int, UUID]] = field(default_factory=dict)  #: Inline workflow id to number to run.
    last_id: int = 0

    # --- what an engine reads ------------------------------------------------------------------------------

    async def workflow(self, definition_uid: UUID) -> tuple[Workflow, str]:
        """Return the definition."""
        return self.definition, self.internal_id

    async def load_runs(self, keys: Sequence[RunKey]) -> tuple[list[RunRow], list[AttemptRow]]:
        """Return the runs, and the newest attempt of each of their steps."""
        wanted = {key.run_uid for key in keys}
        newest: dict[tuple[UUID, str], Attempt] = {}
        for attempt in self.attempts.values():
            if attempt.key.run_uid in wanted:
                other = newest.get((attempt.key.run_uid, attempt.key.step_id))
                if other is None or other.key.attempt < attempt.key.attempt:
                    newest[attempt.key.run_uid, attempt.key.step_id] = attempt
        rows = sorted(newest.values(), key=lambda a: a.key.step_id)
        return [self.runs[uid] for uid in wanted if uid in self.runs], [_attempt_row(a) for a in rows]

    async def load_outer(self, keys: Sequence[AttemptKey]) -> dict[AttemptKey, str]:
        """Return the JSON that the iterations of each foreach share."""
        return {key: orjson.dumps(self.attempts[key].task).decode() for key in keys}

    async def load_items(self, key: AttemptKey, chunks: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """Return the loop values in these chunks of a foreach."""
        return {chunk: self.items[key][chunk] for chunk in chunks}

    async def stop_chunk(self, chunk: StopChunk) -> list[tuple[int, int]]:
        """Send the event to the live iterations; return (partition, iteration) of each."""
        after = [(i, uid) for i, uid in self.iterations[chunk.workflow_id].items() if i > chunk.after_iteration]
        live = [self.runs[uid] for _, uid in sorted(after) if self.runs[uid].end_time_ms is None]
        for row in live[: chunk.limit]:
            self._insert(row.partition, EventClass.SIGNAL, row.run_uid, chunk.payload)
        return [(row.partition, row.instance_id) for row in live[: chunk.limit]]

    async def results_page(self, loop: Loop, key: ResultsKey, first: int, last: int, most_bytes: int) -> ResultsPage:
        """Return the output that *key* names in iterations *first* to *last* of *loop*."""
        found: dict[str, Found] = {}
        texts = []
        for iteration in range(first, last + 1):
            run_uid = self.iterations.get(loop.iterations, {}).get(iteration)
            tried = [a for a in self.attempts.values() if (a.key.run_uid, a.key.step_id) == (run_uid, key.step_id)]
            status = tried[-1].status if tried else None
            values = _values_of(tried[-1]) if tried else {}
            kind = _kind(values[key.name]) if key.name in values else "absent"
            found.setdefault(kind, Found(kind, iteration, status))
            texts.append(_text(values.get(key.name)) or "null")
        joined = ",".join(texts)
        is_good = found.keys() <= {"string", "whole", "decimal", "boolean"} and len(joined) < most_bytes
        return ResultsPage(joined if is_good else None, len(joined) + 1, list(found.values()))

    # --- what an engine writes -----------------------------------------------------------------------------

    def save(self, writes: Writes) -> None:
        """
        Write everything.

        Raises:
            StaleInstance: a run is no longer at the version it was read at; nothing is kept.
        """
        runs = _as_json(writes.runs)
        if any(self.runs[UUID(row["u"])].row_version != row["v"] for row in runs):
            raise StaleInstance("a run was changed by somebody else")
        for row in runs:
            self._update_run(row)
        for row in _as_json(writes.attempts):
            self._update_attempt(self.attempts[_key(row)], row)
        for row in _as_json(writes.evaluated):
            self._complete_attempt(self.attempts[_key(row)], row)
        for row in _as_json(writes.new_attempts):
            self._insert_attempt(row)
        for row in _as_json(writes.items):
            self.items.setdefault(_key(row), {})[row["c"]] = row["l"]
        for launch in writes.launches:
            self._launch(launch)
        for row in _as_json(writes.cancels):
            self._cancel(self.attempts[_key(row)])
        for row in _as_json(writes.offers):
            if self.attempts[_key(row)].dispatch == Dispatch.READY:
                self.attempts[_key(row)].dispatch = Dispatch.QUEUED
        self._insert_events(writes)

    def send(self, run_uid: UUID, event: Event) -> None:
        """Put *event* into the inbox of a run, as whoever causes it does."""
        self._insert(self.runs[run_uid].partition, CLASS_OF[type(event)], run_uid, encode_event(event))

    def _insert_events(self, writes: Writes) -> None:
        for row in _as_json(writes.timers):
            self.last_id += 1
            event = Taken(row["p"], EventClass.RESULT, 0, UUID(row["u"]), None, _text(row["e"]) or "")
            self.timers[self.last_id] = (row["f"], event)
        for row in _as_json(writes.inbox):
            if row["c"] == EventClass.WORKFLOW:
                self.ended_workflows.append(row["w"])
            else:
                self._insert(row["p"], row["c"], UUID(row["u"]), orjson.dumps(row["e"]))
        self.dead_letters += _as_json(writes.dead_letters)

    def _insert(self, partition: int, event_class: int, run_uid: UUID, payload: bytes) -> None:
        self.last_id += 1
        taken = Taken(partition, event_class, self.last_id, run_uid, None, payload.decode())
        self.inbox[self.last_id] = taken

    def _update_run(self, row: dict[str, Any]) -> None:
        run_uid = UUID(row["u"])
        self.runs[run_uid] = self.runs[run_uid]._replace(
            row_version=row["v"] + 1,
            status=row["s"],
            start_time_ms=row["b"],
            end_time_ms=row["e"],
            deadline_ms=row["d"],
            stop_target=row["g"],
            quarantine_reason=row["q"],
            timeline=_text(row["t"]),
        )

    def _update_attempt(self, attempt: Attempt, row: dict[str, Any]) -> None:
        attempt.status, attempt.times, attempt.edges = row["s"], row["t"], row["e"]
        attempt.runtime, attempt.intent, attempt.message = row["r"], row["w"], row["m"]

    def _complete_attempt(self, attempt: Attempt, row: dict[str, Any]) -> None:
        self._update_attempt(attempt, row)
        attempt.params, attempt.task, attempt.timeout_ms = row["a"], row["j"], row["l"]
        attempt.dispatch, attempt.queue, attempt.backend_keys = row.get("d"), row.get("q"), row.get("k")

    def _insert_attempt(self, row: dict[str, Any]) -> None:
        key = _key(row)
        assert key not in self.attempts, f"{key} is there already"
        self.attempts[key] = Attempt(
            key=key,
            step_seq=row["o"],
            status=row["s"],
            times=row["t"],
            error_retries=row["re"],
            platform_retries=row["rp"],
            timeout_retries=row["rt"],
            params=row["a"],
            edges=row["e"],
            runtime=row["r"],
            intent=row["w"],
            message=row["m"],
            dispatch=row.get("d"),
            queue=row.get("q"),
            backend_keys=row.get("k"),
            task=row["j"],
            timeout_ms=row["l"],
        )

    def _launch(self, launch: Launch) -> None:
        launched = self.iterations.setdefault(launch.workflow_id, {})
        for row in _as_json(launch.iterations):
            assert row["i"] not in launched, f"iteration {row['i']} was launched before"
            launched[row["i"]] = UUID(row["u"])
            self.runs[UUID(row["u"])] = RunRow(
                partition=row["p"],
                run_uid=UUID(row["u"]),
                row_version=1,
                workflow_id=launch.workflow_id,
                instance_id=row["i"],
                run_id=1,
                status=row.get("s", InstanceStatus.CREATED.value),
                workflow_version=launch.workflow_version,
                definition_uid=launch.definition_uid,
                scope=launch.scope,
                correlation_id=launch.correlation_id,
                depth=launch.depth,
                root_workflow_id=launch.root_workflow_id,
                parent_partition=launch.parent.partition,
                parent_run_uid=launch.parent.run_uid,
                parent_step_id=launch.parent.step_id,
                parent_attempt=launch.parent.attempt,
                loop_values=_text(row["l"]),
                initiator=launch.initiator.decode(),
                params=None,
                start_time_ms=row.get("b"),
                end_time_ms=row.get("e"),
                deadline_ms=row.get("d"),
                stop_target=row.get("g"),
                quarantine_reason=row.get("q"),
                timeline=_text(row.get("t")),
            )
            if "s" not in row:
                self.send(UUID(row["u"]), RunStarted())

    def _cancel(self, attempt: Attempt) -> None:
        if attempt.dispatch in (Dispatch.READY, Dispatch.QUEUED):
            attempt.dispatch = Dispatch.REVOKED
            self.send(attempt.key.run_uid, AttemptRevoked(attempt.key.step_id, attempt.key.attempt))
        elif attempt.dispatch == Dispatch.CLAIMED:
            attempt.cancel_requested = True

    # --- what workers and duties do ------------------------------------------------------------------------

    def claim(self, attempt: Attempt) -> None:
        """Have a worker take the attempt."""
        assert attempt.dispatch == Dispatch.QUEUED
        attempt.dispatch = Dispatch.CLAIMED

    def report(self, attempt: Attempt, outcome: Outcome, **said: Any) -> None:
        """Have the worker that holds the attempt report it: the row and the inbox row together."""
        assert attempt.dispatch == Dispatch.CLAIMED
        attempt.dispatch = Dispatch.REPORTED
        event = AttemptReported(attempt.key.step_id, attempt.key.attempt, outcome, **said)
        attempt.outputs = event.outputs
        self.send(attempt.key.run_uid, event)

    def lose(self, attempt: Attempt) -> None:
        """Declare the attempt lost, since its worker is gone."""
        assert attempt.dispatch == Dispatch.CLAIMED
        attempt.dispatch = Dispatch.LOST
        self.send(attempt.key.run_uid, AttemptLost(attempt.key.step_id, attempt.key.attempt))

    def overdue(self, attempt: Attempt) -> None:
        """Find that the attempt's deadline has passed."""
        self.send(attempt.key.run_uid, AttemptOverdue(attempt.key.step_id, attempt.key.attempt))


def _values_of(attempt: Attempt) -> dict[str, Any]:
    if attempt.status not in (StepStatus.SUCCEEDED, StepStatus.SKIPPED, StepStatus.COMPLETED_WITH_ERROR):
        return {}
    values = {name: param.get("evaluated_result") for name, param in (attempt.params or {}).items()}
    return values | (attempt.outputs or {} if _has_merged(attempt) else {})


def _kind(value: Any) -> str:
    words = {str: "string", bool: "boolean", int: "whole", float: "decimal", list: "array", dict: "object"}
    return words.get(type(value), "null")


def _key(row: dict[str, Any]) -> AttemptKey:
    return AttemptKey(row["p"], UUID(row["u"]), row["i"], row["n"])


def _attempt_row(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        *attempt.key,
        step_seq=attempt.step_seq,
        status=attempt.status,
        times=_text(attempt.times) or "",
        error_retries=attempt.error_retries,
        platform_retries=attempt.platform_retries,
        timeout_retries=attempt.timeout_retries,
        params=_text(attempt.params),
        edges=_text(attempt.edges),
        runtime=_text(attempt.runtime),
        intent=attempt.intent,
        message=attempt.message,
        outputs=_text(attempt.outputs) if _has_merged(attempt) else None,
        dispatched=attempt.dispatch is not None,
    )


def _has_merged(attempt: Attempt) -> bool:
    """Say whether what the attempt reported is read back (`LOAD_ATTEMPTS`)."""
    ended_as = attempt.intent if attempt.status == StepStatus.FINISHING else attempt.status
    return bool(ended_as == StepStatus.SUCCEEDED)


def _text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _as_json(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = orjson.loads(orjson.dumps(rows, default=orjson.Fragment))
    return result
