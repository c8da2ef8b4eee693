"""Starting runs in PostgreSQL: batches, request ids, unknown commits, queues (specification 3.1 and 3.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from maestro_py.admission import StartOutcome, StartRequest, StartResult, VersionName
from maestro_py.model.ids import instance_key, new_uid, partition_of
from maestro_py.storage.connections import Database
from maestro_py.storage.starts import dequeue, start_runs, start_runs_durably
from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import NOW_MS, Scene, api_scene, request_id


class Starts:
    """Starts runs without the API."""

    def __init__(self, api: Scene, hot: Database) -> None:
        self.api = api
        self.hot = hot

    async def request(self, workflow_id: str = "wf", /, **fields: Any) -> StartRequest:
        """Return a request for the latest version of the workflow."""
        [(version, uid)] = await self.api.rows(
            "SELECT workflow_version, definition_uid FROM workflow_version WHERE workflow_id = %s"
            " ORDER BY workflow_version DESC LIMIT 1",
            workflow_id,
        )
        request = StartRequest(
            workflow_id=workflow_id,
            run_uid=new_uid(),
            request_id=request_id(),
            workflow_version=version,
            definition_uid=uid,
            initiator={"type": "MANUAL", "user": "ana"},
            params={},
            request_time_ms=NOW_MS,
        )
        return msgspec.structs.replace(request, **fields)

    async def start(self, *requests: StartRequest, now_ms: int = NOW_MS) -> list[StartResult]:
        """Start *requests* in one transaction."""
        return await start_runs_durably(self.hot, requests, now_ms=now_ms)

    async def dequeue(self, *workflow_ids: str) -> Sequence[int]:
        """Admit who waits, in one transaction."""
        async with self.hot.transaction() as conn:
            return await dequeue(conn, workflow_ids, now_ms=NOW_MS)

    async def admitted(self, workflow_id: str = "wf") -> list[int]:
        """Return the instances that were admitted."""
        rows = await self.api.rows(
            "SELECT instance_id FROM workflow_instance WHERE workflow_id = %s AND execution_id IS NOT NULL"
            " ORDER BY instance_id",
            workflow_id,
        )
        return [instance_id for (instance_id,) in rows]

    async def told(self) -> list[UUID]:
        """Return the runs that the engine was told to begin, in the order of the telling."""
        return [uid for (uid,) in await self.api.rows('SELECT run_uid FROM engine_inbox WHERE "class" = 2 ORDER BY id')]


@pytest.fixture
async def starts(database_url: str) -> AsyncIterator[Starts]:
    async with api_scene(database_url) as api, Database(database_url, "maestro:test", hot=True) as hot:
        yield Starts(api, hot)


async def test_a_batch_for_several_workflows_is_decided_one_by_one_in_one_transaction(starts: Starts) -> None:
    """A request that cannot be started leaves its neighbours alone, and each is answered in its place."""
    await starts.api.push("one")
    await starts.api.push("many", run_strategy="PARALLEL")
    await starts.api.push("off", is_active=False)
    requests = [
        await starts.request("many"),
        await starts.request("one"),
        await starts.request("one", workflow_version=7),
        await starts.request("off"),
        await starts.request("many"),
        await starts.request("one", workflow_id="gone"),
        await starts.request("one"),
    ]

    results = await starts.start(*requests)

    assert [
        ("many", StartOutcome.CREATED, 1),
        ("one", StartOutcome.CREATED, 1),
        ("one", StartOutcome.VERSION_CHANGED, 0),
        ("off", StartOutcome.INACTIVE, 0),
        ("many", StartOutcome.CREATED, 2),
        ("gone", StartOutcome.NOT_FOUND, 0),
        ("one", StartOutcome.CREATED, 2),
    ] == [(r.workflow_id, r.outcome, r.instance_id) for r in results]
    assert {requests[0].run_uid, requests[1].run_uid, requests[4].run_uid} == set(await starts.told())


async def test_the_partitions_to_hint_are_those_of_the_runs_that_were_admitted(starts: Starts) -> None:
    await starts.api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 3})

    results = await starts.start(*[await starts.request() for _ in range(5)])

    admitted = [partition_of(instance_key("wf", instance_id), 64) for instance_id in (1, 2, 3)]
    assert [*((partition,) for partition in admitted), (), ()] == [result.partitions for result in results]


async def test_among_equal_request_ids_of_one_batch_the_first_counts(starts: Starts) -> None:
    await starts.api.push(run_strategy="PARALLEL")
    id_ = request_id()

    results = await starts.start(*[await starts.request(request_id=id_) for _ in range(3)])

    assert [StartOutcome.CREATED, StartOutcome.DUPLICATED, StartOutcome.DUPLICATED] == [r.outcome for r in results]
    # The duplicates name the run that was started.
    assert 1 == len({result.run_uid for result in results})


async def test_who_asks_again_after_an_unknown_commit_is_told_of_the_run_it_started(starts: Starts) -> None:
    """The run is recognised by the uid that the caller chose for it; it is not a duplicate of somebody else's."""
    await starts.api.push(run_strategy="FIRST_ONLY")
    requests = [await starts.request() for _ in range(2)]
    first = await starts.start(*requests)

    again = await starts.start(*requests)

    assert [(r.outcome, r.instance_id, r.run_id) for r in first] == [
        (r.outcome, r.instance_id, r.run_id) for r in again
    ]
    assert [(2,)] == await starts.api.rows("SELECT count(*) FROM workflow_instance")
    assert again[0].partitions == (partition_of(instance_key("wf", 1), 64),)


