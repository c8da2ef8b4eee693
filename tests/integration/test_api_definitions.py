"""Push, validate, read, activate: workflows over HTTP (specification 1.1, 1.2 and 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.storage.signals import announce
from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import NOW_MS, WORKFLOWS, Scene, api_scene

SIGNAL = {"type": "signal", "signal_name": "ready"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


def native(**fields: Any) -> dict[str, Any]:
    """A push in native form."""
    return {
        "properties": {"owner": "olga"},
        "workflow": {"id": "wf", "steps": [{"step": {"id": "a", "type": "NoOp"}}]},
        **fields,
    }


async def test_a_pushed_version_is_answered_as_the_specification_shows_it(api: Scene) -> None:
    answer = await api.call("POST", WORKFLOWS, json=native(source="unit test", git_info={"branch": "main"}))

    definition = answer["workflow_definition"]
    assert {
        "workflow_id": "wf",
        "workflow_version_id": 1,
        "create_time": NOW_MS,
        "version_author": "ana",
        "source": "unit test",
        "git_info": {"branch": "main"},
    } == definition["metadata"]
    assert {"workflow_id": "wf", "owner": "olga", "author": "ana", "create_time": NOW_MS} == definition[
        "properties_snapshot"
    ]
    assert (True, True, True) == tuple(definition[flag] for flag in ("is_active", "is_latest", "is_default"))
    assert (NOW_MS, "ana") == (definition["activate_time"], definition["activated_by"])
    assert [{"step": {"id": "a", "type": "NoOp"}}] == definition["workflow"]["steps"]
    assert definition == await api.get(f"{WORKFLOWS}/wf/versions/1")


async def test_versions_are_numbered_from_one_and_an_inactive_push_leaves_the_active_version(api: Scene) -> None:
    for is_active in (True, False, True, False):
        await api.push(is_active=is_active)

    names = {name: await api.get(f"{WORKFLOWS}/wf/versions/{name}") for name in ("active", "latest", "DEFAULT", "2")}
    assert {"active": 3, "latest": 4, "DEFAULT": 3, "2": 2} == {
        name: version["metadata"]["workflow_version_id"] for name, version in names.items()
    }
    assert "activate_time" not in names["latest"]


async def test_a_workflow_without_an_active_version_answers_404_to_active_and_its_latest_to_default(api: Scene) -> None:
    await api.push(is_active=False)

    refusal = await api.get(f"{WORKFLOWS}/wf/versions/active", 404)
    assert "NOT_FOUND" == refusal["status"]
    assert 1 == (await api.get(f"{WORKFLOWS}/wf/versions/default"))["metadata"]["workflow_version_id"]


@pytest.mark.parametrize("version", ["0", "-1", "1.5", "newest", "99999999999999999999"])
async def test_a_version_that_is_neither_a_name_nor_a_number_is_a_bad_request(api: Scene, version: str) -> None:
    await api.push()

    assert "BAD_REQUEST" == (await api.get(f"{WORKFLOWS}/wf/versions/{version}", 400))["status"]


async def test_the_owner_s_definition_is_accepted_as_it_stands_from_nobody_in_particular(api: Scene) -> None:
    """Comments included, without the header that says who pushes."""
    answer = await api.client.post(WORKFLOWS, content=SEED.encode())

    assert 200 == answer.status_code, answer.text
    definition = answer.json()["workflow_definition"]
    assert "anonymous" == definition["metadata"]["version_author"]
    assert "anonymous" == definition["properties_snapshot"]["owner"]


async def test_a_native_form_needs_a_caller_and_its_first_version_an_owner(api: Scene) -> None:
    refused = await api.client.post(WORKFLOWS, json=native())
    assert (400, "BAD_REQUEST") == (refused.status_code, refused.json()["status"])
    assert "user name cannot be null" in refused.json()["message"]

    ownerless = await api.call("POST", WORKFLOWS, 400, json=native(properties={"description": "x"}))
    assert ["properties.owner: is required"] == ownerless["errors"]
    assert [] == await api.rows("SELECT 1 FROM workflow UNION ALL SELECT 1 FROM workflow_version")


async def test_properties_that_a_push_leaves_out_are_kept_but_the_run_strategy_is_reset(api: Scene) -> None:
    first = {"owner": "olga", "description": "kept", "run_strategy": 7, "alerting": {"emails": ["a@b"]}}
    await api.call("POST", WORKFLOWS, json=native(properties=first))

    kept = (await api.call("POST", WORKFLOWS, json=native(properties=None)))["workflow_definition"]
    assert {"rule": "PARALLEL", "workflow_concurrency": 7} == kept["properties_snapshot"]["run_strategy"]

    reset = (await api.call("POST", WORKFLOWS, json=native(properties={"owner": "otto"})))["workflow_definition"]
    snapshot = reset["properties_snapshot"]
    assert ("otto", "kept") == (snapshot["owner"], snapshot["description"])
    assert not snapshot.keys() & {"run_strategy", "alerting"}
    assert [("SEQUENTIAL", 1)] == await api.rows("SELECT run_strategy, workflow_concurrency FROM workflow")


async def test_an_owner_with_more_than_a_name_comes_back_as_an_object(api: Scene) -> None:
    pushed = await api.call("POST", WORKFLOWS, json=native(properties={"owner": {"name": "olga", "team": "data"}}))

    snapshot = pushed["workflow_definition"]["properties_snapshot"]
    assert {"name": "olga", "team": "data"} == snapshot["owner"]


async def test_the_present_properties_can_be_asked_for_alone(api: Scene) -> None:
    await api.push(owner="olga")

    assert "olga" == (await api.get(f"{WORKFLOWS}/wf/properties-snapshot/latest"))["owner"]
    await api.get(f"{WORKFLOWS}/wf/properties-snapshot/1", 400)


async def test_the_enriched_form_of_a_version_is_refused_by_name_and_not_left_out(api: Scene) -> None:
    await api.push()

    assert "enriched" in (await api.get(f"{WORKFLOWS}/wf/versions/1?enriched=true", 400))["message"]


async def test_the_history_tells_who_did_what_newest_first(api: Scene) -> None:
    await api.push()
    await api.push(is_active=False)
    await api.call("PUT", f"{WORKFLOWS}/wf/versions/2/actions/activate")
    await api.call("PUT", f"{WORKFLOWS}/wf/actions/deactivate")

    events = (await api.get(f"{WORKFLOWS}/wf/timeline"))["timeline_events"]
    assert [
        "deactivated the workflow",
        "activated version 2",
        "pushed version 2, not active",
        "pushed version 1",
    ] == [event["log"] for event in events]
    assert {"ana"} == {event["author"] for event in events}


async def test_every_change_is_published_in_the_transaction_that_makes_it(api: Scene) -> None:
    await api.call("POST", WORKFLOWS, json=native())
    await api.call("POST", WORKFLOWS, json=native(properties=None))
    await api.call("PUT", f"{WORKFLOWS}/wf/versions/1/actions/activate")
    await api.call("PUT", f"{WORKFLOWS}/wf/versions/1/actions/activate")
    await api.call("PUT", f"{WORKFLOWS}/wf/actions/deactivate")

    events = [event for (event,) in await api.rows("SELECT event FROM event_log ORDER BY id")]
    assert [
        "WORKFLOW_DEFINITION_CHANGE_EVENT",
        "WORKFLOW_VERSION_CHANGE_EVENT",
        "WORKFLOW_ACTIVATION_CHANGE_EVENT",
        "WORKFLOW_DEACTIVATION_CHANGE_EVENT",
    ] == [event["type"] for event in events]
    assert (1, 2) == (events[2]["current_active_version_id"], events[2]["previous_active_version_id"])


async def test_a_validated_definition_is_not_stored(api: Scene) -> None:
    event = await api.call("PUT", f"{WORKFLOWS}/actions/validate", json=native())

    assert ("ACTION", "the workflow definition is valid.") == (event["type"], event["message"])
    assert [] == await api.rows("SELECT 1 FROM workflow")
    await api.call("PUT", f"{WORKFLOWS}/actions/validate", 400, json={"workflow": {}})


async def test_pages_of_versions_go_from_the_newest_to_the_oldest_and_back(api: Scene) -> None:
    for _ in range(5):
        await api.push()

    def numbers(page: dict[str, Any]) -> list[int]:
        return [element["metadata"]["workflow_version_id"] for element in page["elements"]]

    path = f"{WORKFLOWS}/wf/versions/pagination"
    newest = await api.get(f"{path}?first=2")
    assert [5, 4] == numbers(newest)
    assert {
        "start_cursor": "5",
        "end_cursor": "4",
        "has_previous_page": False,
        "has_next_page": True,
        "start_index": 1,
    } == newest["page_info"]
    assert 5 == newest["total_count"]
    following = await api.get(f"{path}?first=2&cursor=4")
    assert [3, 2] == numbers(following)
    assert 3 == following["page_info"]["start_index"]
    assert [5, 4] == numbers(await api.get(f"{path}?last=2&cursor=3"))
    assert [2, 1] == numbers(await api.get(f"{path}?last=2"))
    assert {"has_previous_page": False, "has_next_page": False, "start_index": 0} == (
        await api.get(f"{path}?first=2&cursor=1")
    )["page_info"]


@pytest.mark.parametrize("query", ["", "?first=1&last=1", "?first=0", "?first=201", "?last=x", "?first=1&cursor=abc"])
async def test_a_page_that_is_asked_for_wrongly_is_a_bad_request(api: Scene, query: str) -> None:
    await api.push()

    assert "BAD_REQUEST" == (await api.get(f"{WORKFLOWS}/wf/versions/pagination{query}", 400))["status"]


async def test_workflows_are_listed_with_their_latest_runs(api: Scene) -> None:
    for workflow_id in ("b", "a", "c"):
        await api.push(workflow_id)
    await api.start("a")
    await api.end_run("a")
    await api.start("a")

    page = await api.get(f"{WORKFLOWS}?limit=2")
    assert ["a", "b"] == [element["workflow_id"] for element in page["elements"]]
    latest = page["elements"][0]["latest_run"]
    assert (2, "CREATED") == (latest["workflow_instance_id"], latest["status"])
    assert "latest_run" not in page["elements"][1]
    rest = await api.get(f"{WORKFLOWS}?limit=2&cursor={page['next_cursor']}")
    assert ["c"] == [element["workflow_id"] for element in rest["elements"]]
    assert "next_cursor" not in rest


async def test_an_overview_counts_what_is_unfinished_and_what_failed(api: Scene) -> None:
    await api.push(run_strategy="PARALLEL")
    for _ in range(3):
        await api.start()
    await api.end_run(instance_id=1, status="FAILED")

    overview = await api.get(f"{WORKFLOWS}/wf/overview")
    assert {"CREATED": 2} == overview["nonterminal_instances"]
    assert (1, 3, 1) == (
        overview["failed_instances"],
        overview["latest_instance_id"],
        overview["active_version_id"],
    )


async def test_an_active_version_s_triggers_are_subscribed_and_those_of_no_active_one_are_not(api: Scene) -> None:
    await api.push(trigger=SIGNAL, is_active=False)
    assert [] == await api.rows("SELECT 1 FROM signal_trigger")

    await api.call("PUT", f"{WORKFLOWS}/wf/versions/1/actions/activate")
    assert [("ready", 1)] == await api.rows("SELECT name, next_seq FROM signal_trigger")

    await api.call("PUT", f"{WORKFLOWS}/wf/actions/deactivate")
    assert [] == await api.rows("SELECT 1 FROM signal_trigger")


async def test_an_unchanged_trigger_keeps_its_cursor_a_new_one_sees_no_history(api: Scene) -> None:
    await api.push(trigger=SIGNAL)
    for number in range(3):
        for name in ("ready", "other"):
            await api.call("POST", "/api/v3/signals", json={"name": name, "params": {"n": number}})

    await api.push(triggers=[SIGNAL, {"type": "signal", "signal_name": "other"}])

    assert [("other", 4), ("ready", 1)] == await api.rows("SELECT name, next_seq FROM signal_trigger ORDER BY name")
    await api.push()
    assert [] == await api.rows("SELECT 1 FROM signal_trigger")


async def test_a_new_trigger_waits_for_an_announcement_that_is_under_way(api: Scene) -> None:
    """Its cursor stands before or after each signal, never beside one that it would miss (DESIGN section 3)."""
    async with api.database.transaction() as conn:
        await announce(conn, "ready", {}, "1", NOW_MS, {}, NOW_MS)
        pushing = asyncio.create_task(api.push(trigger=SIGNAL))
        await wait_until_async(lambda: api.rows("SELECT 1 FROM pg_locks WHERE NOT granted"))
        assert not pushing.done()
    await pushing

    assert [(2,)] == await api.rows("SELECT next_seq FROM signal_trigger")


async def test_first_only_is_refused_while_several_runs_are_unfinished(api: Scene) -> None:
    await api.push(run_strategy="PARALLEL")
    await api.start()
    await api.start()

    refusal = await api.push(expected=412, run_strategy="FIRST_ONLY")
    assert "PRECONDITION_FAILED" == refusal["status"]
    await api.end_run(instance_id=1)
    await api.push(run_strategy="FIRST_ONLY")


async def test_a_wider_run_strategy_lets_those_who_wait_begin(api: Scene) -> None:
    await api.push()
    for _ in range(4):
        await api.start()
    api.transport.sent.clear()

    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 3})

    admitted = "SELECT instance_id FROM workflow_instance WHERE execution_id IS NOT NULL ORDER BY instance_id"
    assert [(1,), (2,), (3,)] == await api.rows(admitted)
    assert api.transport.sent


async def test_step_types_that_any_worker_ever_registered_are_known(api: Scene) -> None:
    steps = [{"id": "a", "type": "warp"}, {"id": "b", "type": "NoOp"}, {"id": "c", "type": "weft"}]
    refusal = await api.push(expected=400, steps=steps)
    assert ["steps[0].type", "steps[2].type"] == [error.split(":")[0] for error in refusal["errors"]]

    await api.execute("INSERT INTO step_type (name) VALUES ('warp')")
    await api.worker(["default"], ["weft", "weft:image=x"])
    await api.push(steps=steps)


async def test_the_types_a_dead_worker_described_are_unknown_unless_it_registered_them(api: Scene) -> None:
    await api.worker(["default"], ["weft"], is_live=False)

    await api.push(expected=400, steps=[{"id": "a", "type": "weft"}])


SEED = """// comments are allowed
{
  "workflow_id": "ml_model_training_pipeline",
  "steps": [
    {"id": "data_prep", "type": "spark", /* on a cluster */ "image": "netflix/etl:v2.3", "dependencies": []},
    {"id": "feature_engineering", "type": "foreach", "items": "${data_prep.output.segments}",
     "steps": [{"id": "compute_features", "type": "spark"}], "dependencies": ["data_prep"]},
    {"id": "model_train", "type": "kubernetes", "image": "trainer:v1.1", "dependencies": ["feature_engineering"]}
  ],
  "trigger": {"type": "signal", "signal_name": "daily_data_ready"}
}
"""
