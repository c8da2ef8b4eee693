"""
Move the cursors of signal triggers, in the transactions that store the runs they start.

Rows are locked in the order workflow, cursor, as whoever pushes a definition does.  The name's row is not locked: a
number becomes visible only after all smaller ones, and a new cursor begins behind every number of its time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from maestro_py.admission import StartRequest, StartResult
from maestro_py.model.definition import Workflow, decode_workflow
from maestro_py.ports.signal_store import ActiveVersion, Contended, Cursor, Signal
from maestro_py.storage.connections import Database
from maestro_py.storage.starts import start_runs

#: How long we wait for a workflow's row that somebody holds, in ms: long for a start, short for a lane.
PATIENCE_MS: Final = 500
#: Pending rows that one transaction deletes at most.
SETTLED_AT_MOST: Final = 5_000

#: Returns each name with pending signals once: one look-up by index for each, however many signals it has.
_PENDING: Final = """
WITH RECURSIVE pending AS (
    (SELECT name FROM signal_pending ORDER BY name LIMIT 1)
    UNION ALL
    SELECT (SELECT p.name FROM signal_pending p WHERE p.name > pending.name ORDER BY p.name LIMIT 1)
    FROM pending WHERE pending.name IS NOT NULL
)
SELECT name FROM pending WHERE name IS NOT NULL
"""

#: Locks and returns cursors that are behind.
_TAKE: Final = """
SELECT t.workflow_id, t.trigger_uuid, t.name, t.trigger, t.next_seq
FROM signal_trigger t JOIN workflow w ON w.workflow_id = t.workflow_id
WHERE t.name = %(name)s AND t.next_seq <= (SELECT n.last_seq FROM signal_name n WHERE n.name = %(name)s)
  AND t.workflow_id <> ALL(%(resting)s)
ORDER BY t.next_seq LIMIT %(limit)s
-- SKIP LOCKED: other signal services take the cursors we have not, and nobody waits for a start that is going on.
FOR NO KEY UPDATE OF w SKIP LOCKED FOR UPDATE OF t SKIP LOCKED
"""

#: Returns one cursor that is behind, without a lock.
_BEHIND: Final = """
SELECT t.workflow_id, t.trigger_uuid FROM signal_trigger t
WHERE t.name = %(name)s AND t.next_seq <= (SELECT n.last_seq FROM signal_name n WHERE n.name = %(name)s)
  AND t.workflow_id <> ALL(%(resting)s)
ORDER BY t.next_seq LIMIT 1
"""

#: Locks the workflow of a cursor, waiting for whoever holds it.
_AWAIT_WORKFLOW: Final = "SELECT FROM workflow WHERE workflow_id = %s FOR NO KEY UPDATE"

#: Locks and returns that cursor if it is behind still.
_AWAIT_CURSOR: Final = """
SELECT t.workflow_id, t.trigger_uuid, t.name, t.trigger, t.next_seq FROM signal_trigger t
WHERE t.workflow_id = %s AND t.trigger_uuid = %s AND t.name = %s
  AND t.next_seq <= (SELECT n.last_seq FROM signal_name n WHERE n.name = t.name)
FOR UPDATE
"""

#: Returns what the workflows are at, for those that listen to signals.  A statement of its own after the lock: it
#: must see the version that whoever held the lock before us made the active one.
_LISTENING: Final = """
SELECT w.workflow_id, v.workflow_version, v.definition_uid, w.properties->>'owner'
FROM workflow w JOIN workflow_version v ON v.workflow_id = w.workflow_id AND v.workflow_version = w.active_version
WHERE w.workflow_id = ANY(%s) AND NOT coalesce((w.properties->>'signal_trigger_disabled')::boolean, false)
"""

#: Returns signals of a name in their order.
_SIGNALS: Final = """
SELECT seq_id, params FROM signal_instance WHERE name = %s AND seq_id >= %s ORDER BY seq_id LIMIT %s
"""

#: Returns definitions; they never change.
_DEFINITIONS: Final = "SELECT definition_uid, definition::text FROM workflow_version WHERE definition_uid = ANY(%s)"

#: Moves cursors forward, looked up by key one by one; "+ 0" keeps the planner off the index of those behind.
_MOVE: Final = """
UPDATE signal_trigger t SET next_seq = m.next_seq
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS m(workflow_id, trigger_uuid, name, next_seq)
WHERE t.workflow_id = m.workflow_id AND t.trigger_uuid = m.trigger_uuid AND t.name = m.name
  AND t.next_seq + 0 < m.next_seq
