"""Two API processes over one database: starts that come to both at once are decided as if they came to one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from tests.api_scene import WORKFLOWS, Scene, api_scene, request_id
from tests.faults.api_process import api_processes


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


@pytest.fixture
def urls(database_url: str) -> Iterator[list[str]]:
    """The addresses of two API processes."""
    with api_processes(database_url, 2) as processes:
        yield [process.url for process in processes]


async def start_at_once(urls: list[str], bodies: list[dict[str, Any]], workflow_id: str = "wf") -> list[dict[str, Any]]:
    """Send every body in the same moment, to the processes in turn, and return what each was answered."""
    path = f"{WORKFLOWS}/{workflow_id}/versions/active/actions/start"
    async with httpx2.AsyncClient(headers={"user": "ana"}, timeout=60) as client:

        async def start(number: int, body: dict[str, Any]) -> dict[str, Any]:
            answer = await client.post(urls[number % len(urls)] + path, json={"initiator": {"type": "MANUAL"}, **body})
            assert 200 == answer.status_code, answer.text
            json: dict[str, Any] = answer.json()
            return json

        return await asyncio.gather(*(start(number, body) for number, body in enumerate(bodies)))


async def test_the_same_start_sent_twenty_times_at_once_to_two_processes_is_one_instance(
    api: Scene, urls: list[str]
) -> None:
    """Promise 1: a repeated request id starts nothing."""
    await api.push(run_strategy="PARALLEL")

    answers = await start_at_once(urls, [{"request_id": request_id()}] * 20)

    assert {"CREATED": 1, "DUPLICATED": 19} == Counter(answer["status"] for answer in answers)
    assert [(1, 1)] == await api.rows(
        "SELECT (SELECT count(*) FROM workflow_instance), (SELECT count(*) FROM engine_inbox)"
    )


STRATEGIES: dict[str, tuple[Any, dict[str, int], int]] = {
    "sequential": ("SEQUENTIAL", {"CREATED": 100}, 1),
    "parallel": ({"rule": "PARALLEL", "workflow_concurrency": 7}, {"CREATED": 100}, 7),
    "first-only": ("FIRST_ONLY", {"CREATED": 1, "STOPPED": 99}, 1),
}


async def test_run_strategies_hold_under_starts_that_come_to_two_processes_at_once(api: Scene, urls: list[str]) -> None:
    for workflow_id, (strategy, _, _) in STRATEGIES.items():
        await api.push(workflow_id, run_strategy=strategy)

    answers = await asyncio.gather(*(start_at_once(urls, [{} for _ in range(100)], id_) for id_ in STRATEGIES))

    for (workflow_id, (_, answered, admitted)), given in zip(STRATEGIES.items(), answers, strict=True):
        assert answered == Counter(answer["status"] for answer in given)
        # Numbered without gaps, each number given once, and the first ones are those that run.
        assert list(range(1, 101)) == sorted(answer["workflow_instance_id"] for answer in given)
        assert [(n,) for n in range(1, admitted + 1)] == await api.rows(
            "SELECT instance_id FROM workflow_instance WHERE workflow_id = %s AND execution_id IS NOT NULL"
            " ORDER BY instance_id",
            workflow_id,
        )
    assert [(1 + 7 + 1,)] == await api.rows("SELECT count(*) FROM engine_inbox")


async def test_versions_pushed_to_two_processes_at_once_are_numbered_without_gaps(api: Scene, urls: list[str]) -> None:
    body = {"workflow_id": "wf", "steps": [{"id": "a", "type": "NoOp"}]}
    async with httpx2.AsyncClient(timeout=60) as client:
        answers = await asyncio.gather(*(client.post(urls[n % 2] + WORKFLOWS, json=body) for n in range(20)))

    numbers = [a.json()["workflow_definition"]["metadata"]["workflow_version_id"] for a in answers]
    assert list(range(1, 21)) == sorted(numbers)
    assert [(20, 20)] == await api.rows("SELECT active_version, latest_version FROM workflow")


async def test_a_start_never_runs_a_version_that_was_not_active_any_more(api: Scene, urls: list[str]) -> None:
    """Whatever is pushed while parameters are evaluated: the run has the parameters of the version it runs."""
    await api.push(params={"of": 1}, run_strategy="PARALLEL")

    async def push_others() -> None:
        for number in range(2, 12):
            await api.push(params={"of": number}, run_strategy="PARALLEL")

    await asyncio.gather(push_others(), *(start_at_once(urls, [{} for _ in range(10)]) for _ in range(5)))

    assert [] == await api.rows(
        "SELECT workflow_version FROM workflow_instance"
        " WHERE (params->'of'->>'evaluated_result')::int <> workflow_version"
    )
