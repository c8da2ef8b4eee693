"""Run an engine's batches: one fenced transaction each, in as few round trips as pipelines allow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, LiteralString
from uuid import UUID

import orjson
from psycopg import AsyncConnection, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from maestro_py.model.definition import Workflow, decode_workflow
from maestro_py.model.errors import BadRow, Fenced, NotFound, RowContended, StaleInstance
from maestro_py.model.events import CLASS_OF, Event, encode_event
from maestro_py.params import Found, Loop, ResultsKey
from maestro_py.ports.engine_store import (
    NO_TIMERS,
    AttemptKey,
    AttemptRow,
    Backlog,
    Dequeued,
    DispatchedCount,
    DueTimers,
    Launch,
    ReadyRow,
    ResultsPage,
    RunKey,
    RunRow,
    StopChunk,
    Taken,
    Writes,
)
from maestro_py.storage import engine_statements as sql
from maestro_py.storage.connections import Database
from maestro_py.storage.partitions import FENCE, FENCE_ALL, fence_arguments
from maestro_py.storage.starts import dequeue


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what PostgreSQL refuses into our errors; deadlocks and serialization failures mean: decide afresh."""
    try:
        yield
    except errors.DivisionByZero as exc:
        raise StaleInstance("a row changed since it was read") from exc
    except (errors.DeadlockDetected, errors.SerializationFailure) as exc:
        raise StaleInstance(str(exc)) from exc
    except errors.LockNotAvailable as exc:
        raise RowContended(str(exc)) from exc
    except (errors.DataError, errors.IntegrityError) as exc:
        # Without its details, which quote the row.
        where = f" ({exc.diag.constraint_name})" if exc.diag.constraint_name else ""
        raise BadRow(f"{exc.diag.message_primary or type(exc).__name__}{where}") from exc


