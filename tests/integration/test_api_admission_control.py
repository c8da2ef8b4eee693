"""While engines or signal services are far behind, more work is refused with a time to come back; nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import WORKFLOWS, Scene, api_scene, request_id

LIMIT = 20
START = f"{WORKFLOWS}/wf/versions/active/actions/start"
BATCH_START = f"{WORKFLOWS}/wf/versions/active/actions/batch-start"
SIGNALS = "/api/v3/signals"
MANUAL = {"initiator": {"type": "MANUAL"}}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url, backlog_limit=LIMIT, verdict_seconds=0.05) as scene:
        yield scene


async def post(api: Scene, path: str, body: Any) -> httpx2.Response:
    return await api.client.post(path, json=body, headers={"user": "ana"})


async def let_events_wait(api: Scene, count: int) -> None:
    await api.execute(
        "INSERT INTO engine_inbox (partition, class, run_uid, payload)"
        " SELECT 7, 0, gen_random_uuid(), '{}' FROM generate_series(1, %s)",
        count,
    )


async def test_starts_and_signals_are_refused_with_a_time_to_come_back_while_engines_are_behind(api: Scene) -> None:
    await api.push()
    await let_events_wait(api, LIMIT)
    signal = {"name": "ready", "request_id": request_id()}

    for path, body in ((START, MANUAL), (BATCH_START, {"requests": [MANUAL]}), (SIGNALS, signal)):
        answer = await post(api, path, body)

        assert 429 == answer.status_code
        assert 2 <= int(answer.headers["retry-after"]) <= 5
        refusal = answer.json()
        assert ("TOO_MANY_REQUESTS", True) == (refusal["status"], refusal["retryable"])
        assert "engines" in refusal["message"]
    assert [] == await api.rows("SELECT 1 FROM workflow_instance UNION ALL SELECT 1 FROM signal_instance")


async def test_reads_pushes_stops_and_kills_are_never_refused(api: Scene) -> None:
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 2})
    for _ in range(3):
        await api.start()
    await let_events_wait(api, LIMIT)
    await wait_until_async(lambda: refused(api))

    await api.get(f"{WORKFLOWS}/wf/instances/1")
    await api.push("other")
    await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/actions/stop")
    await api.call("PUT", f"{WORKFLOWS}/wf/instances/3/actions/kill")
    await api.call("PUT", f"{WORKFLOWS}/wf/actions/stop", 202)
    assert 429 == (await post(api, START, MANUAL)).status_code


async def refused(api: Scene) -> bool:
    return (await post(api, START, MANUAL)).status_code == 429


async def test_who_comes_back_when_the_backlog_is_short_again_is_served(api: Scene) -> None:
    await api.push()
    await let_events_wait(api, LIMIT)
    assert await refused(api)
    # Of those that could be started in vain, none was.
    assert [] == await api.rows("SELECT 1 FROM workflow_instance")

    await api.execute("DELETE FROM engine_inbox")

    await wait_until_async(lambda: served(api), 5)


async def served(api: Scene) -> bool:
    return (await post(api, START, MANUAL)).status_code == 200


async def test_what_was_taken_on_since_the_newest_look_counts(api: Scene) -> None:
    """A burst within the second between two looks ends where it would if every start were preceded by a look."""
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 100})

    codes = [(await post(api, START, MANUAL)).status_code for _ in range(2 * LIMIT)]

    assert [200] * LIMIT + [429] * LIMIT == codes
    assert [(LIMIT,)] == await api.rows("SELECT count(*) FROM engine_inbox")


async def test_signals_that_no_signal_service_takes_up_keep_more_signals_out_and_starts_in(api: Scene) -> None:
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 100}, trigger=TRIGGER)

    codes = [
        (await post(api, SIGNALS, {"name": "ready", "request_id": request_id()})).status_code for _ in range(LIMIT + 5)
    ]

    assert [200] * LIMIT + [429] * 5 == codes
    assert await served(api)


TRIGGER = {"type": "signal", "signal_name": "ready"}


async def test_the_backlog_is_shown_to_whoever_watches(api: Scene) -> None:
    await api.push()
    await let_events_wait(api, 3)
    await api.start()

    text = (await api.client.get("/metrics")).text

    assert 'maestro_api_backlog{for="engine"} 3.0' in text