"""

#: Deletes cursors, all names of a trigger that has lost its workflow.
_UNSUBSCRIBE: Final = """
DELETE FROM signal_trigger t USING unnest(%s::text[], %s::text[]) AS d(workflow_id, trigger_uuid)
WHERE t.workflow_id = d.workflow_id AND t.trigger_uuid = d.trigger_uuid
"""

#: Deletes the pending rows of a name that every cursor of it has passed.
_SETTLE: Final = """
WITH passed AS MATERIALIZED (
    SELECT p.name, p.seq_id FROM signal_pending p
    WHERE p.name = %(name)s AND p.seq_id < coalesce(
        (SELECT t.next_seq FROM signal_trigger t WHERE t.name = %(name)s ORDER BY t.next_seq LIMIT 1),
        9223372036854775807)
    ORDER BY p.seq_id LIMIT %(limit)s
    -- SKIP LOCKED: whoever holds a row is deleting it.
    FOR UPDATE SKIP LOCKED
)
DELETE FROM signal_pending p WHERE p.name = %(name)s AND p.seq_id = ANY(ARRAY(SELECT seq_id FROM passed))
"""

_STILL_PENDING: Final = "SELECT EXISTS (SELECT FROM signal_pending WHERE name = %s)"

#: The transaction did nothing and is worth another try later.
_CONTENTION: Final = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


class PostgresSignalStore:
    """
    Implements `SignalStore`.

    Args:
        database: With ``hot`` connections; as many as the service works on names at a time, and one more.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresCursorTransaction]:
        """
        Open a transaction; it commits when the block ends well.

        Raises:
            Contended: somebody else was at the same rows; nothing was done.
            StoreUnavailable: the server is away; whether a COMMIT took effect is then unknown, and the cursors say.
        """
        try:
            async with self._database.transaction() as conn:
                yield PostgresCursorTransaction(conn)
        except _CONTENTION as exc:
            raise Contended from exc

    async def pending_names(self) -> list[str]:
        """Return the names that have signals which some cursor may not have passed."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_PENDING)
            return [name for (name,) in await cursor.fetchall()]


class PostgresCursorTransaction:
    """Implements `CursorTransaction`."""

    def __init__(self, conn: AsyncConnection[TupleRow]) -> None:
        self._conn = conn

    async def take(self, name: str, limit: int, resting: Collection[str]) -> list[Cursor]:
        """Lock and return at most *limit* cursors of *name* that are behind, waiting for none."""
        asked = {"name": name, "limit": limit, "resting": list(resting)}
        cursor = await self._conn.execute(_TAKE, asked, prepare=True)
        return await self._with_versions(await cursor.fetchall())

    async def take_contended(self, name: str, resting: Collection[str]) -> list[Cursor]:
        """
        Wait for one cursor of *name* that is behind, and return it; empty: nobody is behind any more.

        Raises:
            Contended: it stayed locked.
        """
        found = await self._conn.execute(_BEHIND, {"name": name, "resting": list(resting)})
        behind = await found.fetchone()
        if behind is None:
            return []
        workflow_id, trigger_uuid = behind
        try:
            await self._conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{PATIENCE_MS}ms",))
            await self._conn.execute(_AWAIT_WORKFLOW, (workflow_id,))
            cursor = await self._conn.execute(_AWAIT_CURSOR, (workflow_id, trigger_uuid, name))
        except _CONTENTION as exc:
            raise Contended(workflow_id) from exc
        return await self._with_versions(await cursor.fetchall())

    async def signals(self, name: str, from_seq: int, limit: int) -> list[Signal]:
        """Return at most *limit* signals of *name*, from *from_seq* on, in order."""
        cursor = await self._conn.execute(_SIGNALS, (name, from_seq, limit), prepare=True)
        return [Signal(seq_id, params) for seq_id, params in await cursor.fetchall()]

    async def definitions(self, uids: Collection[UUID]) -> dict[UUID, Workflow]:
        """Return the definitions of *uids*."""
        cursor = await self._conn.execute(_DEFINITIONS, (list(uids),), prepare=True)
        return {uid: decode_workflow(text) for uid, text in await cursor.fetchall()}

    async def start(self, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        """Admit and store the runs, stamped *now_ms*; return what became of each, in order."""
        return await start_runs(self._conn, requests, now_ms=now_ms)

    async def move(self, cursors: Sequence[tuple[Cursor, int]]) -> None:
        """Set the next sequence number of each cursor; none moves backwards."""
        columns: tuple[list[Any], ...] = ([], [], [], [])
        for cursor, next_seq in cursors:
            for column, value in zip(
                columns, (cursor.workflow_id, cursor.trigger_uuid, cursor.name, next_seq), strict=True
            ):
                column.append(value)
        await self._conn.execute(_MOVE, columns, prepare=True)

    async def unsubscribe(self, cursors: Sequence[Cursor]) -> None:
        """Delete the rows of the triggers of *cursors*."""
        ids = [c.workflow_id for c in cursors], [c.trigger_uuid for c in cursors]
        await self._conn.execute(_UNSUBSCRIBE, ids)

    async def settle(self, name: str) -> bool:
        """Delete what of *name* every cursor has passed, and say whether anything is still pending."""
        await self._conn.execute(_SETTLE, {"name": name, "limit": SETTLED_AT_MOST}, prepare=True)
        # A statement of its own: it sees what the one before has deleted.
        cursor = await self._conn.execute(_STILL_PENDING, (name,), prepare=True)
        [(pending,)] = await cursor.fetchall()
        return bool(pending)

    async def _with_versions(self, rows: Sequence[TupleRow]) -> list[Cursor]:
        if not rows:
            return []
        found = await self._conn.execute(_LISTENING, ([row[0] for row in rows],), prepare=True)
        listening = {workflow_id: ActiveVersion(*version) for workflow_id, *version in await found.fetchall()}
        return [
            Cursor(
                workflow_id=workflow_id,
                trigger_uuid=trigger_uuid,
                name=name,
                trigger=trigger,
                next_seq=next_seq,
                active=listening.get(workflow_id),
            )
            for workflow_id, trigger_uuid, name, trigger, next_seq in rows
        ]
