"""A batch that goes on with other runs than those of its events blames none of them, and none it does not own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from maestro_py.model.errors import StaleInstance
from maestro_py.model.ids import new_uid
from maestro_py.ports.engine_store import Writes
from maestro_py.storage.connections import Database
from maestro_py.storage.engine_store import PostgresEngineStore
from tests.api_scene import Scene, api_scene
from tests.engine_scene import an_engine, wait_rows

ENDED = "SELECT status, count(*) FROM workflow_instance GROUP BY 1 ORDER BY 1"


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def test_an_iteration_that_the_database_refuses_is_quarantined_alone(scene: Scene, database_url: str) -> None:
    """It is launched by the batch of its parent, which is not to blame, and neither are the other iterations."""
    await scene.execute("ALTER TABLE step_attempt ADD CONSTRAINT no_bad CHECK (params::text NOT LIKE '%%item 7%%')")
    body = {"id": "body", "type": "Sleep", "seconds": 0, "params": {"what": "item ${item}"}}
    await scene.push(steps=[{"id": "loop", "type": "foreach", "items": list(range(1, 10)), "steps": [body]}])
    async with an_engine(database_url):
        await scene.start()
        await wait_rows(scene, ENDED, ("CREATED", 1), ("IN_PROGRESS", 1), ("SUCCEEDED", 8))
        await wait_rows(scene, "SELECT count(*) FROM engine_dead_letter", (1,))

    quarantined = "SELECT instance_id, depth FROM workflow_instance WHERE quarantine_reason IS NOT NULL"
    assert [(7, 1)] == await scene.rows(quarantined)


async def test_a_batch_whose_further_partitions_are_no_longer_owned_writes_nothing(
    scene: Scene, database_url: str
) -> None:
    """Promise 4: the fence holds for the runs that it goes on with as well."""
    await scene.execute("UPDATE engine_partition SET epoch = 5")
    row = {"p": 1, "c": 0, "u": new_uid(), "w": None, "e": {"kind": "RunStarted"}}
    async with Database(database_url, "test", hot=True) as database:
        store = PostgresEngineStore(database)
        for fence, count in (([(2, 5), (3, 4)], 0), ([(2, 5), (3, 5)], 1)):
            writes = Writes(fence=fence, inbox=[row])
            async with store.batch([(1, 5)]) as tx:
                await tx.take([1], [(0, 10)])
                if count:
                    await tx.save(writes)
                else:
                    with pytest.raises(StaleInstance):
                        await tx.save(writes)
            assert [(count,)] == await scene.rows("SELECT count(*) FROM engine_inbox")
