"""No batch grows beyond what its engine can commit in time, and none is decided upon what is not so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.engine import batch
from maestro_py.model.events import ChildFinished
from maestro_py.model.statuses import InstanceStatus
from maestro_py.ports.engine_store import Taken
from maestro_py.storage.engine_store import PostgresTransaction
from tests.api_scene import Scene, api_scene, request_id
from tests.engine_scene import an_engine, start_many, tell, wait_rows, wait_status

#: Iterations of the outer and of each inner foreach.
OUTER, INNER = 30, 40
#: Iterations that sleep: several in each of the 64 partitions.
SLEEPERS = 300


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def test_a_batch_leaves_events_for_the_next_one_once_it_has_much_to_write(
    scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Iterations that begin together, each with a foreach of its own, are not all launched by one commit.

    Such a commit would outlast the time that an engine may take, the engine would end itself, and its successor would
    begin the same one.
    """
    monkeypatch.setattr(batch, "BATCH_WEIGHT", 100)
    inner = {"id": "inner", "type": "foreach", "items": list(range(INNER)), "steps": [{"id": "a", "type": "NoOp"}]}
    await scene.push(steps=[{"id": "outer", "type": "foreach", "items": list(range(OUTER)), "steps": [inner]}])

    async with an_engine(database_url):
        await scene.start(request_id=request_id())
        await wait_status(scene, "wf", "SUCCEEDED")

    [(most, total)] = await scene.rows(
        "SELECT max(launched), sum(launched) FROM (SELECT count(*) AS launched FROM workflow_instance"
        " WHERE depth = 2 GROUP BY create_time_ms) batches"
    )
    assert OUTER * INNER == total
    assert 100 + INNER >= most


async def test_timers_that_are_due_together_fire_in_batches_of_a_bounded_size(
    scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many came due while no engine was there, none of its batches is longer than any other."""
    sleep = {"id": "a", "type": "Sleep", "params": {"sleep_seconds": 3600}}
    await scene.push(steps=[{"id": "all", "type": "foreach", "items": list(range(SLEEPERS)), "steps": [sleep]}])
    async with an_engine(database_url):
        await scene.start(request_id=request_id())
        await wait_rows(scene, "SELECT count(*) FROM engine_timer WHERE payload->>'kind' = 'TimerFired'", (SLEEPERS,))
    await scene.execute("UPDATE engine_timer SET fire_at = now() WHERE payload->>'kind' = 'TimerFired'")
    taken: list[int] = []
    take = PostgresTransaction.take

    async def counting(self: PostgresTransaction, *arguments: Any) -> list[Taken]:
        rows = await take(self, *arguments)
        taken.append(sum(row.id == 0 for row in rows))
        return rows

    monkeypatch.setattr(PostgresTransaction, "take", counting)
    async with an_engine(database_url, batch_limit=8):
        await wait_status(scene, "wf", "SUCCEEDED")

    # One of each partition, as a share of 8 is no less.
    assert SLEEPERS == sum(taken)
    assert 64 >= max(taken)


async def test_a_run_is_quarantined_on_what_its_rows_say_not_on_what_is_remembered_of_it(
    scene: Scene, database_url: str
) -> None:
    """The memory of an engine is only a cache: what contradicts it is decided again on the rows."""
    await scene.push(steps=[{"id": "a", "type": "shell", "command": "true"}])
    async with an_engine(database_url):
        await start_many(scene, "wf", 1)
        await wait_rows(scene, "SELECT count(*) FROM step_attempt", (1,))
        # As if another engine had made a foreach of it meanwhile, which the one that remembers cannot know.
        await scene.execute(
            "UPDATE step_attempt SET status = 'SUCCEEDED', dispatch = 'REPORTED', times = '{\"SUCCEEDED\":1}'"
        )
        await tell(scene, "wf", (1, ChildFinished("a", 1, 1, InstanceStatus.FAILED)))

        await wait_rows(scene, "SELECT count(*) FROM engine_inbox", (0,))
        assert [(None,)] == await scene.rows("SELECT quarantine_reason FROM workflow_instance")
