"""List the events that could not be applied, and put them back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from maestro_py.ports.transport import Address, HintKind
from tests.api_scene import NOW_MS, Scene, api_scene

DEAD_LETTERS = "/api/v3/dead-letters"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    """A workflow with two runs, one of which has three dead letters."""
    async with api_scene(database_url) as scene:
        await scene.push(run_strategy="PARALLEL")
        await scene.start()
        await scene.start()
        await scene.execute("DELETE FROM engine_inbox")
        partition, run_uid = await scene.run_key(instance_id=2)
        # The engine quarantines in the order in which it takes events, results before starts.
        for event_class, inbox_id, step in ((0, 9, "late"), (2, 5, "start"), (0, 7, "early")):
            await scene.execute(
                'INSERT INTO engine_dead_letter (partition, "class", inbox_id, run_uid, payload, reason,'
                " create_time_ms) VALUES (%s, %s, %s, %s, %s, 'boom', %s)",
                *(partition, event_class, inbox_id, run_uid, json.dumps({"kind": step}), NOW_MS),
            )
        await scene.execute("UPDATE workflow_instance SET quarantine_reason = 'boom' WHERE instance_id = 2")
        scene.transport.sent.clear()
        yield scene


async def test_dead_letters_say_which_run_they_were_for_and_why(api: Scene) -> None:
    page = await api.get(f"{DEAD_LETTERS}?limit=2")

    assert {
        "id": 1,
        "workflow_id": "wf",
        "workflow_instance_id": 2,
        "workflow_run_id": 1,
        "event": {"kind": "late"},
        "reason": "boom",
        "create_time": NOW_MS,
    } == page["elements"][0]
    assert [3] == [e["id"] for e in (await api.get(f"{DEAD_LETTERS}?cursor={page['next_cursor']}"))["elements"]]


async def test_a_retry_puts_all_events_of_the_run_back_in_their_order_and_heals_it(api: Scene) -> None:
    [(before,)] = await api.rows("SELECT row_version FROM workflow_instance WHERE instance_id = 2")
    partition, run_uid = await api.run_key(instance_id=2)

    answer = await api.call("POST", f"{DEAD_LETTERS}/2/actions/retry")

    assert 3 == answer["retried"]
    assert [(partition, run_uid, 0, "early"), (partition, run_uid, 0, "late"), (partition, run_uid, 2, "start")] == [
        (p, u, c, payload["kind"])
        for p, u, c, payload in await api.rows(
            'SELECT partition, run_uid, "class", payload FROM engine_inbox ORDER BY "class", id'
        )
    ]
    assert [] == (await api.get(DEAD_LETTERS))["elements"]
    # An engine that has the quarantined run in memory notices by the version that it is not so any more.
    assert [(None, before + 1)] == await api.rows(
        "SELECT quarantine_reason, row_version FROM workflow_instance WHERE instance_id = 2"
    )
    assert [Address(HintKind.ENGINE, str(partition))] == api.transport.sent


async def test_events_of_a_workflow_s_aggregate_can_be_put_back_too(api: Scene) -> None:
    await api.execute(
        'INSERT INTO engine_dead_letter (partition, "class", inbox_id, workflow_id, payload, reason, create_time_ms)'
        " VALUES (5, 3, 1, 'wf', '{\"kind\": \"RunEnded\"}', 'boom', 1)"
    )

    assert 1 == (await api.call("POST", f"{DEAD_LETTERS}/4/actions/retry"))["retried"]

    assert [(5, 3, "wf")] == await api.rows('SELECT partition, "class", workflow_id FROM engine_inbox')
    assert 3 == len((await api.get(DEAD_LETTERS))["elements"])


async def test_a_dead_letter_that_is_not_there_is_not_found(api: Scene) -> None:
    await api.call("POST", f"{DEAD_LETTERS}/1/actions/retry")

    await api.call("POST", f"{DEAD_LETTERS}/1/actions/retry", 404)
