"""Read runs and lists of them, stop and kill them (specification 1.3, 1.4, 5 and 6)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.model.events import StopRequested, decode_event
from maestro_py.model.statuses import InstanceStatus
from maestro_py.params import DERIVED_PARAMS
from maestro_py.ports.transport import Address, HintKind
from maestro_py.storage import stops
from maestro_py.testing.waiting import wait_until_async
from tests.api_scene import NOW_MS, WORKFLOWS, Scene, api_scene, moment, request_id

TWO_STEPS = [{"id": "a", "type": "NoOp"}, {"id": "b", "type": "shell", "command": "true", "dependencies": ["a"]}]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url, verdict_seconds=0.3) as scene:
        yield scene


async def test_a_run_is_answered_with_the_fields_of_the_specification(api: Scene) -> None:
    await api.push(steps=TWO_STEPS, params={"n": 3}, owner="olga")
    id_ = request_id()
    await api.start(request_id=id_, run_params={"n": 4}, runtime_tags=["nightly"])

    run = await api.get(f"{WORKFLOWS}/wf/instances/1/runs/1")

    assert {
        "workflow_id": "wf",
        "workflow_instance_id": 1,
        "workflow_run_id": 1,
        "workflow_uuid": id_,
        "correlation_id": "wf:1:1",
        "workflow_version_id": 1,
        "status": "CREATED",
        "request_time": NOW_MS,
        "create_time": NOW_MS,
        "modify_time": NOW_MS,
        "run_params": {"n": 4},
        "run_properties": {"create_time": NOW_MS, "owner": "olga"},
        "initiator": {"type": "MANUAL", "user": "ana"},
        "runtime_dag": {
            "a": {"predecessors": [], "successors": {"b": "true"}},
            "b": {"predecessors": ["a"], "successors": {}},
        },
        "runtime_overview": {"total_step_count": 2, "step_overview": {}},
        "timeout_in_millis": 10 * 24 * 3600 * 1000,
        "timeline": [{"type": "STATUS", "timestamp": NOW_MS, "status": "CREATED"}],
    } == {name: run[name] for name in run if name in EXPECTED}
    assert ("START_FRESH_NEW_RUN", 4) == (run["run_config"]["policy"], run["params"]["n"]["evaluated_result"])
    assert {"RUN_TS", "owner", "workflow_id", *DERIVED_PARAMS} < run["params"].keys(), "the service's own (4.5)"
    shown = run["params"]["RUN_DATE"]
    assert ("STRING", "${TARGET_RUN_DATE}", "MUTABLE_ON_START", "SYSTEM_DEFAULT") == (
        *(shown["type"], shown["value"], shown["mode"], shown["source"]),
    )
    assert run["params"]["TARGET_RUN_DATE"]["evaluated_result"] == shown["evaluated_result"]
    assert ("CONSTANT", "RESERVED") == (run["params"]["owner"]["mode"], run["params"]["owner"]["internal_mode"])
    assert "nightly" == run["run_config"]["runtime_tags"][0]["name"]
    assert "wf" == run["runtime_workflow"]["id"]
    assert run["execution_id"]
    assert not run.keys() & {"start_time", "end_time", "quarantine"}


EXPECTED = {
    *("workflow_id", "workflow_instance_id", "workflow_run_id", "workflow_uuid", "correlation_id"),
    *("workflow_version_id", "status", "request_time", "create_time", "modify_time", "run_params", "run_properties"),
    *("initiator", "runtime_dag", "runtime_overview", "timeout_in_millis", "timeline"),
}


async def test_the_overview_counts_steps_by_their_public_status(api: Scene) -> None:
    await api.push(steps=TWO_STEPS)
    await api.start()
    await api.attempt("a", status="SUCCEEDED", times={"CREATED": NOW_MS, "SUCCEEDED": NOW_MS + 1}, step_type="NoOp")
    worker = await api.worker(["default"], ["shell"])
    await api.attempt(
        "b",
        status="WAITING_FOR_PERMITS",
        times={"CREATED": NOW_MS + 1, "WAITING_FOR_PERMITS": NOW_MS + 2},
        dispatch="CLAIMED",
        queue="default",
        task={},
        worker=worker,
        claim_id=worker,
        token=1,
        claimed_at=moment(NOW_MS + 5),
    )

    run = await api.get(f"{WORKFLOWS}/wf/instances/1/runs/latest")

    assert {
        "total_step_count": 2,
        "step_overview": {
            "SUCCEEDED": {"cnt": 1, "steps": [[1, NOW_MS, NOW_MS + 1]]},
            "RUNNING": {"cnt": 1, "steps": [[2, NOW_MS + 5, None]]},
        },
    } == run["runtime_overview"]
    assert {
        "a": {"workflow_run_id": 1, "status": "SUCCEEDED", "start_time": NOW_MS, "end_time": NOW_MS + 1},
        "b": {"workflow_run_id": 1, "status": "RUNNING", "start_time": NOW_MS + 5},
    } == run["aggregated_info"]["step_aggregated_views"]


async def test_steps_not_created_are_in_the_aggregate_only(api: Scene) -> None:
    await api.push(steps=TWO_STEPS)
    await api.start()

    run = await api.get(f"{WORKFLOWS}/wf/instances/1")

    views = run["aggregated_info"]["step_aggregated_views"]
    assert {"a": "NOT_CREATED", "b": "NOT_CREATED"} == {step: view["status"] for step, view in views.items()}
    assert "CREATED" == run["aggregated_info"]["workflow_instance_status"]


async def test_the_timeline_has_the_statuses_only_when_it_is_enriched(api: Scene) -> None:
    await api.push()
    await api.start()
    await api.end_run()

    enriched = await api.get(f"{WORKFLOWS}/wf/instances/1/runs/1")
    assert [("CREATED", NOW_MS), ("IN_PROGRESS", NOW_MS + 10), ("SUCCEEDED", NOW_MS + 20)] == [
        (event["status"], event["timestamp"]) for event in enriched["timeline"]
    ]
    assert [] == (await api.get(f"{WORKFLOWS}/wf/instances/1/runs/1?enriched=false"))["timeline"]


async def test_a_quarantined_run_says_so(api: Scene) -> None:
    await api.push()
    await api.start()
    await api.execute("UPDATE workflow_instance SET quarantine_reason = 'InvalidTransition: no such row'")

    run = await api.get(f"{WORKFLOWS}/wf/instances/1/runs/1?enriched=false")

    assert "InvalidTransition: no such row" == run["quarantine"]
    [event] = run["timeline"]
    assert ("LOG", "ERROR") == (event["type"], event["level"])
    assert "InvalidTransition: no such row" in event["message"]


@pytest.mark.parametrize("path", ["wf/instances/2/runs/1", "wf/instances/1/runs/2", "other/instances/1/runs/latest"])
async def test_a_run_that_does_not_exist_is_not_found(api: Scene, path: str) -> None:
    await api.push()
    await api.start()

    assert "NOT_FOUND" == (await api.get(f"{WORKFLOWS}/{path}", 404))["status"]


@pytest.mark.parametrize("path", ["0/runs/1", "one/runs/1", "1/runs/first", "1/runs/0"])
async def test_a_run_that_is_named_wrongly_is_a_bad_request(api: Scene, path: str) -> None:
    await api.get(f"{WORKFLOWS}/wf/instances/{path}", 400)


async def test_instances_are_listed_by_keyset_newest_first(api: Scene) -> None:
    await api.push(run_strategy="PARALLEL")
    for _ in range(5):
        await api.start()

    def ids(page: dict[str, Any]) -> list[int]:
        return [element["workflow_instance_id"] for element in page["elements"]]

    path = f"{WORKFLOWS}/wf/instances"
    first = await api.get(f"{path}?first=2")
    assert [5, 4] == ids(first)
    assert (5, True, False) == (
        first["total_count"],
        first["page_info"]["has_next_page"],
        first["page_info"]["has_previous_page"],
    )
    assert [3, 2] == ids(await api.get(f"{path}?first=2&cursor={first['page_info']['end_cursor']}"))
    assert [4, 3] == ids(await api.get(f"{path}?last=2&cursor=2"))
    assert [1] == [e["workflow_run_id"] for e in (await api.get(f"{path}/3/runs?first=10"))["elements"]]
    assert 0 == (await api.get(f"{path}?first=2&cursor=1"))["page_info"]["start_index"]


async def test_parameters_that_are_large_are_shown_with_their_run_and_left_out_of_lists(api: Scene) -> None:
    """A page may hold 200 runs, whose parameters may be 64 MB each."""
    await api.push(params={"xs": [1]})
    chance = random.Random(0)
    large = [chance.randrange(10**15) for _ in range(20_000)]
    await api.start(run_params={"xs": large})

    run = await api.get(f"{WORKFLOWS}/wf/instances/1")
    assert large == run["params"]["xs"]["evaluated_result"]
    [listed] = (await api.get(f"{WORKFLOWS}/wf/instances?first=1"))["elements"]
    assert ("CREATED", 1) == (listed["status"], listed["workflow_instance_id"])
    assert not listed.keys() & {"params", "run_params"}


async def test_an_instance_with_several_runs_is_listed_once_by_its_latest(api: Scene) -> None:
    await api.push()
    await api.start()
    await api.end_run()
    await api.execute(
        'INSERT INTO workflow_instance SELECT (jsonb_populate_record(i, \'{"run_id": 2, "status": "FAILED"}\''
        " || jsonb_build_object('run_uid', gen_random_uuid()))).* FROM workflow_instance i"
    )

    page = await api.get(f"{WORKFLOWS}/wf/instances?first=10")
    assert [(1, 2, "FAILED")] == [
        (e["workflow_instance_id"], e["workflow_run_id"], e["status"]) for e in page["elements"]
    ]
    assert [2, 1] == [
        e["workflow_run_id"] for e in (await api.get(f"{WORKFLOWS}/wf/instances/1/runs?first=10"))["elements"]
    ]
    assert 2 == (await api.get(f"{WORKFLOWS}/wf/instances/1"))["workflow_run_id"]


async def test_a_list_of_a_workflow_without_instances_is_empty_and_of_none_is_not_found(api: Scene) -> None:
    await api.push()

    assert [] == (await api.get(f"{WORKFLOWS}/wf/instances?first=10"))["elements"]
    await api.get(f"{WORKFLOWS}/other/instances?first=10", 404)
    for path in ("instances/1/runs?first=10", "instances/1/runs/latest"):
        known, unknown = [await api.get(f"{WORKFLOWS}/{name}/{path}", 404) for name in ("wf", "other")]
        assert "workflow 'wf' has no instance 1" == known["message"]
        assert "workflow 'other' does not exist" == unknown["message"]


# --- stop and kill -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "target"), [("stop", InstanceStatus.STOPPED), ("kill", InstanceStatus.FAILED)])
async def test_the_engine_is_told_to_end_a_run_that_was_admitted(
    api: Scene, action: str, target: InstanceStatus
) -> None:
    await api.push()
    await api.start()
    partition, run_uid = await api.run_key()
    api.transport.sent.clear()

    answer = await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/runs/1/actions/{action}")

    assert (False, "CREATED", 1) == (
        answer["completed"],
        answer["workflow_instance_status"],
        answer["workflow_run_id"],
    )
    [(told, to, payload)] = await api.rows(
        'SELECT partition, run_uid, payload::text FROM engine_inbox WHERE "class" = 1'
    )
    assert (partition, run_uid) == (told, to)
    assert StopRequested(target, by="ana", reason=f"{action} requested") == decode_event(payload)
    assert [Address(HintKind.ENGINE, str(partition))] == api.transport.sent


@pytest.mark.parametrize(
    ("ended", "said"), [("STOPPED", "is done"), ("SUCCEEDED", "came too late: the run has ended SUCCEEDED")]
)
async def test_the_answer_waits_for_the_end_of_the_run_and_tells_which_it_was(
    api: Scene, ended: str, said: str
) -> None:
    """Whichever comes first, the stop or the natural end: the answer is what the row of the run says in the end."""
    await api.push()
    await api.start()
    ending: list[asyncio.Task[None]] = []
    # The engine ends the run after the hint, as it does when it obeys or when a report was first.
    api.transport.on_send = lambda _: ending.append(asyncio.create_task(api.end_run(status=ended)))

    answer = await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/actions/stop")

    assert (True, ended) == (answer["completed"], answer["workflow_instance_status"])
    assert answer["info"].endswith(said)
    await asyncio.gather(*ending)


async def test_many_stops_that_wait_at_once_look_at_the_rows_together(api: Scene) -> None:
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 12})
    for _ in range(12):
        await api.start()
    asked = [asyncio.create_task(api.call("PUT", f"{WORKFLOWS}/wf/instances/{i}/actions/kill")) for i in range(1, 13)]
    await wait_until_async(lambda: api.rows("""SELECT 1 FROM engine_inbox WHERE "class" = 1 OFFSET 11"""))

    await api.execute("UPDATE workflow_instance SET status = 'FAILED', end_time_ms = 1 WHERE instance_id <= 11")

    answers = [await task for task in asked]
    assert [True] * 11 + [False] == [answer["completed"] for answer in answers]
    assert ["FAILED"] * 11 + ["CREATED"] == [answer["workflow_instance_status"] for answer in answers]


async def test_a_queued_run_ends_at_once_and_the_engine_never_hears_of_it(api: Scene) -> None:
    await api.push()
    await api.start()
    await api.start()

    answer = await api.call("PUT", f"{WORKFLOWS}/wf/instances/2/actions/stop")

    assert (True, "STOPPED") == (answer["completed"], answer["workflow_instance_status"])
    run = await api.get(f"{WORKFLOWS}/wf/instances/2?enriched=false")
    assert ("STOPPED", NOW_MS) == (run["status"], run["end_time"])
    assert "ana" in run["timeline"][0]["message"]
    assert [] == await api.rows('SELECT 1 FROM engine_inbox WHERE "class" = 1')
    assert [("STOPPED",)] == await api.rows(
        "SELECT event->>'new_status' FROM event_log WHERE event->>'old_status' IS NOT NULL"
    )


async def test_a_run_that_ended_as_asked_is_stopped_again_without_effect_and_otherwise_refused(api: Scene) -> None:
    await api.push()
    await api.start()
    await api.end_run(status="STOPPED")

    assert (await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/actions/stop"))["completed"]
    refusal = await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/actions/kill", 400)
    assert "STOPPED" in refusal["message"]


async def test_all_runs_of_a_workflow_are_stopped_by_one_call(api: Scene) -> None:
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 2})
    for _ in range(5):
        await api.start()
    await api.end_run(instance_id=1)

    event = await api.call("PUT", f"{WORKFLOWS}/wf/actions/stop", 202)

    assert "Terminated [3] queued instances and terminating [1] running instances" == event["message"]
    assert [(3,)] == await api.rows("SELECT count(*) FROM workflow_instance WHERE status = 'STOPPED'")


async def test_a_stop_of_a_workflow_ends_the_queued_runs_before_it_touches_those_that_run(
    api: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise some would begin because others ended, only to be stopped."""
    monkeypatch.setattr(stops, "CHUNK", 2)
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 3})
    for _ in range(8):
        await api.start()

    await api.call("PUT", f"{WORKFLOWS}/wf/actions/kill", 202)

    ended = "SELECT instance_id FROM workflow_instance WHERE status = 'FAILED' ORDER BY xmin::text::bigint, 1"
    assert [7, 8, 5, 6, 4] == [id_ for (id_,) in await api.rows(ended)]
    [(last_end, first_told)] = await api.rows(
        """
        SELECT (SELECT max(xmin::text::bigint) FROM workflow_instance WHERE status = 'FAILED'),
               (SELECT min(xmin::text::bigint) FROM engine_inbox WHERE "class" = 1)
        """
    )
    assert last_end < first_told
    assert [(3,)] == await api.rows("""SELECT count(*) FROM engine_inbox WHERE "class" = 1""")


async def test_actions_that_do_not_exist_are_refused_by_name(api: Scene) -> None:
    await api.push()
    await api.start()

    refusal = await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/actions/unblock", 404)
    assert "'unblock'" in refusal["message"]
    await api.call("PUT", f"{WORKFLOWS}/wf/instances/1/runs/2/actions/stop", 400)
    await api.call("PUT", f"{WORKFLOWS}/other/actions/stop", 404)