async def test_nothing_is_left_of_a_start_whose_transaction_rolls_back(starts: Starts) -> None:
    await starts.api.push()
    request = await starts.request()

    async def start_and_fail() -> None:
        async with starts.hot.transaction() as conn:
            await start_runs(conn, [request], now_ms=NOW_MS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await start_and_fail()

    counts = "SELECT (SELECT count(*) FROM {}), (SELECT count(*) FROM {}), (SELECT last_instance_id FROM workflow)"
    assert [(0, 0, 0)] == await starts.api.rows(counts.format("workflow_instance", "start_request"))
    assert [StartOutcome.CREATED] == [result.outcome for result in await starts.start(request)]


async def test_the_version_a_request_was_evaluated_against_is_checked_again_under_the_lock(starts: Starts) -> None:
    await starts.api.push()
    by_name = {name: await starts.request(version_name=name) for name in VersionName}
    await starts.api.push()
    await starts.api.push(is_active=False)

    results = await starts.start(*by_name.values())

    assert {
        VersionName.ACTIVE: StartOutcome.VERSION_CHANGED,
        VersionName.LATEST: StartOutcome.VERSION_CHANGED,
        VersionName.DEFAULT: StartOutcome.VERSION_CHANGED,
        VersionName.NUMBER: StartOutcome.CREATED,
    } == dict(zip(by_name, (result.outcome for result in results), strict=True))


async def test_the_oldest_who_wait_begin_when_slots_become_free(starts: Starts) -> None:
    await starts.api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 2})
    requests = [await starts.request() for _ in range(6)]
    await starts.start(*requests)
    assert () == await starts.dequeue("wf")
    for instance_id in (1, 2):
        await starts.api.end_run(instance_id=instance_id)

    hints = await starts.dequeue("wf")

    assert [1, 2, 3, 4] == await starts.admitted()
    assert {partition_of(instance_key("wf", instance_id), 64) for instance_id in (3, 4)} == set(hints)
    assert [request.run_uid for request in requests[:2]] == (await starts.told())[:2]
    assert {request.run_uid for request in requests[2:4]} == set((await starts.told())[2:])
    assert [(2,)] == await starts.api.rows(
        "SELECT DISTINCT row_version FROM workflow_instance WHERE instance_id IN (3, 4)"
    )


async def test_many_workflows_are_dequeued_together_and_each_by_its_own_strategy(starts: Starts) -> None:
    for number in range(5):
        await starts.api.push(f"wf{number}", run_strategy={"rule": "PARALLEL", "workflow_concurrency": number + 1})
        await starts.start(*[await starts.request(f"wf{number}") for _ in range(8)])
        for instance_id in range(1, number + 2):
            await starts.api.end_run(f"wf{number}", instance_id)

    await starts.dequeue(*(f"wf{number}" for number in range(5)), "gone")

    for number in range(5):
        assert list(range(1, min(8, 2 * (number + 1)) + 1)) == await starts.admitted(f"wf{number}")


