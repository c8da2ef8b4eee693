"""An engine finds the one run that a batch cannot do with, and goes on with all the others (promise 7)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from maestro_py.engine import loading
from maestro_py.model.events import AttemptReported, Event, RunEnded, StopRequested
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import InstanceStatus, Outcome
from maestro_py.storage.connections import Database
from maestro_py.storage.duties import PostgresDuties
from tests.api_scene import Scene, api_scene, request_id
from tests.engine_scene import an_engine, start_many, status, tell, wait_rows, wait_status

#: Of a workflow whose step no worker runs: its test reports.
RUNS = 9
MANY = {"rule": "PARALLEL", "workflow_concurrency": 100}
#: Something that is no event.
POISON = '{"kind":"Unheard"}'
DEAD = "SELECT count(*) FROM engine_dead_letter"


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


@pytest.fixture
async def running(scene: Scene, database_url: str) -> AsyncIterator[Scene]:
    """Runs of ``wf`` that wait for the report of their step, and their engine."""
    await scene.push(run_strategy=MANY, steps=[{"id": "a", "type": "shell", "command": "true"}])
    async with an_engine(database_url):
        await start_many(scene, "wf", RUNS)
        await wait_rows(scene, "SELECT count(*) FROM step_attempt", (RUNS,))
        yield scene


def done(message: str = "", outcome: Outcome = Outcome.DONE) -> AttemptReported:
    return AttemptReported("a", 1, outcome, message)


async def test_a_value_that_the_database_refuses_is_found_by_halving_the_batch(running: Scene) -> None:
    """Its run is quarantined with what PostgreSQL says; the others of the batch end as if nothing was."""
    refused = done("half a \0 word", Outcome.FATAL_ERROR)
    events = [(number, refused if number == 5 else done()) for number in range(1, RUNS + 1)]
    await tell(running, "wf", *events)

    for number in range(1, RUNS + 1):
        if number != 5:
            await wait_status(running, "wf", "SUCCEEDED", number)
    await wait_rows(running, DEAD, (1,))
    answer = await running.get("/api/v3/workflows/wf/instances/5/runs/latest")
    assert "Unicode" in answer["quarantine"]
    assert "IN_PROGRESS" == answer["status"]


async def test_many_poisoned_runs_of_one_batch_are_all_quarantined(running: Scene) -> None:
    """One after the other, whatever is wrong with each; what is behind it waits with it."""
    poison: list[tuple[int, Event | str]] = [
        (1, POISON),
        (2, RunEnded()),
        (3, done("\0", Outcome.FATAL_ERROR)),
        (4, "[]"),
    ]
    await tell(running, "wf", *poison, *((number, done()) for number in range(1, RUNS + 1)))

    for number in range(5, RUNS + 1):
        await wait_status(running, "wf", "SUCCEEDED", number)
    await wait_rows(running, DEAD, (8,))
    quarantined = "SELECT instance_id FROM workflow_instance WHERE quarantine_reason IS NOT NULL ORDER BY 1"
    assert [(1,), (2,), (3,), (4,)] == await running.rows(quarantined)


async def test_a_stop_that_comes_with_the_poison_is_obeyed(running: Scene) -> None:
    """Promise 9: it was acknowledged, so it is not buried with the rest."""
    await tell(running, "wf", (1, POISON), (1, StopRequested(InstanceStatus.STOPPED, by="ana")), (2, done()))

    await wait_status(running, "wf", "STOPPED", 1)
    await wait_status(running, "wf", "SUCCEEDED", 2)
    await wait_rows(running, DEAD, (1,))


async def test_a_stop_that_cannot_be_carried_out_is_buried_and_a_better_one_obeyed(running: Scene) -> None:
    """Nothing ends a run as SUCCEEDED on request; the lane does not try that for ever."""
    await tell(running, "wf", (1, StopRequested(InstanceStatus.SUCCEEDED)), (2, done()))
    await wait_status(running, "wf", "SUCCEEDED", 2)
    await wait_rows(running, DEAD, (1,))

    await tell(running, "wf", (1, StopRequested(InstanceStatus.FAILED)))
    await wait_status(running, "wf", "FAILED", 1)


async def test_events_of_a_run_that_is_gone_are_dropped(running: Scene) -> None:
    """A named no-op: an event for an instance that no longer exists."""
    await running.execute(
        "INSERT INTO engine_inbox (partition, class, run_uid, payload) VALUES (3, 0, %s, %s)", new_uid(), POISON
    )

    await wait_rows(running, "SELECT count(*) FROM engine_inbox", (0,))
    assert [(0,)] == await running.rows(DEAD)


async def test_a_definition_that_cannot_be_read_harms_its_own_runs_only(scene: Scene, database_url: str) -> None:
    """And they go on once it can."""
    await scene.push("good", run_strategy=MANY)
    await scene.push("bad")
    [(definition,)] = await scene.rows("SELECT definition::text FROM workflow_version WHERE workflow_id = 'bad'")
    await scene.execute("UPDATE workflow_version SET definition = '{}' WHERE workflow_id = 'bad'")
    await scene.start("bad", request_id=request_id())
    await start_many(scene, "good", 3)

    async with an_engine(database_url):
        for number in range(1, 4):
            await wait_status(scene, "good", "SUCCEEDED", number)
        await wait_rows(scene, DEAD, (1,))
        assert "its definition cannot be read" in (await scene.get("/api/v3/dead-letters"))["elements"][0]["reason"]

        await scene.execute("UPDATE workflow_version SET definition = %s WHERE workflow_id = 'bad'", definition)
        [(number,)] = await scene.rows("SELECT id FROM engine_dead_letter")
        await scene.call("POST", f"/api/v3/dead-letters/{number}/actions/retry")
        await wait_status(scene, "bad", "SUCCEEDED")
    assert [(None,)] == await scene.rows("SELECT quarantine_reason FROM workflow_instance WHERE workflow_id = 'bad'")


async def test_what_iterations_see_of_the_outside_harms_them_only_when_it_cannot_be_read(
    scene: Scene, database_url: str
) -> None:
    body = {"id": "a", "type": "shell", "command": "true"}
    await scene.push("loops", steps=[{"id": "loop", "type": "foreach", "items": [1, 2], "steps": [body]}])
    await scene.push("good", run_strategy=MANY, steps=[body])
    async with an_engine(database_url):
        await scene.start("loops", request_id=request_id())
        await start_many(scene, "good", 1)
        await wait_rows(scene, "SELECT count(*) FROM step_attempt WHERE step_id = 'a'", (3,))
    await scene.execute("UPDATE step_attempt SET task = '{}' WHERE step_id = 'loop'")
    [(inline,)] = await scene.rows("SELECT DISTINCT workflow_id FROM workflow_instance WHERE depth = 1")
    await tell(scene, str(inline), (1, done()), (2, done()))
    await tell(scene, "good", (1, done()))

    async with an_engine(database_url):
        await wait_status(scene, "good", "SUCCEEDED")
        await wait_rows(scene, DEAD, (2,))


async def test_a_batch_may_need_more_definitions_than_are_kept(
    scene: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage thousands of workflows may have an event each."""
    monkeypatch.setattr(loading, "CACHED_DEFINITIONS", 2)
    names = [f"wf{number}" for number in range(6)]
    for name in names:
        await scene.push(name)
        await scene.start(name, request_id=request_id())

    async with an_engine(database_url):
        for name in names:
            await wait_status(scene, name, "SUCCEEDED")


async def test_a_quarantined_run_whose_deadline_has_passed_is_not_told_so_every_second(running: Scene) -> None:
    """Each telling would be one more dead letter; once it goes on again, it is told."""
    await running.execute("UPDATE workflow_instance SET deadline_at = now() - interval '1 s', quarantine_reason = 'x'")
    fence = await running.rows("SELECT partition, epoch FROM engine_partition")
    async with Database(running.database.url, running.database.name, hot=True) as hot:
        duties = PostgresDuties(hot, event_retention_days=7)
        assert [] == (await duties.cancel_overdue(fence)).partitions

        await running.execute("UPDATE workflow_instance SET quarantine_reason = NULL WHERE instance_id = 1")
        assert 1 == len((await duties.cancel_overdue(fence)).partitions)
    assert "IN_PROGRESS" == await status(running, "wf", 2)
