"""
Find what nobody will report: attempts whose worker is gone, and attempts and runs whose deadline has passed.

Each function is one statement, cheap when there is nothing to find, for the owner of the partitions to run every
second.  It looks first, without locks, and then fences just the partitions where it found something; a row that is
locked (a report is on its way) is left for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

#: Attempts or runs that one call treats at most; a caller that got as many asks again.
LIMIT: Final = 500

#: Continues a statement whose CTE ``found`` holds the keys and tokens of attempts: fences their partitions, locks them.
_LOCK_FOUND: Final = """
), fenced AS MATERIALIZED (
    SELECT e.partition
    FROM (SELECT DISTINCT partition FROM found ORDER BY partition) f
    JOIN unnest(%(partitions)s::smallint[], %(epochs)s::bigint[]) AS mine (partition, epoch) USING (partition)
    CROSS JOIN LATERAL (
        SELECT p.partition FROM engine_partition p
        WHERE p.partition = mine.partition AND p.epoch = mine.epoch
        -- SKIP LOCKED: somebody is taking the partition from us.
        FOR SHARE SKIP LOCKED
    ) e
), free AS MATERIALIZED (
    SELECT a.*
    FROM found f JOIN fenced USING (partition) CROSS JOIN LATERAL (
        SELECT t.partition, t.run_uid, t.step_id, t.attempt, t.worker,
               t.attachable AND t.external_handle IS NOT NULL AS again
        FROM step_attempt t
        -- By the partition as fenced: first the fence, then the attempt.
        WHERE t.partition = fenced.partition AND t.run_uid = f.run_uid AND t.step_id = f.step_id
            AND t.attempt = f.attempt
            -- coalesce: so that no partial index of claimed attempts looks better than the primary key.
            AND t.token = f.token AND coalesce(t.dispatch, '') = 'CLAIMED'
        -- SKIP LOCKED: a report, a cancellation or another verdict is on its way; exactly one of us wins the row.
        FOR NO KEY UPDATE SKIP LOCKED
    ) a
"""

_LOSE: Final = f"""
WITH RECURSIVE holder AS (
    -- Jumps from worker to worker in the index, however many attempts each holds.
    (SELECT worker FROM step_attempt WHERE dispatch = 'CLAIMED' ORDER BY worker LIMIT 1)
    UNION ALL
    SELECT (
        SELECT a.worker FROM step_attempt a
        WHERE a.dispatch = 'CLAIMED' AND a.worker > h.worker ORDER BY a.worker LIMIT 1
    )
    FROM holder h WHERE h.worker IS NOT NULL
), dead AS MATERIALIZED (
    SELECT known.worker FROM holder known LEFT JOIN LATERAL (
        SELECT p.lease_ms <= %(beaten_ms)s
            AND p.beat_at + p.lease_ms * interval '1 millisecond' < clock_timestamp() AS dead
        FROM process p WHERE p.id = known.worker
    ) p ON true
    WHERE known.worker IS NOT NULL AND coalesce(p.dead, true)
), found AS MATERIALIZED (
    SELECT a.* FROM dead d CROSS JOIN LATERAL (
        SELECT s.partition, s.run_uid, s.step_id, s.attempt, s.token FROM step_attempt s
        WHERE s.worker = d.worker AND s.dispatch = 'CLAIMED' AND s.partition = ANY(%(partitions)s::smallint[])
        LIMIT %(limit)s
    ) a
    LIMIT %(limit)s
{_LOCK_FOUND}
), again AS (
    UPDATE step_attempt a
    SET dispatch = 'QUEUED', worker = NULL, claim_id = NULL, claimed_at = NULL, deadline_at = NULL
    FROM free f
    WHERE f.again
        AND a.partition = f.partition AND a.run_uid = f.run_uid AND a.step_id = f.step_id AND a.attempt = f.attempt
    RETURNING a.queue
), lost AS (
    UPDATE step_attempt a
    SET dispatch = 'LOST'
    FROM free f
    WHERE NOT f.again
        AND a.partition = f.partition AND a.run_uid = f.run_uid AND a.step_id = f.step_id AND a.attempt = f.attempt
    RETURNING a.partition, a.run_uid, a.step_id, a.attempt, a.worker
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 0, run_uid, json_build_object(
        'kind', 'AttemptLost', 'step_id', step_id, 'attempt', attempt, 'reason', 'its worker ' || worker || ' is gone')
    FROM lost
)
SELECT (SELECT coalesce(array_agg(DISTINCT partition), '{{}}') FROM lost),
       (SELECT coalesce(array_agg(DISTINCT queue), '{{}}') FROM again)
"""  # noqa: S608  # constants

_OVERDUE: Final = f"""
WITH found AS MATERIALIZED (
    SELECT a.* FROM unnest(%(partitions)s::smallint[]) AS mine (partition) CROSS JOIN LATERAL (
        SELECT s.partition, s.run_uid, s.step_id, s.attempt, s.token FROM step_attempt s
        WHERE s.partition = mine.partition AND s.dispatch = 'CLAIMED' AND s.deadline_at < now()
        ORDER BY s.deadline_at
        LIMIT %(limit)s
    ) a
    LIMIT %(limit)s
{_LOCK_FOUND}
), cancelled AS (
    UPDATE step_attempt a
    -- Without its deadline it is found no second time.
    SET cancel_requested_at = coalesce(a.cancel_requested_at, now()), deadline_at = NULL
    FROM free f
    WHERE a.partition = f.partition AND a.run_uid = f.run_uid AND a.step_id = f.step_id AND a.attempt = f.attempt
    RETURNING a.partition, a.run_uid, a.step_id, a.attempt, a.worker
), told AS (
    INSERT INTO engine_inbox (partition, class, run_uid, payload)
    SELECT partition, 0, run_uid, json_build_object('kind', 'AttemptOverdue', 'step_id', step_id, 'attempt', attempt)
    FROM cancelled
)
SELECT (SELECT coalesce(array_agg(DISTINCT partition), '{{}}') FROM cancelled),
       (SELECT coalesce(array_agg(DISTINCT worker), '{{}}') FROM cancelled)
"""  # noqa: S608  # constants

_OVERDUE_RUNS: Final = """
SELECT r.partition, r.run_uid
FROM unnest(%(partitions)s::smallint[]) AS mine (partition) CROSS JOIN LATERAL (
    SELECT i.partition, i.run_uid FROM workflow_instance i
    WHERE i.partition = mine.partition AND i.deadline_at < now() AND i.end_time_ms IS NULL
    ORDER BY i.deadline_at
    LIMIT %(limit)s
) r
LIMIT %(limit)s
"""


class Lost(NamedTuple):
    """What `lose_attempts` did; each is a hint to be sent."""

    partitions: list[int]  #: Their inboxes hold an `AttemptLost`.
    queues: list[str]  #: Attempts wait in them for a worker that attaches to the job outside.


class Overdue(NamedTuple):
    """What `cancel_overdue_attempts` did; each is a hint to be sent."""

    partitions: list[int]  #: Their inboxes hold an `AttemptOverdue`.
    workers: list[UUID]  #: They hold an attempt that is to be cancelled.


async def lose_attempts(
    conn: AsyncConnection[TupleRow], fence: Sequence[tuple[int, int]], beaten_ms: int, limit: int = LIMIT
) -> Lost:
    """
    Decide what becomes of attempts that are claimed by a worker whose lease is over, or which has no row any more.

    One whose type can attach and that has left a handle of its job outside is queued again: the same attempt, and the
    next claim raises its token.  Any other is LOST, and its run is told so in the same statement.

    Args:
        conn: A hot one in autocommit mode, so that the statement is a transaction of its own.
        fence: (partition, epoch) pairs that the engine owns; what it no longer owns is passed over.
        beaten_ms: For how long the engine itself has beaten without a gap; longer leases it does not judge.
        limit: Attempts at most.
    """
    partitions, queues = await _one_row(conn, _LOSE, {**_parameters(fence, limit), "beaten_ms": beaten_ms})
    return Lost(partitions, queues)


async def cancel_overdue_attempts(
    conn: AsyncConnection[TupleRow], fence: Sequence[tuple[int, int]], limit: int = LIMIT
) -> Overdue:
    """
    Ask for the cancellation of claimed attempts whose deadline has passed, and tell their runs, once each.

    Args:
        conn: A hot one in autocommit mode, so that the statement is a transaction of its own.
        fence: (partition, epoch) pairs that the engine owns; what it no longer owns is passed over.
        limit: Attempts at most.
    """
    partitions, workers = await _one_row(conn, _OVERDUE, _parameters(fence, limit))
    return Overdue(partitions, workers)


async def overdue_runs(
    conn: AsyncConnection[TupleRow], partitions: Sequence[int], limit: int = LIMIT
) -> list[tuple[int, UUID]]:
    """
    Return (partition, run uid) of live runs whose deadline has passed, at most *limit*, and change nothing.

    A run is returned every time until its engine takes the deadline from it: the row is the engine's alone.
    """
    cursor = await conn.execute(_OVERDUE_RUNS, {"partitions": list(partitions), "limit": limit})
    return [(partition, run_uid) for partition, run_uid in await cursor.fetchall()]


def _parameters(fence: Sequence[tuple[int, int]], limit: int) -> dict[str, Any]:
    return {
        "partitions": [partition for partition, _ in fence],
        "epochs": [epoch for _, epoch in fence],
        "limit": limit,
    }


async def _one_row(conn: AsyncConnection[TupleRow], query: str, parameters: dict[str, Any]) -> TupleRow:
    row = await (await conn.execute(query.encode(), parameters)).fetchone()
    assert row is not None  # a SELECT of scalars
    return row
