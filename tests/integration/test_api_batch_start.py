"""Start many runs of a workflow by one request: each is decided by itself, and they share transactions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from tests.api_scene import NOW_MS, WORKFLOWS, Json, Scene, api_scene, request_id

MANUAL = {"initiator": {"type": "MANUAL"}}
WIDE = {"rule": "PARALLEL", "workflow_concurrency": 1000}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def batch(api: Scene, requests: Any, expected: int = 200, workflow_id: str = "wf") -> Json:
    path = f"{WORKFLOWS}/{workflow_id}/versions/active/actions/batch-start"
    return cast("Json", await api.call("POST", path, expected, json={"requests": requests}))


async def test_each_request_is_answered_in_its_place_with_what_a_start_of_its_own_would_answer(api: Scene) -> None:
    await api.push(run_strategy=WIDE, params={"n": 0})
    ids = [request_id() for _ in range(3)]

    answer = await batch(api, [MANUAL | {"request_id": id_, "run_params": {"n": n}} for n, id_ in enumerate(ids)])

    assert [("CREATED", id_, number) for number, id_ in enumerate(ids, 1)] == [
        (result["status"], result["workflow_uuid"], result["workflow_instance_id"]) for result in answer["results"]
    ]
    stored = await api.rows(
        """
        SELECT workflow_uuid, initiator->>'user', params->'n'->>'evaluated_result', request_time_ms
        FROM workflow_instance ORDER BY instance_id
        """
    )
    assert [(id_, "ana", str(n), NOW_MS) for n, id_ in enumerate(ids)] == stored
    assert 3 == len(await api.rows("SELECT 1 FROM engine_inbox"))


async def test_a_wrong_request_is_named_by_its_path_and_fails_none_of_its_neighbours(api: Scene) -> None:
    await api.push(run_strategy=WIDE, params={"n": 0})
    twice = request_id()
    requests = [
        MANUAL | {"request_id": twice},
        MANUAL | {"run_params": {"n": "many"}, "reqest_id": twice},
        "not even an object",
        MANUAL | {"run_params": {"maestro": 1}},
        MANUAL | {"request_id": "12"},
        MANUAL | {"run_params": {"n": {"type": "LONG", "value": "${nowhere}"}}, "request_id": request_id()},
        MANUAL | {"request_id": twice},
        MANUAL,
    ]

    results = (await batch(api, requests))["results"]

    assert ["CREATED", None, None, None, None, None, "DUPLICATED", "CREATED"] == [r.get("status") for r in results]
    errors = [result["error"] for result in results if "error" in result]
    assert {"BAD_REQUEST"} == {error["status"] for error in errors}
    assert [
        "requests[1].reqest_id: unknown field; did you mean 'request_id'?",
        "requests[2]: must be an object, not a text",
        "requests[3].run_params.maestro: is a reserved name",
        "requests[4].request_id: must be a UUID",
    ] == [error["errors"][0] for error in errors[:4]]
    assert "nowhere" in errors[4]["message"]
    assert requests[5]["request_id"] == results[5]["workflow_uuid"]  # type: ignore[index]  # one of the objects
    assert [(2,)] == await api.rows("SELECT count(*) FROM workflow_instance")


async def test_a_batch_as_a_whole_is_refused_when_it_is_none_or_too_large_or_of_nothing(api: Scene) -> None:
    await api.push()

    assert "requests: must be a list" in (await batch(api, "all", 400))["message"]
    assert "requests: is required" in (await batch(api, [], 400))["message"]
    assert "1001 requests are more than 1000" in (await batch(api, [MANUAL] * 1001, 400))["message"]
    await batch(api, [MANUAL], 404, "nowhere")
    path = f"{WORKFLOWS}/wf/versions/active/actions/batch-start"
    answer = await api.client.post(path, content=json.dumps({"requests": [MANUAL]}))
    assert (400, True) == (answer.status_code, "user" in answer.json()["message"])
    assert [] == await api.rows("SELECT 1 FROM workflow_instance")


async def test_a_thousand_starts_take_a_few_transactions_and_obey_the_run_strategy(api: Scene) -> None:
    await api.push()

    results = (await batch(api, [MANUAL | {"request_id": request_id()} for _ in range(1_000)]))["results"]

    assert list(range(1, 1_001)) == [result["workflow_instance_id"] for result in results]
    assert [(1_000, 1)] == await api.rows("SELECT count(*), count(execution_id) FROM workflow_instance")
    assert 2 == len(await api.rows("SELECT DISTINCT xmin::text FROM workflow_instance"))
    assert 1 == len(api.transport.sent)


async def test_a_batch_that_is_sent_again_starts_nothing(api: Scene) -> None:
    """Whoever got no answer, or was told to come back, sends the same batch again."""
    await api.push(run_strategy=WIDE)
    requests = [MANUAL | {"request_id": request_id()} for _ in range(20)]
    await batch(api, requests)

    results = (await batch(api, requests))["results"]

    assert {"DUPLICATED"} == {result["status"] for result in results}
    assert [(20,)] == await api.rows("SELECT count(*) FROM workflow_instance")
