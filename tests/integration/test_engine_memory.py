"""What an engine has in memory is only a cache: it decides upon what the database holds under its present epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api_scene import Scene, api_scene
from tests.engine_scene import an_engine, start_many, wait_rows, wait_status

#: What another engine did to a run while it owned the partition for a moment.
ENDED_ELSEWHERE = """
WITH moved AS (UPDATE engine_partition SET epoch = epoch + 2 RETURNING 1), ended AS (
    UPDATE step_attempt SET status = 'STOPPED' WHERE status = 'RUNNING' RETURNING 1
), forgotten AS (
    DELETE FROM engine_timer RETURNING 1
)
UPDATE workflow_instance SET status = 'STOPPED', end_time_ms = modify_time_ms, row_version = row_version + 1
WHERE status = 'IN_PROGRESS'
"""
TELL_TIMER = """
INSERT INTO engine_inbox (partition, class, run_uid, payload)
SELECT partition, 0, run_uid, '{"kind":"TimerFired","step_id":"nap","attempt":1}' FROM workflow_instance
"""


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def test_partitions_that_went_away_and_came_back_bring_no_old_memory_with_them(
    scene: Scene, database_url: str
) -> None:
    """Promise 4: between two looks another engine took them, ended the runs, and was gone again."""
    await scene.push(run_strategy="PARALLEL", steps=[{"id": "nap", "type": "Sleep", "seconds": 3600}])
    async with an_engine(database_url):
        await start_many(scene, "wf", 5)
        await wait_rows(scene, "SELECT status, count(*) FROM step_attempt GROUP BY 1", ("RUNNING", 5))
        await scene.execute(ENDED_ELSEWHERE)
        await scene.execute(TELL_TIMER)

        await wait_rows(scene, "SELECT count(*) FROM engine_inbox", (0,))
        assert [("STOPPED", 5)] == await scene.rows("SELECT status, count(*) FROM step_attempt GROUP BY 1")
        assert [("STOPPED", 5)] == await scene.rows("SELECT status, count(*) FROM workflow_instance GROUP BY 1")
        assert [(0,)] == await scene.rows("SELECT count(*) FROM engine_dead_letter")


async def test_several_lanes_and_a_tiny_memory_change_nothing(scene: Scene, database_url: str) -> None:
    """Runs that fell out of memory are loaded again; children come to a lane other than their parent's."""
    each = {"id": "each", "items": list(range(40)), "concurrency": 10, "steps": [{"id": "a", "type": "NoOp"}]}
    nap = {"id": "nap", "type": "Sleep", "seconds": 0, "dependencies": ["each"]}
    await scene.push(run_strategy="PARALLEL", steps=[each, nap])
    async with an_engine(database_url, lanes=4, cached_runs=4):
        await start_many(scene, "wf", 3)
        for number in range(1, 4):
            await wait_status(scene, "wf", "SUCCEEDED", number)
    assert [(123, 123)] == await scene.rows(
        "SELECT count(*), count(*) FILTER (WHERE status = 'SUCCEEDED') FROM workflow_instance"
    )


async def test_more_timers_than_one_batch_fires_all_fire(scene: Scene, database_url: str) -> None:
    """Promise 8: hundreds of sleeps of one run, which is one partition, end together, also for a later engine."""
    naps = [{"id": f"nap{number}", "type": "Sleep", "seconds": 4} for number in range(700)]
    await scene.push(steps=naps)
    async with an_engine(database_url):
        await scene.start()
        await wait_rows(scene, "SELECT count(*) FROM engine_timer", (700,))

    async with an_engine(database_url):
        await wait_status(scene, "wf", "SUCCEEDED")
    assert [("SUCCEEDED", 700)] == await scene.rows("SELECT status, count(*) FROM step_attempt GROUP BY 1")
