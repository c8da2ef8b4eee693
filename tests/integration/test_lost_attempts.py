"""An attempt that nobody will report is found, decided once, and its run is told in the same statement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from maestro_py.model.events import AttemptLost, AttemptOverdue, decode_event
from maestro_py.model.ids import new_uid
from maestro_py.model.statuses import ProcessKind
from maestro_py.storage import lost_attempts
from maestro_py.storage.connections import Database, application_name
from maestro_py.storage.lost_attempts import cancel_overdue_attempts, lose_attempts, overdue_runs

#: What this engine owns: partitions 1 and 2, under epoch 1.
MINE = [(1, 1), (2, 1)]
LEASE_MS = 4_000
LONG_AGO_MS = 3_600_000


class World:
    """Workers, attempts and runs as other processes wrote them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def execute(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with self.database.connection() as conn:
            cursor = await conn.execute(query.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []

    async def a_worker(self, *, silent_ms: int = 0) -> UUID:
        worker = new_uid()
        await self.execute(
            "INSERT INTO process (id, kind, host, pid, beat_at, lease_ms)"
            " VALUES (%s, 'worker', 'h', 1, clock_timestamp() - %s * interval '1 ms', %s)",
            worker,
            silent_ms,
            LEASE_MS,
        )
        return worker

    async def an_attempt(
        self,
        worker: UUID | None,
        *,
        partition: int = 1,
        dispatch: str = "CLAIMED",
        attachable: bool = False,
        handle: dict[str, Any] | None = None,
        due_in_ms: int | None = None,
    ) -> UUID:
        """The first attempt of step ``s`` of a new run, whose id is returned."""
        run_uid = new_uid()
        await self.execute(
            "INSERT INTO step_attempt (partition, run_uid, step_id, attempt, step_seq, step_uuid, status, times,"
            " step_type, dispatch, queue, backend_keys, task, worker, token, claim_id, claimed_at, attachable,"
            " external_handle, deadline_at) VALUES (%s, %s, 's', 1, 1, %s, 'RUNNING', '{}', 'shell', %s, 'default',"
            " '{shell}', '{}', %s, 3, %s, now(), %s, %s, now() + %s * interval '1 ms')",
            partition,
            run_uid,
            new_uid(),
            dispatch,
            worker,
            new_uid(),
            attachable,
            json.dumps(handle) if handle else None,
            due_in_ms,
        )
        return run_uid

    async def a_run(self, *, partition: int = 1, due_in_ms: int | None, ended: bool = False) -> UUID:
        run_uid = new_uid()
        await self.execute(
            "INSERT INTO workflow_instance (partition, run_uid, workflow_id, instance_id, run_id, status,"
            " workflow_uuid, workflow_version, definition_uid, correlation_id, root_workflow_id, initiator,"
            " request_time_ms, create_time_ms, modify_time_ms, end_time_ms, deadline_at) VALUES (%s, %s, %s, 1, 1, %s,"
            " 'u', 1, %s, 'c', 'w', '{}', 1, 1, 1, %s, now() + %s * interval '1 ms')",
            partition,
            run_uid,
            str(run_uid),
            "SUCCEEDED" if ended else "IN_PROGRESS",
            new_uid(),
            1 if ended else None,
            due_in_ms,
        )
        return run_uid

    async def attempt(self, run_uid: UUID, *columns: str) -> tuple[Any, ...]:
        [row] = await self.execute(f"SELECT {', '.join(columns)} FROM step_attempt WHERE run_uid = %s", run_uid)
        return row

    async def inbox(self) -> list[tuple[int, int, UUID, Any]]:
        """What the runs were told: partition, class, run, event."""
        rows = await self.execute("SELECT partition, class, run_uid, payload::text FROM engine_inbox ORDER BY id")
        return [(*row[:3], decode_event(row[3])) for row in rows]

    async def lose(self, beaten_ms: int = LEASE_MS, limit: int = 500) -> lost_attempts.Lost:
        async with self.database.connection() as conn:
            return await lose_attempts(conn, MINE, beaten_ms, limit)

    async def cancel_overdue(self, limit: int = 500) -> lost_attempts.Overdue:
        async with self.database.connection() as conn:
            return await cancel_overdue_attempts(conn, MINE, limit)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with Database(database_url, application_name(ProcessKind.ENGINE, new_uid()), hot=True) as database:
        world = World(database)
        await world.execute("UPDATE engine_partition SET epoch = 1, owner = %s", new_uid())
        yield world


# --- lost ---


async def test_an_attempt_of_a_dead_worker_is_lost_and_its_run_told_once(world: World) -> None:
    worker = await world.a_worker(silent_ms=LONG_AGO_MS)
    run = await world.an_attempt(worker)

    assert ([1], []) == await world.lose()
    assert ([], []) == await world.lose()

    assert ("LOST", worker, 3) == await world.attempt(run, "dispatch", "worker", "token")
    [(partition, event_class, run_uid, event)] = await world.inbox()
    assert (1, 0, run) == (partition, event_class, run_uid)
    assert isinstance(event, AttemptLost)
    assert ("s", 1) == (event.step_id, event.attempt)
    assert str(worker) in event.reason


async def test_an_attempt_of_a_worker_without_a_row_is_lost(world: World) -> None:
    """It stopped in order and gave its attempts up, or its row went when it had been dead for long."""
    await world.an_attempt(new_uid(), partition=2)

    assert ([2], []) == await world.lose(beaten_ms=0)


async def test_an_attempt_of_a_living_worker_stays(world: World) -> None:
    run = await world.an_attempt(await world.a_worker())

    assert ([], []) == await world.lose()

    assert ("CLAIMED",) == await world.attempt(run, "dispatch")
    assert [] == await world.inbox()


async def test_an_engine_that_has_not_beaten_for_the_worker_s_lease_loses_nothing(world: World) -> None:
    """After an outage every beat is old: the database away is nobody's death."""
    run = await world.an_attempt(await world.a_worker(silent_ms=LONG_AGO_MS))

    assert ([], []) == await world.lose(beaten_ms=LEASE_MS - 1)
    assert ("CLAIMED",) == await world.attempt(run, "dispatch")

    assert ([1], []) == await world.lose(beaten_ms=LEASE_MS)


async def test_an_attempt_with_a_job_outside_waits_for_a_worker_that_attaches(world: World) -> None:
    worker = await world.a_worker(silent_ms=LONG_AGO_MS)
    run = await world.an_attempt(worker, attachable=True, handle={"application": "a-1"})

    assert ([], ["default"]) == await world.lose()

    columns = ("dispatch", "worker", "claim_id", "token", "external_handle")
    assert ("QUEUED", None, None, 3, {"application": "a-1"}) == await world.attempt(run, *columns)
    assert [] == await world.inbox()


async def test_an_attachable_attempt_that_started_no_job_is_lost(world: World) -> None:
    await world.an_attempt(await world.a_worker(silent_ms=LONG_AGO_MS), attachable=True)

    assert ([1], []) == await world.lose()


@pytest.mark.parametrize("dispatch", ["READY", "QUEUED", "REPORTED", "REVOKED", "LOST"])
async def test_only_claimed_attempts_can_be_lost(world: World, dispatch: str) -> None:
    run = await world.an_attempt(await world.a_worker(silent_ms=LONG_AGO_MS), dispatch=dispatch)

    assert ([], []) == await world.lose()
    assert (dispatch,) == await world.attempt(run, "dispatch")


async def test_every_dead_worker_among_the_living_is_found(world: World) -> None:
    for number in range(12):
        worker = await world.a_worker(silent_ms=LONG_AGO_MS if number % 3 == 0 else 0)
        for partition in (1, 2):
            await world.an_attempt(worker, partition=partition)

    assert ([1, 2], []) == await world.lose()
    assert 8 == len(await world.inbox())


async def test_at_most_the_limit_is_lost_at_a_time(world: World) -> None:
    for _ in range(2):
        worker = await world.a_worker(silent_ms=LONG_AGO_MS)
        for _ in range(3):
            await world.an_attempt(worker)

    counts = []
    for _ in range(4):
        await world.lose(limit=2)
        counts.append(len(await world.inbox()))

    assert [2, 4, 6, 6] == counts


@pytest.mark.parametrize("epoch", [0, 2])
async def test_an_engine_that_lost_its_partition_decides_nothing_there(world: World, epoch: int) -> None:
    worker = await world.a_worker(silent_ms=LONG_AGO_MS)
    theirs = await world.an_attempt(worker, partition=1, due_in_ms=-1_000)
    await world.an_attempt(worker, partition=2, due_in_ms=-1_000)
    await world.execute("UPDATE engine_partition SET epoch = %s WHERE partition = 1", epoch)

    assert [2] == (await world.cancel_overdue()).partitions
    assert ([2], []) == await world.lose()

    assert ("CLAIMED", None) == await world.attempt(theirs, "dispatch", "cancel_requested_at")


async def test_partitions_of_others_are_not_looked_at(world: World) -> None:
    await world.an_attempt(await world.a_worker(silent_ms=LONG_AGO_MS), partition=3, due_in_ms=-1_000)
    await world.a_run(partition=3, due_in_ms=-1_000)

    assert ([], []) == await world.lose()
    assert ([], []) == await world.cancel_overdue()
    async with world.database.connection() as conn:
        assert [] == await overdue_runs(conn, [1, 2])


async def test_a_report_that_is_on_its_way_wins(world: World) -> None:
    """A report and a verdict are each one guarded UPDATE of the same row: exactly one of them wins."""
    run = await world.an_attempt(await world.a_worker(silent_ms=LONG_AGO_MS), due_in_ms=-1_000)

    async with world.database.transaction() as reporting:
        await reporting.execute("UPDATE step_attempt SET dispatch = 'REPORTED' WHERE run_uid = %s", (run,))
        assert ([], []) == await world.lose()
        assert ([], []) == await world.cancel_overdue()

    assert ([], []) == await world.lose()
    assert ("REPORTED",) == await world.attempt(run, "dispatch")
    assert [] == await world.inbox()


# --- overdue ---


async def test_an_overdue_attempt_is_cancelled_and_its_run_told_once(world: World) -> None:
    worker = await world.a_worker()
    run = await world.an_attempt(worker, due_in_ms=-1)

    assert ([1], [worker]) == await world.cancel_overdue()
    assert ([], []) == await world.cancel_overdue()

    dispatch, cancelled, deadline = await world.attempt(run, "dispatch", "cancel_requested_at", "deadline_at")
    assert ("CLAIMED", None) == (dispatch, deadline)
    assert cancelled is not None
    assert [(1, 0, run, AttemptOverdue(step_id="s", attempt=1))] == await world.inbox()


async def test_an_earlier_request_to_cancel_keeps_its_time(world: World) -> None:
    run = await world.an_attempt(await world.a_worker(), due_in_ms=-1)
    await world.execute("UPDATE step_attempt SET cancel_requested_at = '2020-01-01Z'")

    await world.cancel_overdue()

    [cancelled] = await world.attempt(run, "cancel_requested_at")
    assert 2020 == cancelled.year


@pytest.mark.parametrize("due_in_ms", [None, 60_000])
async def test_an_attempt_in_time_goes_on(world: World, due_in_ms: int | None) -> None:
    await world.an_attempt(await world.a_worker(), due_in_ms=due_in_ms)

    assert ([], []) == await world.cancel_overdue()


async def test_at_most_the_limit_is_cancelled_at_a_time(world: World) -> None:
    worker = await world.a_worker()
    for partition in (1, 1, 2):
        await world.an_attempt(worker, partition=partition, due_in_ms=-1)

    await world.cancel_overdue(limit=2)
    assert 2 == len(await world.inbox())
    await world.cancel_overdue(limit=2)
    assert 3 == len(await world.inbox())


async def test_overdue_runs_are_listed_while_they_live(world: World) -> None:
    late = await world.a_run(due_in_ms=-2_000)
    later = await world.a_run(partition=2, due_in_ms=-1_000)
    await world.a_run(due_in_ms=60_000)
    await world.a_run(due_in_ms=None)
    await world.a_run(due_in_ms=-1_000, ended=True)

    async with world.database.connection() as conn:
        assert [(1, late), (2, later)] == sorted(await overdue_runs(conn, [1, 2]))
        assert 1 == len(await overdue_runs(conn, [1, 2], limit=1))


# --- plans ---

PARAMETERS = {"partitions": [1, 2], "epochs": [1, 1], "limit": 500, "beaten_ms": LEASE_MS}
#: Of each statement the tables it touches by index, and by which.
PLANS = {
    lost_attempts._LOSE: {
        "ix_step_attempt_claimed on step_attempt s": "(worker = d.worker)",
        "pk_step_attempt on step_attempt t": "(attempt = f.attempt)",
        "pk_engine_partition": "(partition = mine.partition)",
        "pk_process": "(id = known.worker)",
    },
    lost_attempts._OVERDUE: {
        "ix_step_attempt_deadline on step_attempt s": "(deadline_at < now())",
        "pk_step_attempt on step_attempt t": "(attempt = f.attempt)",
    },
    lost_attempts._OVERDUE_RUNS: {
        "ix_workflow_instance_deadline": "(deadline_at < now())",
    },
}


@pytest.mark.parametrize("query", PLANS, ids=["lose", "overdue", "overdue runs"])
async def test_each_statement_looks_rows_up_by_key_also_without_statistics(world: World, query: str) -> None:
    async with world.database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN (COSTS off) {query}".encode(), PARAMETERS)
        lines = [line.strip() for (line,) in await cursor.fetchall()]

    assert not [line for line in lines if "Seq Scan" in line], "\n".join(lines)
    for index, condition in PLANS[query].items():
        at = next((n for n, line in enumerate(lines) if f"using {index}" in line), None)
        assert at is not None, f"{index} is not used:\n" + "\n".join(lines)
        assert condition in lines[at + 1], lines[at + 1]
    # The updates at the end find every row by its whole key.
    updates = [n for n, line in enumerate(lines) if "using pk_step_attempt on step_attempt a" in line]
    assert all("Index Cond: ((partition =" in lines[n + 1] and "attempt =" in lines[n + 1] for n in updates)
