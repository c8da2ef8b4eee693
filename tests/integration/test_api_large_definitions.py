"""A definition of thousands of steps keeps nobody else waiting while it is read, stored and shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

import httpx2
import pytest

from tests.api_scene import WORKFLOWS, Scene, api_scene

STEPS: Final = 3_000
BODY: Final = json.dumps(
    {
        "workflow_id": "large",
        "steps": [
            {
                "id": f"s{i}",
                "type": "shell",
                "command": "echo ${workflow_id}",
                "dependencies": [f"s{i - 1}"] if i else [],
            }
            for i in range(STEPS)
        ],
    }
)
#: Requests that are answered beside a large one.  Were the loop blocked, it would be one or two.
BESIDE: Final = 8


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def answered_beside(api: Scene, method: str, path: str, body: str = "") -> tuple[httpx2.Response, int]:
    """Return the answer to a request, and how many others were answered one after the other before it."""
    headers = {"user": "ana"}
    large = asyncio.create_task(api.client.request(method, path, headers=headers, content=body))
    others = 0
    while not large.done():
        await asyncio.sleep(0.001)  # As requests of others come: the client of the test shares our loop.
        assert 200 == (await api.client.get("/livez")).status_code
        others += 1
    return await large, others


async def test_a_large_definition_is_read_and_shown_beside_other_requests(api: Scene) -> None:
    answer, others = await answered_beside(api, "POST", WORKFLOWS, BODY)

    assert 200 == answer.status_code
    assert others > BESIDE

    answer, others = await answered_beside(api, "PUT", f"{WORKFLOWS}/actions/validate", BODY)

    assert 200 == answer.status_code
    assert others > BESIDE
    await api.start("large")
    for path in ("versions/1", "instances/1/runs/1", "instances/1/runs/1/steps"):
        assert 200 == (await api.client.get(f"{WORKFLOWS}/large/{path}")).status_code


async def test_a_mistake_in_a_large_definition_is_named_by_its_path(api: Scene) -> None:
    wrong = json.loads(BODY)
    wrong["steps"][STEPS - 1]["dependencies"] = ["nowhere"]

    refusal = await api.call("POST", WORKFLOWS, 400, content=json.dumps(wrong))

    assert f"steps[{STEPS - 1}].dependencies" in refusal["errors"][0]
