"""Whatever happens to an API process or its database, a start that was answered exists, and exists once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from maestro_py.clock import SystemClock
from maestro_py.supervisor.embedded_postgres import EmbeddedPostgres
from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import WORKFLOWS, Scene, api_scene, request_id
from tests.faults.api_process import (
    KILLED_BEFORE_HINT,
    KILLED_INSIDE_START,
    STOPPED_INSIDE_START,
    ApiUnderTest,
    api_process,
)

START = f"{WORKFLOWS}/wf/versions/active/actions/start"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        await scene.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 1000})
        yield scene


async def start(process: ApiUnderTest, id_: str) -> httpx2.Response:
    """Send one start to the process."""
    async with httpx2.AsyncClient(headers={"user": "ana"}, timeout=60) as client:
        body: dict[str, Any] = {"initiator": {"type": "MANUAL"}, "request_id": id_}
        return await client.post(process.url + START, json=body)


async def test_nothing_is_left_of_a_start_whose_process_was_killed_before_the_commit(
    api: Scene, database_url: str
) -> None:
    id_ = request_id()
    with api_process(database_url, KILLED_INSIDE_START) as doomed:
        with pytest.raises(httpx2.TransportError):
            await start(doomed, id_)
        assert -signal.SIGKILL == doomed.process.wait()

    assert [] == await api.rows("SELECT 1 FROM workflow_instance UNION ALL SELECT 1 FROM start_request")
    assert ("CREATED", 1) == await started(api, id_)


async def test_a_start_whose_process_was_killed_after_the_commit_stands_and_is_not_repeated(
    api: Scene, database_url: str
) -> None:
    """No hint was sent: the row in the inbox is what the engine's sweep finds."""
    id_ = request_id()
    with api_process(database_url, KILLED_BEFORE_HINT) as doomed:
        with pytest.raises(httpx2.TransportError):
            await start(doomed, id_)
        assert -signal.SIGKILL == doomed.process.wait()

    assert [(1, 1)] == await api.rows(
        "SELECT (SELECT count(*) FROM workflow_instance), (SELECT count(*) FROM engine_inbox)"
    )
    assert ("DUPLICATED", 0) == await started(api, id_)


async def test_an_api_that_is_stopped_inside_a_start_keeps_nobody_from_starting_the_workflow(
    api: Scene, database_url: str
) -> None:
    """Promise 12: another process ends the sessions of the stopped one when its lease is over."""
    with api_process(database_url, STOPPED_INSIDE_START) as sleeper, api_process(database_url) as other:
        asleep = request_id()
        waiting = asyncio.create_task(start(sleeper, asleep))
        await wait_until_async(lambda: sleeper.is_stopped)

        answer = await asyncio.wait_for(start(other, request_id()), 15)

        assert (200, "CREATED") == (answer.status_code, answer.json()["status"])
        assert sleeper.is_stopped
        # Awake again, it finds its session gone, asks again under the same uid, and starts its run once.
        sleeper.process.send_signal(signal.SIGCONT)
        answer = await waiting
        assert (200, "CREATED") == (answer.status_code, answer.json()["status"])
    assert [(2, 2)] == await api.rows(
        "SELECT (SELECT count(*) FROM workflow_instance), (SELECT count(*) FROM engine_inbox)"
    )


async def test_a_workflow_whose_row_is_held_delays_no_start_of_another(api: Scene) -> None:
    await api.push("other")
    async with api.database.transaction() as conn:
        await conn.execute("SELECT 1 FROM workflow WHERE workflow_id = 'wf' FOR UPDATE")
        held = [asyncio.create_task(api.start()) for _ in range(20)]

        assert "CREATED" == (await asyncio.wait_for(api.start("other"), 2))["status"]

        assert not any(task.done() for task in held)
    assert {"CREATED"} == {answer["status"] for answer in await asyncio.gather(*held)}


@pytest.mark.slow
async def test_postgresql_killed_during_starts_costs_no_start_and_doubles_none(
    private_postgres: EmbeddedPostgres,
) -> None:
    """Whoever is told to come back sends the same request id until it is answered."""
    async with api_scene(private_postgres.url) as api:
        await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 1000})
        ids = [request_id() for _ in range(150)]
        answered = 0

        async def until_answered(process: ApiUnderTest, id_: str) -> str:
            nonlocal answered
            while True:
                answer = await start(process, id_)
                if answer.status_code == 200:
                    answered += 1
                    status: str = answer.json()["status"]
                    return status
                assert (503, True) == (answer.status_code, answer.json()["retryable"])

        async def paced(process: ApiUnderTest, some: list[str]) -> list[str]:
            return [await until_answered(process, id_) for id_ in some]

        with api_process(private_postgres.url) as one, api_process(private_postgres.url) as other:
            lanes = [asyncio.create_task(paced((one, other)[n % 2], ids[n::10])) for n in range(10)]
            await wait_until_async(lambda: answered > 30, 30)
            private_postgres.kill()
            private_postgres.start()
            statuses = [status for lane in await asyncio.gather(*lanes) for status in lane]

        # A start whose answer was lost may be told that it exists already; it exists once all the same.
        assert set(statuses) <= {"CREATED", "DUPLICATED"}
        assert sorted(ids) == [
            id_ for (id_,) in await api.rows("SELECT workflow_uuid FROM workflow_instance ORDER BY workflow_uuid")
        ]
        assert [(150,)] == await api.rows("SELECT count(*) FROM engine_inbox")


async def started(api: Scene, id_: str) -> tuple[str, int]:
    """Send the start to an API that is well, and return what it says."""
    api.clock.now = SystemClock().now_ms()  # that of the process which died: request ids are forgotten after 30 days
    answer = await api.start(request_id=id_)
    return answer["status"], answer["workflow_instance_id"]
