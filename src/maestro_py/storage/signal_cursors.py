"""
Move the cursors of signal triggers, in the transactions that store the runs they start.

Rows are locked in the order workflow, cursor, as whoever pushes a definition does, and never while users' expressions
run: a look locks only to see what is free, and lets go at once.  The name's row is not locked: a number becomes visible
only after all smaller ones, and a new cursor begins behind every number of its time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from maestro_py.admission import StartRequest, StartResult
from maestro_py.model.definition import Workflow, decode_workflow
from maestro_py.ports.signal_store import ActiveVersion, Contended, Cursor, Drops, Look, Move, Signal
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

_CURSOR: Final = (
    "t.workflow_id, t.trigger_uuid, t.name, t.trigger, t.next_seq, t.drops, "
    "coalesce(t.claimed_until > clock_timestamp(), false)"
)

_IS_BEHIND: Final = """
t.name = %(name)s AND t.next_seq <= (SELECT n.last_seq FROM signal_name n WHERE n.name = %(name)s)
  AND t.workflow_id <> ALL(%(resting)s) AND (t.claimed_until IS NULL OR t.claimed_until < clock_timestamp())
"""

#: Returns cursors that are behind and locked by nobody.
_LOOK: Final = f"""
SELECT {_CURSOR} FROM signal_trigger t JOIN workflow w ON w.workflow_id = t.workflow_id
WHERE {_IS_BEHIND}
ORDER BY t.next_seq LIMIT %(limit)s
-- SKIP LOCKED: other signal services work on the cursors they hold, and nobody waits for a start that is going on.
FOR NO KEY UPDATE OF w SKIP LOCKED FOR UPDATE OF t SKIP LOCKED
"""  # noqa: S608  # our own text

#: Returns one cursor that is behind, without a lock.
_BEHIND: Final = f"""
SELECT t.workflow_id, t.trigger_uuid FROM signal_trigger t
WHERE {_IS_BEHIND}
ORDER BY t.next_seq LIMIT 1
"""  # noqa: S608  # our own text

#: Locks and returns cursors by their keys.
_HOLD: Final = f"""
SELECT {_CURSOR} FROM unnest(%s::text[], %s::text[]) AS k(workflow_id, trigger_uuid)
JOIN signal_trigger t ON t.workflow_id = k.workflow_id AND t.trigger_uuid = k.trigger_uuid AND t.name = %s
JOIN workflow w ON w.workflow_id = t.workflow_id
ORDER BY t.workflow_id, t.trigger_uuid
-- SKIP LOCKED: as above.
FOR NO KEY UPDATE OF w SKIP LOCKED FOR UPDATE OF t SKIP LOCKED
"""  # noqa: S608  # our own text

#: Locks the workflow of a cursor, waiting for whoever holds it.
_AWAIT_WORKFLOW: Final = "SELECT FROM workflow WHERE workflow_id = %s FOR NO KEY UPDATE"

#: Locks and returns that cursor.
_AWAIT_CURSOR: Final = f"""
SELECT {_CURSOR} FROM signal_trigger t
WHERE t.workflow_id = %s AND t.trigger_uuid = %s AND t.name = %s FOR UPDATE
"""  # noqa: S608  # our own text

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
UPDATE signal_trigger t SET next_seq = m.next_seq, drops = coalesce(m.drops::json, t.drops),
    claimed_until = CASE WHEN m.claim_ms > 0 THEN clock_timestamp() + make_interval(secs => m.claim_ms / 1000.0) END
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::integer[])
    AS m(workflow_id, trigger_uuid, name, next_seq, drops, claim_ms)
WHERE t.workflow_id = m.workflow_id AND t.trigger_uuid = m.trigger_uuid AND t.name = m.name
  AND t.next_seq + 0 <= m.next_seq
"""

