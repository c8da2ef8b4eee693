"""A batch that goes on with other runs than those of its events blames none of them, and none it does not own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from maestro_py.engine import batch as engine_batch
from maestro_py.engine.batch import Batch
from maestro_py.engine.decide.state import Run
from maestro_py.engine.decide.table import decide
from maestro_py.engine.lane import Lane
from maestro_py.model.effects import Effect
from maestro_py.model.errors import StaleInstance
from maestro_py.model.events import ChildFinished, Event
from maestro_py.model.ids import new_uid
from maestro_py.ports.engine_store import Taken, Writes
from maestro_py.storage.connections import Database
from maestro_py.storage.engine_store import PostgresEngineStore, PostgresTransaction
from tests.api_scene import Scene, api_scene
from tests.engine_scene import an_engine, wait_rows, wait_status

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


async def test_an_event_that_cannot_be_applied_does_not_bury_the_one_that_a_batch_went_on_from(
    scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent begins and launches; only the end of its last iteration, which it cannot count, is put aside."""

    def deciding(run: Run, event: Event, *arguments: Any) -> list[Effect]:
        if isinstance(event, ChildFinished) and event.iteration == 9:
            raise RuntimeError("no more than 8")
        return decide(run, event, *arguments)

    monkeypatch.setattr(engine_batch, "decide", deciding)
    body = {"id": "a", "type": "NoOp"}
    await scene.push(steps=[{"id": "loop", "items": list(range(9)), "concurrency": 1, "steps": [body]}])
    async with an_engine(database_url):
        await scene.start()
        await wait_rows(
            scene, "SELECT payload->>'kind', payload->>'iteration' FROM engine_dead_letter", ("ChildFinished", "9")
        )

    await wait_rows(scene, ENDED, ("IN_PROGRESS", 1), ("SUCCEEDED", 9))


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


async def test_a_partition_that_went_away_and_came_back_meanwhile_is_not_gone_on_with(
    scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a batch has decided upon runs of it was decided under the epoch before: another engine may have come by."""
    decide, save = Lane._decide, PostgresTransaction.save
    moved: set[int] = set()
    refused: list[Exception] = []

    async def deciding(self: Lane, tx: Any, batch: Batch, taken: Sequence[Taken]) -> None:
        await decide(self, tx, batch, taken)
        if batch.reached and not moved:
            moved.update(batch.reached - {row.partition for row in taken})
            epochs = await scene.rows(
                "UPDATE engine_partition SET epoch = epoch + 2 WHERE partition = ANY(%s) RETURNING partition, epoch",
                list(moved),
            )
            self.acquire(dict(epochs))

    async def saving(self: PostgresTransaction, writes: Writes) -> list[UUID]:
        try:
            return await save(self, writes)
        except StaleInstance as exc:
            refused.append(exc)
            raise

    monkeypatch.setattr(Lane, "_decide", deciding)
    monkeypatch.setattr(PostgresTransaction, "save", saving)
    await scene.push(steps=[{"id": "loop", "items": list(range(20)), "steps": [{"id": "a", "type": "NoOp"}]}])
    async with an_engine(database_url):
        # Once the lane is at rest: then the batch that begins the loop holds no partition but that of the run.
        await scene.push("first")
        await scene.start("first")
        await wait_status(scene, "first", "SUCCEEDED")
        await scene.start()
        await wait_rows(scene, ENDED, ("SUCCEEDED", 22))

    assert moved
    assert 1 == len(refused)
