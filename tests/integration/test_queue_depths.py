"""How long queues and inboxes are, told by their indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from maestro_py.storage import queue_depths
from maestro_py.storage.connections import Database
from maestro_py.storage.queue_depths import INBOX_LIMIT, PostgresQueueDepths

ATTEMPTS = """
INSERT INTO step_attempt (partition, run_uid, step_id, attempt, step_seq, step_uuid, status, times, step_type,
                          dispatch, queue, backend_keys, task, queued_at)
SELECT 1, gen_random_uuid(), 'a', 1, 1, gen_random_uuid(), 'WAITING_FOR_PERMITS', '{}', 'shell',
       %s, %s, '{shell}', '{}', now() - make_interval(secs => n)
FROM generate_series(1, %s) n
"""
EVENTS = """
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT %s, 0, gen_random_uuid(), '{}' FROM generate_series(1, %s)
"""


@pytest.fixture
async def hot(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, "maestro:test", hot=True) as database:
        yield database


async def test_what_may_be_claimed_is_counted_by_queue_with_the_age_of_the_oldest(hot: Database) -> None:
    async with hot.connection() as conn:
        for dispatch, queue, count in (("QUEUED", "a", 3), ("QUEUED", "b", 60), ("READY", "a", 5)):
            await conn.execute(ATTEMPTS, (dispatch, queue, count))

    depths = await PostgresQueueDepths(hot).depths([1])

    assert {"a": 3, "b": 60} == {depth.queue: depth.attempts for depth in depths.offered}
    ages = {depth.queue: depth.oldest_seconds for depth in depths.offered}
    assert 3 <= ages["a"] < 30 < 60 <= ages["b"] < 90


async def test_events_are_counted_in_some_partitions_and_up_to_a_limit(hot: Database) -> None:
    reader = PostgresQueueDepths(hot)
    async with hot.connection() as conn:
        for partition, count in ((1, 3), (2, 4), (3, 5)):
            await conn.execute(EVENTS, (partition, count))

    assert 7 == (await reader.depths([1, 2])).inbox
    assert 0 == (await reader.depths([])).inbox

    async with hot.connection() as conn:
        await conn.execute(EVENTS, (2, INBOX_LIMIT))
    assert INBOX_LIMIT == (await reader.depths([1, 2])).inbox


async def test_nothing_is_read_but_indexes(hot: Database) -> None:
    async with hot.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {queue_depths._DEPTHS}".encode(), ([1, 2], 10, 10))
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "Seq Scan" not in plan
    assert "using ix_step_attempt_queued" in plan
