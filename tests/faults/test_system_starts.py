"""Promise 1, and the run strategies, when starts and signals come to several processes at once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import Any

import httpx2
import pytest

from maestro_py.testing.waiting import wait_until
from tests.system import BOTH_TRANSPORTS, System
from tests.system_evidence import most_at_once

REPEATS = 20
SIGNALS = 1_000
#: Requests under way at a time, to both API processes together.
AT_ONCE = 50


def a_workflow(workflow_id: str, **rest: object) -> dict[str, object]:
    return {"workflow_id": workflow_id, "steps": [{"id": "work", "type": "bench_noop"}], **rest}


async def post_all(system: System, path: str, bodies: list[dict[str, object]]) -> list[httpx2.Response]:
    """Post *bodies* at once, to both API processes in turn, and return the answers."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx2.AsyncClient(timeout=60, headers={"user": "tester"}) as client:

        async def post(number: int, body: dict[str, object]) -> httpx2.Response:
            async with gate:
                return await client.post(f"{system.api_url(number % 2)}/api/v3{path}", json=body)

        return await asyncio.gather(*(post(number, body) for number, body in enumerate(bodies)))


def start_all(system: System, workflow_id: str, request_ids: list[str]) -> list[httpx2.Response]:
    bodies: list[dict[str, object]] = [{"initiator": {"type": "manual"}, "request_id": id_} for id_ in request_ids]
    path = f"/workflows/{workflow_id}/versions/active/actions/start"
    return asyncio.run(post_all(system, path, bodies))


def fresh_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def statuses(system: System, workflow_id: str) -> Counter[str]:
    """Return how many runs of a workflow are in which status."""
    statement = "SELECT status FROM workflow_instance WHERE workflow_id = %s"
    return Counter(row[0] for row in system.query(statement, workflow_id))


def wait_all_ended(system: System, workflow_id: str, **counts: int) -> None:
    wait_until(
        lambda: statuses(system, workflow_id) == Counter(counts),
        30,
        seen=lambda: f"{statuses(system, workflow_id)}\n{system.logs()}",
    )


@pytest.fixture
def crowd(system: System) -> System:
    """A system with two of each process."""
    return system.start_all(engines=2, workers=2, signals=2, apis=2)


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_starts_that_come_at_once_are_decided_as_if_they_came_one_by_one(crowd: System) -> None:
    """Promise 1, and each run strategy, under concurrent starts through two API processes."""
    crowd.push(a_workflow("same", run_strategy="PARALLEL"))
    crowd.push(a_workflow("one_by_one", run_strategy="SEQUENTIAL"))
    crowd.push(a_workflow("three", run_strategy={"rule": "PARALLEL", "workflow_concurrency": 3}))
    nap = [{"id": "nap", "type": "Sleep", "seconds": 4}]
    crowd.push({"workflow_id": "first", "run_strategy": "FIRST_ONLY", "steps": nap})

    answers = start_all(crowd, "same", [fresh_ids(1)[0]] * REPEATS)
    assert {200} == {answer.status_code for answer in answers}
    assert {1} == {
        answer.json()["workflow_instance_id"] for answer in answers if answer.json().get("status") != "DUPLICATED"
    }
    wait_all_ended(crowd, "same", SUCCEEDED=1)

    start_all(crowd, "first", fresh_ids(REPEATS))
    start_all(crowd, "one_by_one", fresh_ids(REPEATS))
    start_all(crowd, "three", fresh_ids(REPEATS))

    wait_all_ended(crowd, "one_by_one", SUCCEEDED=REPEATS)
    wait_all_ended(crowd, "three", SUCCEEDED=REPEATS)
    wait_all_ended(crowd, "first", SUCCEEDED=1, STOPPED=REPEATS - 1)
    assert 1 == most_at_once(crowd, "one_by_one")
    assert 1 < most_at_once(crowd, "three") <= 3
    assert 1 == most_at_once(crowd, "first")


@pytest.mark.slow
@BOTH_TRANSPORTS
def test_a_thousand_signals_announced_at_once_start_a_thousand_runs(crowd: System) -> None:
    """Promise 1: each signal starts its run once, whichever of two signal services hears of it."""
    crowd.push(
        a_workflow(
            "triggered",
            run_strategy={"rule": "PARALLEL", "workflow_concurrency": 1000},
            trigger={"type": "signal", "signal_name": "ready"},
        )
    )
    bodies: list[dict[str, Any]] = [{"name": "ready", "request_id": id_} for id_ in fresh_ids(SIGNALS)]

    answers = asyncio.run(post_all(crowd, "/signals", bodies))

    assert {200} == {answer.status_code for answer in answers}
    wait_all_ended(crowd, "triggered", SUCCEEDED=SIGNALS)
    assert [] == crowd.query("SELECT 1 FROM signal_pending")
