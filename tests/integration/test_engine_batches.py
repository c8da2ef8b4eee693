"""No batch grows beyond what its engine can commit in time."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from maestro_py.engine import batch
from tests.api_scene import Scene, api_scene, request_id
from tests.engine_scene import an_engine, wait_status

#: Iterations of the outer and of each inner foreach.
OUTER, INNER = 30, 40


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