class PostgresTransaction:
    """One batch; see `ports.engine_store.EngineTransaction`."""

    def __init__(self, conn: AsyncConnection[TupleRow], fence: Sequence[tuple[int, int]]) -> None:
        self._conn = conn
        self._fence = sorted(fence)

    async def take(
        self,
        partitions: Sequence[int],
        limits: Sequence[tuple[int, int]],
        timers: DueTimers = NO_TIMERS,
        excluded: Sequence[UUID] = (),
        only: Sequence[UUID] | None = None,
    ) -> list[Taken]:
        """Check the fence, then delete events and due timers and return them, oldest first within each class."""
        runs: dict[str, Any] = {"excluded": list(excluded), "only": None if only is None else list(only)}
        with _translated():
            async with self._conn.pipeline():
                await self._conn.execute("BEGIN")
                fence = await self._conn.execute(FENCE, fence_arguments(dict(self._fence)), prepare=True)
                events = fired = None
                if partitions:
                    classes, most = [c for c, _ in limits], [n for _, n in limits]
                    inboxes = {"partitions": list(partitions), "classes": classes, "limits": most, **runs}
                    events = await self._conn.execute(sql.TAKE_EVENTS, inboxes, prepare=True)
                if timers.partitions:
                    due = {**timers._asdict(), "partitions": list(timers.partitions), **runs}
                    fired = await self._conn.execute(sql.TAKE_TIMERS, due, prepare=True)
                held = {row[0] for row in await fence.fetchall()}
                rows = [Taken._make(row) for row in await events.fetchall()] if events else []
                rows += [Taken._make(row) for row in await fired.fetchall()] if fired else []
        if len(held) != len(self._fence):
            missing = sorted({p for p, _ in self._fence} - held)
            raise Fenced(f"no longer the owner of partitions {missing}")
        rows.sort(key=lambda row: (row.event_class, row.id))
        return rows

    async def load_runs(self, keys: Sequence[RunKey]) -> tuple[list[RunRow], list[AttemptRow]]:
        """Return the runs, and the newest attempt of each of their steps."""
        arguments = {"partitions": [k.partition for k in keys], "runs": [k.run_uid for k in keys]}
        async with self._conn.pipeline():
            runs = await self._conn.execute(sql.LOAD_RUNS, arguments, prepare=True)
            attempts = await self._conn.execute(sql.LOAD_ATTEMPTS, arguments, prepare=True)
            run_rows = [RunRow._make(row) for row in await runs.fetchall()]
            attempt_rows = [AttemptRow._make(row) for row in await attempts.fetchall()]
        return run_rows, attempt_rows

    async def load_outer(self, keys: Sequence[AttemptKey]) -> dict[AttemptKey, str]:
        """Return the JSON that the iterations of each foreach share."""
        arguments = {
            "partitions": [k.partition for k in keys],
            "runs": [k.run_uid for k in keys],
            "steps": [k.step_id for k in keys],
            "attempts": [k.attempt for k in keys],
        }
        cursor = await self._conn.execute(sql.LOAD_OUTER, arguments, prepare=True)
        return {AttemptKey._make(row[:4]): row[4] for row in await cursor.fetchall()}

    async def load_items(self, key: AttemptKey, chunks: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        """Return the loop values in these chunks of a foreach."""
        arguments = key._asdict() | {"chunks": list(chunks)}
        cursor = await self._conn.execute(sql.LOAD_ITEMS, arguments, prepare=True)
        return {chunk: orjson.loads(values) for chunk, values in await cursor.fetchall()}

    async def stop_chunk(self, chunk: StopChunk) -> list[tuple[int, int]]:
        """Send the event to the live iterations; return (partition, iteration) of each."""
        arguments = {
            "workflow_id": chunk.workflow_id,
            "after": chunk.after_iteration,
            "limit": chunk.limit,
            "payload": chunk.payload.decode(),
        }
        cursor = await self._conn.execute(sql.STOP_CHUNK, arguments, prepare=True)
        return [(partition, iteration) for partition, iteration in await cursor.fetchall()]

    async def dequeue(self, workflow_ids: Sequence[str], now_ms: int) -> Dequeued:
        """Admit queued runs of those workflows that nobody else has locked, as their run strategies allow."""
        with _translated():
            arguments = {"workflow_ids": sorted(workflow_ids)}
            cursor = await self._conn.execute(sql.LOCK_FREE_WORKFLOWS, arguments, prepare=True)
            is_free: dict[str, bool] = dict(await cursor.fetchall())
            free = [workflow_id for workflow_id, free in is_free.items() if free]
            partitions = await dequeue(self._conn, free, now_ms=now_ms) if free else ()
        return Dequeued(partitions, is_free.keys() - set(free))

    async def save(self, writes: Writes) -> list[UUID]:
        """Write everything and commit; return the workers that hold an attempt to be cancelled."""
        with _translated():
            async with self._conn.pipeline():
                if writes.fence:
                    arguments = fence_arguments(dict(writes.fence)) | {"expected": len(writes.fence)}
                    await self._conn.execute(FENCE_ALL, arguments, prepare=True)
                await self._save_parts(writes)
                await self._write(sql.INSERT_ITEMS, writes.items)
                for launch in writes.launches:
                    await self._conn.execute(sql.LAUNCH, _launch_arguments(launch), prepare=True)
                # After the rows they speak of: what is created and taken back in one batch is both.
                cancelled = await self._write(sql.CANCEL, writes.cancels)
                await self._write(sql.OFFER, writes.offers)
                if writes.dead_letters:
                    await self._conn.execute(sql.INSERT_DEAD_LETTERS, _columns(writes.dead_letters))
                await self._write(sql.QUARANTINE, writes.quarantines)
                await self._conn.execute("COMMIT")
                return [row[0] for row in await cancelled.fetchall()] if cancelled else []

    async def _save_parts(self, writes: Writes) -> None:
        parts = {name: rows for name in sql.SAVE_PARTS if (rows := getattr(writes, name))}
        if parts:
            arguments: dict[str, Any] = {name: _document(rows) for name, rows in parts.items()}
            arguments |= {
                "runs_expected": len(writes.runs),
                "attempts_expected": len(writes.attempts),
                "evaluated_expected": len(writes.evaluated),
            }
            await self._conn.execute(sql.save_statement(tuple(parts)), arguments, prepare=True)

    async def _write(self, statement: LiteralString, rows: Sequence[dict[str, Any]]) -> Any:
        if rows:
            return await self._conn.execute(statement, {"rows": _document(rows)}, prepare=True)
        return None

    async def end(self) -> None:
        """Roll back whatever `save` has not committed."""
        if self._conn.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
            await self._conn.execute("ROLLBACK")


def _document(rows: Sequence[dict[str, Any]]) -> str:
    try:
        return orjson.dumps(rows, default=_json_default).decode()
    except TypeError as exc:
        # Half a surrogate pair, or an integer beyond 64 bits: refused here instead of by PostgreSQL.
        raise BadRow(f"a value has no JSON: {exc}") from exc


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return rows as one array for each column; JSON made earlier is text."""
    return {name: [v.decode() if isinstance(v := row[name], bytes) else v for row in rows] for name in rows[0]}


def _json_default(value: Any) -> Any:
    """Let rows hold JSON made earlier (bytes) beside plain values."""
    if isinstance(value, bytes):
        return orjson.Fragment(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


def _launch_arguments(launch: Launch) -> dict[str, Any]:
    return {
        "rows": orjson.dumps(launch.iterations).decode(),
        "workflow_id": launch.workflow_id,
        "workflow_version": launch.workflow_version,
        "definition_uid": launch.definition_uid,
        "scope": launch.scope,
        "correlation_id": launch.correlation_id,
        "depth": launch.depth,
        "root_workflow_id": launch.root_workflow_id,
        "parent_partition": launch.parent.partition,
        "parent_run_uid": launch.parent.run_uid,
        "parent_step_id": launch.parent.step_id,
        "parent_attempt": launch.parent.attempt,
        "initiator": launch.initiator.decode(),
        "now_ms": launch.now_ms,
    }


_WORKFLOW: Final = """
SELECT v.definition::text, w.internal_id::text FROM workflow_version v
LEFT JOIN workflow w ON w.workflow_id = v.workflow_id WHERE v.definition_uid = %s
"""


class PostgresEngineStore:
    """The store as an engine sees it; see `ports.engine_store.EngineStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def batch(self, fence: Sequence[tuple[int, int]]) -> AsyncIterator[PostgresTransaction]:
        """Lend a transaction behind the fence: (partition, epoch) pairs this engine owns."""
        async with self._database.connection() as conn:
            transaction = PostgresTransaction(conn, fence)
            try:
                yield transaction
            finally:
                await transaction.end()

    async def send(self, partition: int, run_uid: UUID, event: Event) -> None:
        """Put *event* into the inbox of a run, in a transaction of its own."""
        arguments = {
            "partition": partition,
            "class": CLASS_OF[type(event)],
            "run_uid": run_uid,
            "payload": encode_event(event).decode(),
        }
        async with self._database.connection() as conn:
            with _translated():
                await conn.execute(sql.SEND, arguments, prepare=True)

    async def workflow(self, definition_uid: UUID) -> tuple[Workflow, str]:
        """Return a definition and the internal id of its workflow."""
        rows = await self._rows(_WORKFLOW, (definition_uid,))
        if not rows:
            raise NotFound(f"definition {definition_uid}")
        return decode_workflow(rows[0][0]), rows[0][1] or ""

    async def results_page(self, loop: Loop, key: ResultsKey, first: int, last: int, most_bytes: int) -> ResultsPage:
        """Return the output that *key* names in iterations *first* to *last* of *loop*."""
        arguments = {
            "workflow_id": loop.iterations,
            "step_id": key.step_id,
            "name": key.name,
            "first": first,
            "last": last,
            "bytes": most_bytes,
        }
        with _translated():
            ((values, size, found),) = await self._rows(sql.LOOP_RESULTS, arguments)
        return ResultsPage(values, size, [Found._make(one) for one in orjson.loads(found or "[]")])

    async def backlog(self, partitions: Sequence[int]) -> Backlog:
        """Return those of *partitions* whose inbox is not empty."""
        rows = await self._rows(sql.BACKLOG, {"partitions": list(partitions)})
        return Backlog({p for p, of_workflow in rows if not of_workflow}, {p for p, of_workflow in rows if of_workflow})

    async def next_timers(self, partitions: Sequence[int], until_ms: int) -> list[tuple[int, int]]:
        """Return (fire ms, partition) of the first timers of each partition due until *until_ms*."""
        arguments = {"partitions": list(partitions), "until_ms": until_ms}
        return [(fire_ms, partition) for fire_ms, partition in await self._rows(sql.NEXT_TIMERS, arguments)]

    async def ready(self, partitions: Sequence[int]) -> list[ReadyRow]:
        """Return the attempts of *partitions* that are READY."""
        rows = await self._rows(sql.READY, {"partitions": list(partitions)})
        return [ReadyRow(AttemptKey._make(r[:4]), r[4], tuple(r[5]), r[6], r[7]) for r in rows]

    async def dispatched(self, partitions: Sequence[int]) -> list[DispatchedCount]:
        """Count the attempts of *partitions* that are QUEUED or CLAIMED."""
        rows = await self._rows(sql.DISPATCHED, {"partitions": list(partitions)})
        return [DispatchedCount(queue, tuple(keys), count) for queue, keys, count in rows]

    async def contended(self, keys: Sequence[RunKey]) -> set[UUID]:
        """Return those runs of which some row is locked by somebody else right now."""
        arguments = {"partitions": [k.partition for k in keys], "runs": [k.run_uid for k in keys]}
        return {row[0] for row in await self._rows(sql.CONTENDED, arguments)}

    async def _rows(self, statement: LiteralString, arguments: Any) -> list[TupleRow]:
        async with self._database.connection() as conn:
            cursor = await conn.execute(statement, arguments, prepare=True)
            return await cursor.fetchall()