#: Claims those cursors that have not moved.
_CLAIM: Final = """
WITH ours AS MATERIALIZED (
    SELECT t.workflow_id, t.trigger_uuid, t.name
    FROM unnest(%(workflow_ids)s::text[], %(trigger_uuids)s::text[], %(names)s::text[], %(next_seqs)s::bigint[])
        AS c(workflow_id, trigger_uuid, name, next_seq)
    JOIN signal_trigger t ON t.workflow_id = c.workflow_id AND t.trigger_uuid = c.trigger_uuid AND t.name = c.name
        AND t.next_seq + 0 = c.next_seq
    ORDER BY t.workflow_id, t.trigger_uuid, t.name
    -- SKIP LOCKED: whoever holds a cursor is moving it.
    FOR UPDATE OF t SKIP LOCKED
)
UPDATE signal_trigger t
SET claimed_until = CASE WHEN %(ms)s::integer > 0
    THEN clock_timestamp() + make_interval(secs => %(ms)s::integer / 1000.0) END
FROM ours o WHERE t.workflow_id = o.workflow_id AND t.trigger_uuid = o.trigger_uuid AND t.name = o.name
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

    async def look(self, name: str, limit: int, resting: Collection[str], signals_limit: int) -> Look:
        """Return cursors of *name* that are behind and nobody's, and the signals that they have not passed."""
        asked = {"name": name, "limit": limit, "resting": list(resting)}
        async with self._looking() as conn:
            found = await conn.execute(_LOOK, asked, prepare=True)
            cursors = await _with_versions(conn, await found.fetchall())
            if not cursors:
                return Look([], [])
            first = min(cursor.next_seq for cursor in cursors)
            return Look(cursors, await _signals(conn, name, first, signals_limit))

    async def await_contended(self, name: str, resting: Collection[str]) -> Cursor | None:
        """
        Wait until somebody lets go of a cursor of *name* that is behind, and return it; None: there is none.

        Raises:
            Contended: it stayed locked.
        """
        async with self._looking() as conn:
            found = await conn.execute(_BEHIND, {"name": name, "resting": list(resting)})
            behind = await found.fetchone()
            if behind is None:
                return None
            cursors = await _with_versions(conn, await _awaited(conn, name, *behind))
            return cursors[0] if cursors else None

    async def signals(self, name: str, from_seq: int, limit: int) -> list[Signal]:
        """Return at most *limit* signals of *name*, from *from_seq* on, in order."""
        async with self._database.connection() as conn:
            return await _signals(conn, name, from_seq, limit)

    async def definitions(self, uids: Collection[UUID]) -> dict[UUID, Workflow]:
        """Return the definitions of *uids*."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_DEFINITIONS, (list(uids),), prepare=True)
            return {uid: decode_workflow(text) for uid, text in await cursor.fetchall()}

    async def claim(self, cursors: Collection[Cursor], for_ms: int) -> None:
        """Have others leave *cursors* alone for *for_ms* from now, those that have not moved; 0: no longer."""
        asked = {
            "ms": for_ms,
            "workflow_ids": [cursor.workflow_id for cursor in cursors],
            "trigger_uuids": [cursor.trigger_uuid for cursor in cursors],
            "names": [cursor.name for cursor in cursors],
            "next_seqs": [cursor.next_seq for cursor in cursors],
        }
        async with self._database.connection() as conn:
            await conn.execute(_CLAIM, asked)

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """Lend a transaction that only looks: undone, it lets go of its locks without a flush to the disk."""
        async with self._database.connection() as conn, conn.transaction(force_rollback=True):
            yield conn

    async def pending_names(self) -> list[str]:
        """Return the names that have signals which some cursor may not have passed."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_PENDING)
            return [name for (name,) in await cursor.fetchall()]


class PostgresCursorTransaction:
    """Implements `CursorTransaction`."""

    def __init__(self, conn: AsyncConnection[TupleRow]) -> None:
        self._conn = conn

    async def hold(self, cursors: Sequence[Cursor], *, claimed: bool = False) -> list[Cursor]:
        """
        Lock the rows of *cursors* and their workflows, and return those that still are what they were.

        Raises:
            Contended: it is one, and it stayed locked.
        """
        if len(cursors) == 1:
            rows = await _awaited(self._conn, cursors[0].name, *cursors[0].key)
        else:
            keys = [c.workflow_id for c in cursors], [c.trigger_uuid for c in cursors]
            found = await self._conn.execute(_HOLD, (*keys, cursors[0].name), prepare=True)
            rows = await found.fetchall()
        # Two who looked at once have both seen it free: the second to hold it finds the claim of the first.
        rows = [row for row in rows if claimed or not row[-1]]
        held = {cursor.key: cursor for cursor in await _with_versions(self._conn, rows)}
        return [cursor for cursor in cursors if held.get(cursor.key) == cursor]

    async def start(self, requests: Sequence[StartRequest], now_ms: int) -> list[StartResult]:
        """Admit and store the runs, stamped *now_ms*; return what became of each, in order."""
        return await start_runs(self._conn, requests, now_ms=now_ms)

    async def move(self, moves: Sequence[Move]) -> None:
        """Move cursors that are held; none moves backwards."""
        columns: tuple[list[Any], ...] = ([], [], [], [], [], [])
        for cursor, next_seq, drops, claim_ms in moves:
            traced = None if drops is cursor.drops else msgspec.json.encode(drops).decode()
            row = cursor.workflow_id, cursor.trigger_uuid, cursor.name, next_seq, traced, claim_ms
            for column, value in zip(columns, row, strict=True):
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


async def _awaited(conn: AsyncConnection[TupleRow], name: str, workflow_id: str, trigger_uuid: str) -> list[TupleRow]:
    """
    Lock one cursor and its workflow, and return its row, if it is there.

    Raises:
        Contended: it stayed locked.
    """
    try:
        await conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{PATIENCE_MS}ms",))
        await conn.execute(_AWAIT_WORKFLOW, (workflow_id,), prepare=True)
        cursor = await conn.execute(_AWAIT_CURSOR, (workflow_id, trigger_uuid, name), prepare=True)
    except _CONTENTION as exc:
        raise Contended(workflow_id) from exc
    return await cursor.fetchall()


async def _with_versions(conn: AsyncConnection[TupleRow], rows: Sequence[TupleRow]) -> list[Cursor]:
    if not rows:
        return []
    found = await conn.execute(_LISTENING, ([row[0] for row in rows],), prepare=True)
    listening = {workflow_id: ActiveVersion(*version) for workflow_id, *version in await found.fetchall()}
    return [
        Cursor(
            workflow_id=workflow_id,
            trigger_uuid=trigger_uuid,
            name=name,
            trigger=trigger,
            next_seq=next_seq,
            active=listening.get(workflow_id),
            drops=Drops() if drops is None else msgspec.convert(drops, Drops),
        )
        for workflow_id, trigger_uuid, name, trigger, next_seq, drops, _ in rows
    ]


async def _signals(conn: AsyncConnection[TupleRow], name: str, from_seq: int, limit: int) -> list[Signal]:
    cursor = await conn.execute(_SIGNALS, (name, from_seq, limit), prepare=True)
    return [Signal(seq_id, params) for seq_id, params in await cursor.fetchall()]
