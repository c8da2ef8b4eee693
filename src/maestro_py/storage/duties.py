"""Carry out what the engine's regular duties ask of PostgreSQL (`ports.duty_store.DutyStore`)."""

from __future__ import annotations

from typing import Final

from maestro_py.ports.duty_store import Fence, Lost, Overdue
from maestro_py.ports.process_beat import LiveProcess
from maestro_py.storage import lost_attempts, processes
from maestro_py.storage.connections import Database
from maestro_py.storage.event_days import keep_event_days
from maestro_py.storage.starts import REQUEST_MEMORY_MS

#: Rows deleted by one call, at most.
DELETE_LIMIT: Final = 5_000

#: Tells runs whose deadline has passed; a run is told again until its engine takes the deadline from it.  Not one that
#: is quarantined: its dead letters would grow every second.
_TELL_OVERDUE_RUNS: Final = """
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT r.partition, 0, r.run_uid, '{"kind":"RunOverdue"}'
FROM unnest(%(partitions)s::smallint[], %(epochs)s::bigint[]) AS mine (partition, epoch)
CROSS JOIN LATERAL (
    SELECT p.partition FROM engine_partition p
    WHERE p.partition = mine.partition AND p.epoch = mine.epoch FOR SHARE SKIP LOCKED
) fenced
CROSS JOIN LATERAL (
    SELECT i.partition, i.run_uid FROM workflow_instance i
    WHERE i.partition = fenced.partition AND i.deadline_at < now() AND i.end_time_ms IS NULL
      AND i.quarantine_reason IS NULL
    ORDER BY i.deadline_at LIMIT 100
) r
RETURNING partition
"""

#: Finds out, without a lock, whether any run is overdue; almost always none is.
_ANY_OVERDUE_RUN: Final = """
SELECT p.partition FROM unnest(%(partitions)s::smallint[]) AS p (partition)
CROSS JOIN LATERAL (
    SELECT 1 FROM workflow_instance i
    WHERE i.partition = p.partition AND i.deadline_at < now() AND i.end_time_ms IS NULL
      AND i.quarantine_reason IS NULL LIMIT 1
) one
"""

_DELETE_REQUESTS: Final = """
DELETE FROM start_request s USING (
    SELECT workflow_id, request_id FROM start_request WHERE create_time_ms < %(before_ms)s
    ORDER BY create_time_ms LIMIT %(limit)s
) old
WHERE s.workflow_id = old.workflow_id AND s.request_id = old.request_id
"""


class PostgresDuties:
    """The duties' view of PostgreSQL; *database* is a hot one."""

    def __init__(self, database: Database, *, event_retention_days: int) -> None:
        self._database = database
        self._event_retention_days = event_retention_days

    async def lose_attempts(self, fence: Fence, beaten_ms: int) -> Lost:
        """Give attempts of dead workers back, or declare them lost."""
        async with self._database.connection() as conn:
            lost = await lost_attempts.lose_attempts(conn, fence, beaten_ms)
        return Lost(lost.partitions, lost.queues)

    async def cancel_overdue(self, fence: Fence) -> Overdue:
        """Tell runs of attempts, and of themselves, whose deadline has passed."""
        async with self._database.connection() as conn:
            overdue = await lost_attempts.cancel_overdue_attempts(conn, fence)
            cursor = await conn.execute(_ANY_OVERDUE_RUN, {"partitions": [p for p, _ in fence]})
            late = {row[0] for row in await cursor.fetchall()}
            told: set[int] = set()
            if late:
                held = [(p, epoch) for p, epoch in fence if p in late]
                arguments = {"partitions": [p for p, _ in held], "epochs": [e for _, e in held]}
                cursor = await conn.execute(_TELL_OVERDUE_RUNS, arguments)
                told = {row[0] for row in await cursor.fetchall()}
        return Overdue(sorted({*overdue.partitions, *told}), overdue.workers)

    async def live_workers(self) -> list[LiveProcess]:
        """Return the workers whose lease is not over."""
        async with self._database.connection() as conn:
            return await processes.live_workers(conn)

    async def live_engines(self) -> list[LiveProcess]:
        """Return the engines whose lease is not over."""
        async with self._database.connection() as conn:
            return await processes.live_engines(conn)

    async def delete_expired(self, now_ms: int) -> int:
        """Delete a bounded number of rows that outlived their retention and return how many."""
        requests = {"before_ms": now_ms - REQUEST_MEMORY_MS, "limit": DELETE_LIMIT}
        async with self._database.connection() as conn:
            await keep_event_days(conn, now_ms, self._event_retention_days)
            return (await conn.execute(_DELETE_REQUESTS, requests)).rowcount