async def test_a_newcomer_does_not_pass_those_who_wait_and_lets_them_begin(starts: Starts) -> None:
    """Nobody dequeued after the first run ended: the next start does, before it is admitted itself."""
    await starts.api.push()
    await starts.start(*[await starts.request() for _ in range(2)])
    await starts.api.end_run(instance_id=1)

    [result] = await starts.start(await starts.request())

    assert [1, 2] == await starts.admitted()
    assert (StartOutcome.CREATED, 3) == (result.outcome, result.instance_id)
    assert (partition_of(instance_key("wf", 2), 64),) == result.partitions


async def test_a_queued_run_that_was_stopped_is_not_dequeued(starts: Starts) -> None:
    await starts.api.push()
    await starts.start(*[await starts.request() for _ in range(3)])
    await starts.api.call("PUT", "/api/v3/workflows/wf/instances/2/actions/stop")
    await starts.api.end_run(instance_id=1)

    await starts.dequeue("wf")

    assert [1, 3] == await starts.admitted()


async def test_the_slot_of_a_run_that_is_stopped_while_it_is_dequeued_goes_to_the_next(starts: Starts) -> None:
    """Nobody would dequeue again: no run has ended that would say so."""
    await starts.api.push()
    await starts.start(*[await starts.request() for _ in range(3)])
    await starts.api.end_run("wf", 1)

    async with starts.api.database.transaction() as stopping:
        await stopping.execute(
            "UPDATE workflow_instance SET status = 'STOPPED', end_time_ms = 1, row_version = row_version + 1"
            " WHERE instance_id = 2"
        )
        dequeuing = asyncio.create_task(starts.dequeue("wf"))
        await wait_until_async(lambda: _somebody_waits(starts), 10)
    partitions = await dequeuing

    assert [1, 3] == await starts.admitted()
    assert (partition_of(instance_key("wf", 3), 64),) == partitions


async def _somebody_waits(starts: Starts) -> bool:
    locks = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await starts.api.rows(locks))


async def test_iterations_of_a_foreach_take_no_slot_of_any_workflow(starts: Starts) -> None:
    """Even if their inline workflow had the name of a workflow, admission would not count them."""
    await starts.api.push()
    [result] = await starts.start(await starts.request())
    await starts.api.execute(
        "UPDATE workflow_instance SET scope = 'each', parent_run_uid = gen_random_uuid() WHERE run_uid = %s",
        result.run_uid,
    )

    await starts.start(await starts.request())

    assert [1, 2] == await starts.admitted()


async def test_however_starts_and_ends_interleave_the_limit_holds_and_no_slot_stays_free(
    starts: Starts, database_url: str
) -> None:
    """Six tasks over two pools start runs, end runs and dequeue; a look between any two commits finds at most 3."""
    await starts.api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 3})
    template = await starts.request()
    wanted = 60
    begun: set[int] = set()
    most = 0

    async def start_some(database: Database, count: int) -> None:
        for _ in range(count):
            request = msgspec.structs.replace(template, run_uid=new_uid(), request_id=request_id())
            await start_runs_durably(database, [request], now_ms=NOW_MS)

    async def end_some(database: Database) -> None:
        nonlocal most
        while len(begun) < wanted:
            running = [
                instance_id
                for (instance_id,) in await starts.api.rows(
                    "SELECT instance_id FROM workflow_instance WHERE execution_id IS NOT NULL AND end_time_ms IS NULL"
                )
            ]
            most = max(most, len(running))
            begun.update(running)
            for instance_id in running[:2]:
                await starts.api.end_run(instance_id=instance_id)
                async with database.transaction() as conn:
                    await dequeue(conn, ["wf"], now_ms=NOW_MS)

    async with Database(database_url, "maestro:other", hot=True) as other, asyncio.timeout(60):
        pools = (starts.hot, other)
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(start_some(pools[number % 2], wanted // 4))
            for pool in pools:
                tasks.create_task(end_some(pool))

    assert most <= 3
    assert set(range(1, wanted + 1)) == begun
    # Each was begun once: one event for each run.
    told = await starts.told()
    assert wanted == len(told) == len(set(told))
