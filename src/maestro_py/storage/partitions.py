"""The table ``engine_partition``: who owns which partition under which epoch, and the fence of every batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from maestro_py.model.errors import Fenced
from maestro_py.ports.partition_store import Survey
from maestro_py.storage import processes
from maestro_py.storage.connections import Database

FENCE: Final = """
SELECT e.partition
FROM unnest(%(partitions)s::smallint[], %(epochs)s::bigint[]) AS mine (partition, epoch)
JOIN LATERAL (
    SELECT partition FROM engine_partition f
    WHERE f.partition = mine.partition AND f.epoch = mine.epoch
    FOR SHARE
) e ON true
"""

#: The same for partitions that a batch turns out to need later: it divides by zero where one is missing.
FENCE_ALL: Final = f"SELECT 1 / CASE WHEN (SELECT count(*) FROM ({FENCE}) f) = %(expected)s THEN 1 ELSE 0 END"  # noqa: S608  # a statement of ours

_SURVEY: Final = """
WITH judged AS MATERIALIZED (
    SELECT id, kind,
           beat_at + lease_ms * interval '1 millisecond' < clock_timestamp()
               AND lease_ms <= %(beaten_ms)s AND id <> %(engine)s AS dead
    FROM process
)
SELECT
    (SELECT count(*) FROM engine_partition),
    (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM judged WHERE kind = 'engine' AND NOT dead),
    (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM judged WHERE dead),
    (SELECT coalesce(array_agg(partition ORDER BY partition), '{}') FROM engine_partition WHERE owner = %(engine)s),
    (SELECT coalesce(array_agg(epoch ORDER BY partition), '{}') FROM engine_partition WHERE owner = %(engine)s),
    (SELECT count(*) FROM engine_partition e
     WHERE e.owner IS NULL OR NOT EXISTS (SELECT FROM judged j WHERE j.id = e.owner AND NOT j.dead)
        AND e.owner <> %(engine)s)
"""

_ACQUIRE: Final = """
WITH takeable AS MATERIALIZED (
    SELECT e.partition FROM engine_partition e
    WHERE e.owner IS NULL OR e.owner = ANY(%(dead)s)
       OR (e.owner <> %(engine)s AND NOT EXISTS (SELECT FROM process p WHERE p.id = e.owner))
    ORDER BY e.partition
    LIMIT %(limit)s
    -- SKIP LOCKED: another engine takes it just now, or a session that is being terminated still holds its fence.
    FOR NO KEY UPDATE OF e SKIP LOCKED
)
UPDATE engine_partition e SET owner = %(engine)s, epoch = e.epoch + 1
FROM takeable t WHERE e.partition = t.partition
RETURNING e.partition, e.epoch
"""

_RELEASE: Final = """
WITH free AS MATERIALIZED (
    SELECT e.partition
    FROM unnest(%(partitions)s::smallint[], %(epochs)s::bigint[]) AS mine (partition, epoch)
    JOIN LATERAL (
        SELECT partition FROM engine_partition f
        WHERE f.partition = mine.partition AND f.epoch = mine.epoch AND f.owner = %(engine)s
        -- SKIP LOCKED: a batch whose COMMIT went unanswered may still be open; it stays ours until the next look.
        FOR NO KEY UPDATE SKIP LOCKED
    ) e ON true
)
UPDATE engine_partition e SET owner = NULL FROM free WHERE e.partition = free.partition
"""

_RELEASE_ALL: Final = """
WITH free AS MATERIALIZED (
    SELECT partition FROM engine_partition WHERE owner = %s
    FOR NO KEY UPDATE SKIP LOCKED  -- as above
)
UPDATE engine_partition e SET owner = NULL FROM free WHERE e.partition = free.partition
"""


def fence_arguments(epochs: Mapping[int, int]) -> dict[str, list[int]]:
    """Return the arguments of `FENCE`: always in the same order; whoever takes partitions over skips what is locked."""
    partitions = sorted(epochs)
    return {"partitions": partitions, "epochs": [epochs[p] for p in partitions]}


async def fence(conn: AsyncConnection[TupleRow], epochs: Mapping[int, int]) -> None:
    """
    Keep the owner of these partitions until the transaction ends: nobody takes a partition that is fenced.

    It is the first statement of every transaction of an engine.

    Args:
        conn: In a transaction.
        epochs: Partition to the epoch under which the engine owns it.

    Raises:
        Fenced: another engine owns one of them now, or none does; the text names them.
        psycopg.errors.LockNotAvailable: somebody is changing the owner of one of them.
    """
    cursor = await conn.execute(FENCE, fence_arguments(epochs))
    missing = set(epochs).difference(row[0] for row in await cursor.fetchall())
    if missing:
        raise Fenced(f"no longer the owner of partition {', '.join(map(str, sorted(missing)))}")


class PostgresPartitions:
    """The owners of partitions in PostgreSQL (`ports.partition_store.PartitionStore`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def survey(self, engine: UUID, beaten_ms: int) -> Survey:
        """Return how things stand for *engine*, who judges leases of at most *beaten_ms*."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_SURVEY, {"engine": engine, "beaten_ms": beaten_ms})
            row = await cursor.fetchone()
        assert row is not None  # aggregates always make a row
        partitions, engines, dead, owned, epochs, takeable = row
        return Survey(
            partitions=partitions,
            engines=tuple(engines),
            dead=tuple(dead),
            owned=dict(zip(owned, epochs, strict=True)),
            takeable=takeable,
        )

    async def terminate(self, dead: Collection[UUID]) -> int:
        """End the database sessions of these processes and return how many there were."""
        async with self._database.connection() as conn:
            return await processes.terminate_backends(conn, dead)

    async def acquire(self, engine: UUID, limit: int, dead: Collection[UUID]) -> Mapping[int, int]:
        """Make *engine* the owner of at most *limit* free or orphaned partitions; return them with their epochs."""
        async with self._database.connection() as conn:
            cursor = await conn.execute(_ACQUIRE, {"engine": engine, "limit": limit, "dead": list(dead)})
            return dict(await cursor.fetchall())

    async def release(self, engine: UUID, epochs: Mapping[int, int]) -> None:
        """Free the partitions that *engine* still owns under these epochs."""
        given = {"partitions": list(epochs), "epochs": list(epochs.values()), "engine": engine}
        async with self._database.connection() as conn:
            await conn.execute(_RELEASE, given)

    async def release_all(self, engine: UUID) -> None:
        """Free whatever *engine* owns."""
        async with self._database.connection() as conn:
            await conn.execute(_RELEASE_ALL, (engine,))

    async def forget(self, dead: Collection[UUID]) -> None:
        """Delete the rows of these processes, those long dead, once nothing is held in their name."""
        async with self._database.connection() as conn:
            await processes.forget_dead(conn, dead)
