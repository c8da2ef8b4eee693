"""
Start runs: admission under the lock of the workflow row, and the rows that make an admitted run happen.

Whoever starts runs calls `start_runs` for a whole batch, or `dequeue` when a slot became free, inside a transaction
of its own, on a connection of a ``hot`` `Database`; it hints the partitions of the answer after its commit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from maestro_py.admission import (
    Admission,
    Standing,
    StartOutcome,
    StartRequest,
    StartResult,
    VersionName,
    admit,
    dequeue_count,
)
from maestro_py.model.definition import RunStrategy
from maestro_py.model.events import RunStarted, encode_event
from maestro_py.model.ids import instance_key, new_uid, partition_of
from maestro_py.model.statuses import InstanceStatus, RunStrategyRule
from maestro_py.storage import start_statements as sql
from maestro_py.storage.connections import Database
from maestro_py.storage.retries import Connection, in_transaction

#: A request id is remembered for this long, in ms; the same id after that starts anew.
REQUEST_MEMORY_MS: Final = 30 * 24 * 3600 * 1000

_STARTED_EVENT: Final = encode_event(RunStarted()).decode()


class _WorkflowRow(msgspec.Struct):
    """A locked workflow row, and what of it and its runs changes while a batch is decided."""

    workflow_id: str
    active_version: int | None
    latest_version: int
    last_instance_id: int
    strategy: RunStrategy
    signal_trigger_disabled: bool
    time_trigger_disabled: bool
    standing: Standing = Standing()
    running: str | None = None  #: One of those that run, as ``workflow:instance:run``.
    partitions: tuple[int, ...] = ()  #: Of the queued runs that were admitted on the way.

    def refusal(self, request: StartRequest) -> StartOutcome | None:
        """Return why *request* cannot be started at this moment, None if it can."""
        trigger = request.initiator.get("type")
        if (trigger == "SIGNAL" and self.signal_trigger_disabled) or (trigger == "TIME" and self.time_trigger_disabled):
            return StartOutcome.TRIGGER_DISABLED
        named = {
            VersionName.ACTIVE: self.active_version,
            VersionName.LATEST: self.latest_version,
            VersionName.DEFAULT: self.active_version or self.latest_version,
            VersionName.NUMBER: request.workflow_version,
        }[request.version_name]
        if named is None:
            return StartOutcome.INACTIVE
        return None if named == request.workflow_version else StartOutcome.VERSION_CHANGED


async def start_runs(conn: Connection, requests: Sequence[StartRequest], *, now_ms: int) -> list[StartResult]:
    """
    Start *requests* in the caller's transaction and return what became of each, in their order.

    Each is decided upon by itself: a refused one does not disturb its neighbours.  Whoever calls again after an
    unknown COMMIT hands in the same ``run_uid``s and is told CREATED of the runs that exist by then.

    Args:
        conn: Inside a transaction; the rows of the workflows stay locked until its end.
        requests: Any number, of any workflows; among equal request ids the first counts.
        now_ms: UTC epoch milliseconds.
    """
    rows, known = await _read(conn, {request.workflow_id for request in requests}, requests, now_ms)
    await _admit_waiting(conn, rows, now_ms)
    batch = _Batch(rows, known, await partition_count(conn), now_ms)
    results = [batch.decide(request) for request in requests]
    if batch.documents:
        counters = {id_: row.last_instance_id for id_, row in rows.items()}
        document = msgspec.json.encode(batch.documents).decode()
        await conn.execute(
            sql.WRITE, (document, msgspec.json.encode(counters).decode(), list(counters), _STARTED_EVENT), prepare=True
        )
    results = await _with_earlier_commits(conn, results)
    left = tuple(partition for row in rows.values() for partition in row.partitions)
    if left and results:  # Of runs admitted although every request of their workflow was refused.
        results[0] = msgspec.structs.replace(results[0], partitions=(*results[0].partitions, *left))
    return results


async def start_runs_durably(database: Database, requests: Sequence[StartRequest], *, now_ms: int) -> list[StartResult]:
    """
    Do as `start_runs` does in a transaction of its own, which is repeated after a deadlock.

    Raises:
        StoreUnavailable: the server is away; whether the COMMIT took effect is then unknown.
    """
    return await in_transaction(database, lambda conn: start_runs(conn, requests, now_ms=now_ms), pipelined=True)


async def dequeue(conn: Connection, workflow_ids: Collection[str], *, now_ms: int) -> tuple[int, ...]:
    """
    Admit the oldest queued runs of *workflow_ids* as far as their strategies allow, in the caller's transaction.

    Returns:
        The engine partitions to hint after the commit, each once.
    """
    rows, _ = await _read(conn, workflow_ids, (), now_ms)
    await _admit_waiting(conn, rows, now_ms)
    return tuple({partition for row in rows.values() for partition in row.partitions})


_partition_counts: dict[tuple[str, int, str], int] = {}


async def partition_count(conn: Connection) -> int:
    """Return the number of engine partitions of the installation; it is fixed, so it is read once for a database."""
    database = (conn.info.host, conn.info.port, conn.info.dbname)
    if database not in _partition_counts:
        cursor = await conn.execute("SELECT count(*) FROM engine_partition")
        _partition_counts[database] = (await cursor.fetchall())[0][0]
    return _partition_counts[database]


_Known = dict[tuple[str, str], UUID]


async def _read(
    conn: Connection, workflow_ids: Iterable[str], requests: Sequence[StartRequest], now_ms: int
) -> tuple[dict[str, _WorkflowRow], _Known]:
    """Lock the workflows, then read what stands of them and which request ids are known: one round trip."""
    ids = list(workflow_ids)
    asked = [r.workflow_id for r in requests], [r.request_id for r in requests]
    # The statements follow one another at the server too: each sees what committed before the lock was ours.
    async with conn.pipeline():
        locked = await conn.execute(sql.LOCK, (ids,), prepare=True)
        standing = await conn.execute(sql.STANDING, (ids,), prepare=True)
        known = await conn.execute(sql.KNOWN, (*asked, now_ms - REQUEST_MEMORY_MS), prepare=True) if requests else None
        rows = {row[0]: _workflow_row(row) for row in await locked.fetchall()}
        for id_, count, queued, running in await standing.fetchall():
            if id_ in rows:
                rows[id_].standing = Standing(running=count, queued=queued)
                rows[id_].running = running
        pairs = await known.fetchall() if known is not None else []
    return rows, {(workflow_id, request_id): run_uid for workflow_id, request_id, run_uid in pairs}


def _workflow_row(row: tuple[Any, ...]) -> _WorkflowRow:
    id_, active, latest, last, rule, concurrency, no_signals, no_times = row
    return _WorkflowRow(
        workflow_id=id_,
        active_version=active,
        latest_version=latest,
        last_instance_id=last,
        strategy=RunStrategy(rule=RunStrategyRule(rule), workflow_concurrency=concurrency),
        signal_trigger_disabled=no_signals,
        time_trigger_disabled=no_times,
    )


async def _admit_waiting(conn: Connection, rows: dict[str, _WorkflowRow], now_ms: int) -> None:
    """Give free slots to those who wait, the oldest first, before anybody new is admitted."""
    free = {
        id_: dequeue_count(row.strategy, row.standing.running, row.strategy.workflow_concurrency)
        for id_, row in rows.items()
        if row.standing.queued
    }
    free = {id_: count for id_, count in free.items() if count}
    again = free
    while again:
        asked = list(again), list(again.values())
        cursor = await conn.execute(sql.DEQUEUE, (*asked, now_ms, _STARTED_EVENT), prepare=True)
        missed: set[str] = set()
        for id_, partition in await cursor.fetchall():
            if partition is None:
                missed.add(id_)
                continue
            row = rows[id_]
            row.standing = row.standing.after(Admission.RUN)
            row.partitions = (*row.partitions, partition)
            free[id_] -= 1
        # A run that was stopped while we came for it gave its slot to nobody, and whoever waits behind it would be
        # told of no other.
        again = {id_: free[id_] for id_ in missed}
    for id_, left in free.items():
        if left:  # Slots remain, so nobody waits any more.
            rows[id_].standing = Standing(running=rows[id_].standing.running)


class _Batch:
    """Decides one request after the other and gathers the rows to write."""

    def __init__(self, rows: dict[str, _WorkflowRow], known: _Known, partitions: int, now_ms: int) -> None:
        self._rows = rows
        self._known = known
        self._partitions = partitions
        self._now_ms = now_ms
        self.documents: list[dict[str, Any]] = []

    def decide(self, request: StartRequest) -> StartResult:
        """Return what becomes of *request*; a run to store is added to `documents`."""
        row = self._rows.get(request.workflow_id)
        if row is None:
            return _result(request, StartOutcome.NOT_FOUND)
        key = request.workflow_id, request.request_id
        admission = admit(row.strategy, msgspec.structs.replace(row.standing, known_request=key in self._known))
        if admission is Admission.DUPLICATED:
            earlier = self._known[key]
            # Its own run_uid says that an earlier try of this very request committed.
            outcome = StartOutcome.CREATED if earlier == request.run_uid else StartOutcome.DUPLICATED
            return msgspec.structs.replace(_result(request, outcome), run_uid=earlier)
        refusal = row.refusal(request)
        if refusal is not None:
            return _result(request, refusal)
        self._known[key] = request.run_uid
        return self._store(row, request, admission)

    def _store(self, row: _WorkflowRow, request: StartRequest, admission: Admission) -> StartResult:
        row.last_instance_id += 1
        key = instance_key(request.workflow_id, row.last_instance_id)
        run = _Run(row.last_instance_id, partition_of(key, self._partitions), InstanceStatus.CREATED, False, "")
        if request.failure is not None:
            run = run._replace(status=InstanceStatus.FAILED, message=request.failure)
        elif admission is Admission.STOPPED:
            unfinished = row.running or "a run that waits"
            message = f"stopped by the run strategy {row.strategy.rule}: {unfinished} is not finished"
            run = run._replace(status=InstanceStatus.STOPPED, message=message)
        else:
            run = run._replace(is_admitted=admission is Admission.RUN)
            row.standing = row.standing.after(admission)
            row.running = row.running or f"{key}:1"
        self.documents.append(_document(request, run, self._now_ms))
        hints, row.partitions = row.partitions, ()
        return msgspec.structs.replace(
            _result(request, StartOutcome.STOPPED if run.status is InstanceStatus.STOPPED else StartOutcome.CREATED),
            instance_id=run.instance_id,
            run_id=1,
            message=run.message,
            partitions=(*hints, run.partition) if run.is_admitted else hints,
        )


class _Run(NamedTuple):
    """What was decided upon one run."""

    instance_id: int
    partition: int
    status: InstanceStatus
    is_admitted: bool
    message: str


def _result(request: StartRequest, outcome: StartOutcome) -> StartResult:
    return StartResult(
        outcome=outcome,
        workflow_id=request.workflow_id,
        request_id=request.request_id,
        run_uid=request.run_uid,
        workflow_version=request.workflow_version,
    )


def _document(request: StartRequest, run: _Run, now_ms: int) -> dict[str, Any]:
    """Return the row of one run, as `start_statements.WRITE` reads it."""
    correlation_id = f"{request.workflow_id}:{run.instance_id}:1"
    timeline: list[dict[str, Any]] | None = None
    if request.failure is not None:
        timeline = [{"type": "DETAILS", "timestamp": now_ms, "status": "BAD_REQUEST", "message": run.message}]
    elif run.message:
        timeline = [{"type": "LOG", "timestamp": now_ms, "level": "INFO", "message": run.message}]
    return {
        "partition": run.partition,
        "run_uid": request.run_uid,
        "workflow_id": request.workflow_id,
        "instance_id": run.instance_id,
        "status": run.status,
        "execution_id": new_uid() if run.is_admitted else None,
        "workflow_uuid": request.request_id,
        "workflow_version": request.workflow_version,
        "definition_uid": request.definition_uid,
        "correlation_id": correlation_id,
        "initiator": request.initiator,
        "params": request.params,
        "run_config": request.run_config,
        "request_time_ms": request.request_time_ms,
        "create_time_ms": now_ms,
        "end_time_ms": now_ms if run.status.is_terminal else None,
        "timeline": timeline,
        "event": {
            "type": "WORKFLOW_INSTANCE_STATUS_CHANGE_EVENT",
            "workflow_id": request.workflow_id,
            "workflow_name": request.workflow_name or request.workflow_id,
            "workflow_instance_id": run.instance_id,
            "workflow_run_id": 1,
            "workflow_uuid": request.request_id,
            "correlation_id": correlation_id,
            "depth": 0,
            "tags": request.tags,
            "new_status": run.status,
            "event_time": now_ms,
        },
    }


async def _with_earlier_commits(conn: Connection, results: list[StartResult]) -> list[StartResult]:
    """Fill in the ids of runs that an earlier try of the same request stored."""
    missing = [r.run_uid for r in results if r.outcome is StartOutcome.CREATED and not r.instance_id]
    if not missing:
        return results
    cursor = await conn.execute(sql.STORED, (missing,))
    stored = {row[0]: row[1:] for row in await cursor.fetchall()}
    filled = []
    for result in results:
        if result.run_uid in stored and not result.instance_id:
            version, instance_id, run_id, partition, status = stored[result.run_uid]
            result = msgspec.structs.replace(
                result,
                outcome=StartOutcome.STOPPED if status == InstanceStatus.STOPPED else StartOutcome.CREATED,
                workflow_version=version,
                instance_id=instance_id,
                run_id=run_id,
                partitions=(partition,),
            )
        filled.append(result)
    return filled
