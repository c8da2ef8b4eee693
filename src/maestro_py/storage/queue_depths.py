"""Measure the queues of workers and the inboxes of engines, by their indexes alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maestro_py.ports.queue_depths import Depths, QueueDepth
from maestro_py.storage.connections import Database

#: Events counted at most.
INBOX_LIMIT: Final = 10_000

#: Returns for each queue what is offered, and without a queue how many events wait, up to a number.
_DEPTHS: Final = """
SELECT queue, count(*), extract(epoch FROM now() - min(queued_at))::float8
FROM step_attempt WHERE dispatch = 'QUEUED' GROUP BY queue
UNION ALL
SELECT NULL, count(*), 0 FROM (
    SELECT 1 FROM unnest(%s::smallint[]) AS p (partition)
    CROSS JOIN LATERAL (SELECT 1 FROM engine_inbox e WHERE e.partition = p.partition LIMIT %s) AS events
    LIMIT %s
) AS inbox
"""


class PostgresQueueDepths:
    """Implements `QueueDepths` on a hot *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def depths(self, partitions: Sequence[int]) -> Depths:
        """Return what is offered to workers, and what lies in the inboxes of *partitions*."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_DEPTHS, (list(partitions), INBOX_LIMIT, INBOX_LIMIT), prepare=True)
            rows = await cursor.fetchall()
        offered = [QueueDepth(queue, count, age) for queue, count, age in rows if queue is not None]
        return Depths(offered, sum(count for queue, count, _ in rows if queue is None))
