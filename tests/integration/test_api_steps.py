"""Read steps, attempts, logs and iterations (specification 1.5 and 5.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.model.events import AttemptOverdue, Event, TimerFired, encode_event
from maestro_py.model.given_names import STEP_PARAMS
from maestro_py.model.ids import inline_workflow_id, new_uid
from maestro_py.storage import step_reads
from maestro_py.storage.connections import Database
from tests.api_scene import NOW_MS, WORKFLOWS, Scene, api_scene, moment

STEPS = f"{WORKFLOWS}/wf/instances/1/runs/1/steps"
QUEUED: dict[str, Any] = {"dispatch": "QUEUED", "queue": "gpu", "task": {}, "backend_keys": ["shell", "shell:step=b"]}
WAITING: dict[str, Any] = {
    "status": "WAITING_FOR_PERMITS",
    "times": {"CREATED": NOW_MS, "WAITING_FOR_PERMITS": NOW_MS + 2},
}
FAILED: dict[str, Any] = {
    "status": "USER_FAILED",
    "times": {"CREATED": NOW_MS, "USER_FAILED": NOW_MS + 9},
    "dispatch": "REPORTED",
    "queue": "gpu",
    "task": {},
}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        steps = [
            {"id": "a", "type": "NoOp"},
            {"id": "b", "type": "shell", "command": "true", "queue": "gpu", "dependencies": ["a"], "retries": 3},
            {"id": "c", "type": "NoOp", "dependencies": ["b"]},
        ]
        await scene.push(steps=steps, owner="olga")
        await scene.start()
        yield scene


async def step(api: Scene, step_id: str = "b", query: str = "") -> Any:
    """Return the latest attempt of a step."""
    return await api.get(f"{STEPS}/{step_id}/attempts/latest{query}")


async def test_an_attempt_is_answered_with_the_fields_of_the_specification(api: Scene) -> None:
    worker = await api.worker(["gpu"], ["shell"])
    params = {"shell": {"type": "MAP", "evaluated_result": {"command": "true"}, "evaluated_time": NOW_MS}}
    await api.attempt(
        "b",
        status="SUCCEEDED",
        times={"CREATED": NOW_MS, "WAITING_FOR_PERMITS": NOW_MS + 2, "SUCCEEDED": NOW_MS + 9},
        step_seq=2,
        params=params,
        outputs={"rows": 12},
        timeout_ms=5000,
        error_retries=1,
        **{**QUEUED, "dispatch": "REPORTED"},
        worker=worker,
        token=2,
        claimed_at=moment(NOW_MS + 4),
        reported_at=moment(NOW_MS + 8),
    )

    attempt = await step(api)

    assert {
        "workflow_id": "wf",
        "workflow_instance_id": 1,
        "workflow_run_id": 1,
        "step_id": "b",
        "step_attempt_id": 1,
        "correlation_id": "wf:1:1",
        "step_instance_id": 2,
        "workflow_version_id": 1,
        "owner": "olga",
        "timeout_in_millis": 5000,
        "outputs": {"rows": 12},
    } == {name: attempt[name] for name in attempt if name in FLAT}
    assert {
        "status": "SUCCEEDED",
        "create_time": NOW_MS,
        "initialize_time": NOW_MS,
        "wait_signal_time": NOW_MS,
        "evaluate_param_time": NOW_MS,
        "wait_permit_time": NOW_MS + 2,
        "start_time": NOW_MS + 4,
        "execute_time": NOW_MS + 4,
        "finish_time": NOW_MS + 8,
        "end_time": NOW_MS + 9,
        "modify_time": NOW_MS + 9,
    } == attempt["runtime_state"]
    assert "shell" == attempt["definition"]["step"]["type"]
    assert ["a"] == attempt["transition"]["predecessors"]
    assert {
        "c": {"type": "BOOLEAN", "expression": "true", "evaluated_result": True, "evaluated_time": NOW_MS + 9}
    } == attempt["transition"]["successors"]
    retry = attempt["step_retry"]
    assert (1, 3, 0, 10) == (
        retry["error_retries"],
        retry["error_retry_limit"],
        retry["platform_retries"],
        retry["platform_retry_limit"],
    )
    assert ("OUTPUT_PARAMETER", 12, "LONG") == (
        attempt["params"]["rows"]["source"],
        attempt["params"]["rows"]["evaluated_result"],
        attempt["params"]["rows"]["type"],
    )
    assert {
        "type": "LONG",
        "value": 1,
        "evaluated_result": 1,
        "evaluated_time": NOW_MS,
        "mode": "CONSTANT",
        "internal_mode": "RESERVED",
        "source": "SYSTEM_DEFAULT",
    } == attempt["params"]["step_attempt_id"]
    assert {
        "workflow_instance_id": 1,
        "step_instance_uuid": attempt["step_uuid"],
        "step_attempt_id": 1,
        "step_id": "b",
        "maestro_step_satisfied": True,
    } == {name: attempt["params"][name]["evaluated_result"] for name in STEP_PARAMS}
    assert "MUTABLE" == attempt["params"]["shell"]["mode"]
    assert {"state": "REPORTED", "queue": "gpu", "worker": str(worker), "worker_name": "box:42", "token": 2} == attempt[
        "dispatch"
    ]


async def test_outputs_are_shown_as_the_parameters_that_they_became(api: Scene) -> None:
    """Cast to the parameter's type (specification 4.6); what was reported is beside them as it came."""
    params = {
        "n": {
            "type": "LONG",
            "expression": "1 + 1",
            "evaluated_result": 2,
            "evaluated_time": NOW_MS,
            "source": "DEFINITION",
            "meta": {"hint": "rows"},
        }
    }
    done: dict[str, Any] = {
        "times": {"CREATED": NOW_MS, "SUCCEEDED": NOW_MS + 9},
        **QUEUED,
        "dispatch": "REPORTED",
        "reported_at": moment(NOW_MS + 8),
        "params": params,
        "outputs": {"n": "12"},
    }
    await api.attempt("b", status="SUCCEEDED", **done)

    shown = await step(api)

    assert {"n": "12"} == shown["outputs"]
    assert {
        "type": "LONG",
        "value": 12,
        "evaluated_result": 12,
        "evaluated_time": NOW_MS + 8,
        "source": "OUTPUT_PARAMETER",
        "mode": "MUTABLE",
        "hint": "rows",
    } == shown["params"]["n"]


@pytest.mark.parametrize(
    ("status", "outputs"),
    [("INTERNALLY_FAILED", {"n": "many"}), ("FATALLY_FAILED", {"n": 3}), ("USER_FAILED", {"n": 3})],
)
async def test_outputs_that_became_no_parameters_are_shown_only_as_reported(
    api: Scene, status: str, outputs: dict[str, Any]
) -> None:
    params = {"n": {"type": "LONG", "value": 2, "evaluated_result": 2, "evaluated_time": NOW_MS}}
    ended: dict[str, Any] = {"times": {"CREATED": NOW_MS, status: NOW_MS + 9}, **QUEUED, "dispatch": "REPORTED"}
    await api.attempt("b", status=status, params=params, outputs=outputs, **ended)

    shown = await step(api)

    assert outputs == shown["outputs"]
    assert 2 == shown["params"]["n"]["evaluated_result"]


FLAT = {
    *("workflow_id", "workflow_instance_id", "workflow_run_id", "step_id", "step_attempt_id", "correlation_id"),
    *("step_instance_id", "workflow_version_id", "owner", "timeout_in_millis", "outputs"),
}


async def test_an_attempt_that_no_live_worker_can_run_says_so(api: Scene) -> None:
    await api.worker(["gpu"], ["spark"])
    await api.worker(["default"], ["shell"])
    await api.worker(["gpu"], ["shell"], is_live=False)
    await api.attempt("b", **WAITING, **QUEUED)

    attempt = await step(api, query="?enriched=false")

    assert "WAITING_FOR_PERMITS" == attempt["runtime_state"]["status"]
    assert ["no live worker serves queue 'gpu' / type 'shell'"] == [e["message"] for e in attempt["timeline"]]


async def set_timer(api: Scene, event: Event, at_ms: int) -> None:
    """Store a timer of the run, as the engine does."""
    partition, run_uid = await api.run_key()
    await api.execute(
        "INSERT INTO engine_timer (partition, run_uid, fire_at, payload) VALUES (%s, %s, %s, %s)",
        partition,
        run_uid,
        moment(at_ms),
        encode_event(event).decode(),
    )


async def test_a_step_that_waits_for_its_retry_says_when_it_comes_and_which_of_how_many(api: Scene) -> None:
    await api.attempt("b", **FAILED, error_retries=1, attempt=2, message="exit status 1")
    await set_timer(api, AttemptOverdue("b", 2), NOW_MS + 1)
    await set_timer(api, TimerFired("c", 2), NOW_MS + 2)
    await set_timer(api, TimerFired("b", 2), NOW_MS + 60_000)

    attempt = await step(api, query="?enriched=false")
    [listed] = await api.get(STEPS)

    assert {"step_attempt_id": 3, "time": NOW_MS + 60_000, "retry": 2, "retry_limit": 3} == attempt["next_attempt"]
    told = "tried again at 2027-01-15T08:01:00+00:00, as attempt 3 (retry 2 of 3)"
    assert [
        {"type": "LOG", "timestamp": NOW_MS + 9, "level": "ERROR", "message": "exit status 1"},
        {"type": "LOG", "timestamp": NOW_MS + 9, "level": "INFO", "message": told},
    ] == attempt["timeline"]
    assert attempt["next_attempt"] == listed["next_attempt"]
    assert told == listed["timeline"][-1]["message"]


async def test_an_attempt_that_was_followed_by_another_tells_of_no_further_one(api: Scene) -> None:
    """Its timer has fired; that of the newer one is not its own."""
    await api.attempt("b", **FAILED)
    await api.attempt("b", **FAILED, attempt=2)
    await set_timer(api, TimerFired("b", 2), NOW_MS + 60_000)

    first = await api.get(f"{STEPS}/b/attempts/1")

    assert "next_attempt" not in first
    assert not [event for event in first["timeline"] if "tried again" in event.get("message", "")]


@pytest.mark.parametrize("dispatch", ["READY", "QUEUED"])
@pytest.mark.parametrize("key", ["shell", "shell:step=b"])
async def test_an_attempt_that_a_live_worker_can_run_waits_for_a_slot(api: Scene, dispatch: str, key: str) -> None:
    await api.worker(["default", "gpu"], [key])
    await api.attempt("b", **WAITING, **{**QUEUED, "dispatch": dispatch})

    attempt = await step(api, query="?enriched=false")

    assert "WAITING_FOR_PERMITS" == attempt["runtime_state"]["status"]
    assert not attempt["runtime_state"].keys() & {"start_time", "end_time"}
    [event] = attempt["timeline"]
    assert ("waiting for a worker slot", "LOG", NOW_MS + 2) == (event["message"], event["type"], event["timestamp"])


@pytest.mark.parametrize(
    ("dispatch", "status"), [("CLAIMED", "RUNNING"), ("REPORTED", "FINISHING"), ("LOST", "PLATFORM_FAILED")]
)
async def test_the_public_status_of_a_dispatched_attempt_follows_its_dispatch(
    api: Scene, dispatch: str, status: str
) -> None:
    """The engine wrote only that it waits: the rest is known from where the work is."""
    worker = await api.worker(["gpu"], ["shell"])
    claim: dict[str, Any] = {"worker": worker, "claim_id": worker, "token": 1, "claimed_at": moment(NOW_MS + 7)}
    await api.attempt("b", **WAITING, **{**QUEUED, "dispatch": dispatch}, **claim)

    state = (await step(api))["runtime_state"]

    assert (status, NOW_MS + 7) == (state["status"], state["start_time"])


async def test_steps_are_listed_by_their_latest_attempts_in_the_order_of_creation(api: Scene) -> None:
    await api.attempt("b", step_seq=1, status="USER_FAILED", times={"CREATED": NOW_MS, "USER_FAILED": NOW_MS + 1})
    await api.attempt("b", step_seq=1, attempt=2)
    await api.attempt("a", step_seq=2)

    listed = await api.get(STEPS)
    assert [("b", 2), ("a", 1)] == [(s["step_id"], s["step_attempt_id"]) for s in listed]
    assert listed == await api.get(f"{WORKFLOWS}/wf/instances/1/steps")
    assert "USER_FAILED" == (await api.get(f"{STEPS}/b/attempts/1"))["runtime_state"]["status"]
    assert 2 == (await api.get(f"{WORKFLOWS}/wf/instances/1/steps/b"))["step_attempt_id"]
    await api.get(f"{STEPS}/b/attempts/3", 404)
    await api.get(f"{STEPS}/c/attempts/latest", 404)
    await api.get(f"{STEPS}/b/attempts/0", 400)


async def test_steps_are_paged_when_a_page_is_asked_for(api: Scene) -> None:
    for number, step_id in enumerate(("a", "b", "c"), 1):
        await api.attempt(step_id, step_seq=number, step_type="NoOp")

    page = await api.get(f"{STEPS}?first=2")
    assert ["c", "b"] == [element["step_id"] for element in page["elements"]]
    assert (3, "2", True) == (page["total_count"], page["page_info"]["end_cursor"], page["page_info"]["has_next_page"])
    rest = await api.get(f"{WORKFLOWS}/wf/instances/1/steps?first=2&cursor=2")
    assert ["a"] == [element["step_id"] for element in rest["elements"]]
    await api.get(f"{STEPS}?first=2&last=2", 400)


async def test_why_an_attempt_failed_is_in_its_timeline(api: Scene) -> None:
    await api.attempt(
        "b", status="FATALLY_FAILED", times={"CREATED": NOW_MS, "FATALLY_FAILED": NOW_MS + 5}, message="exit status 3"
    )

    timeline = (await step(api))["timeline"]

    assert [("CREATED", NOW_MS), ("FATALLY_FAILED", NOW_MS + 5)] == [
        (event["status"], event["timestamp"]) for event in timeline if event["type"] == "STATUS"
    ]
    assert ("exit status 3", "ERROR") == (timeline[-1]["message"], timeline[-1]["level"])


async def test_a_log_is_read_in_pieces_while_the_step_runs(api: Scene) -> None:
    await api.attempt("b")
    partition, run_uid = await api.run_key()

    async def write(token: int, *texts: str) -> None:
        for seq, text in enumerate(texts, 1):
            await api.execute(
                "INSERT INTO step_log VALUES (%s, %s, 'b', 1, %s, %s, %s, %s)",
                *(partition, run_uid, token, seq, NOW_MS, text),
            )

    path = f"{STEPS}/b/attempts/latest/logs"
    assert {"chunks": [], "next": 0} == await api.get(path)
    await write(1, "one", "two", "three")
    first = await api.get(f"{path}?limit=2")
    assert [("one", NOW_MS), ("two", NOW_MS)] == [(chunk["text"], chunk["create_time"]) for chunk in first["chunks"]]
    assert first["next"] == first["chunks"][-1]["seq"]
    # Another worker took the attempt over: its text goes on where the first one's ended.
    await write(2, "four")
    rest = await api.get(f"{path}?after={first['next']}")
    assert ["three", "four"] == [chunk["text"] for chunk in rest["chunks"]]
    assert {"chunks": [], "next": rest["next"]} == await api.get(f"{path}?after={rest['next']}")
    await api.get(f"{path}?after=-1", 400)
    await api.get(f"{STEPS}/c/attempts/latest/logs", 404)


# --- foreach -----------------------------------------------------------------------------------------------


@pytest.fixture
async def loop(database_url: str) -> AsyncIterator[Scene]:
    """An instance whose foreach has launched five of seven iterations."""
    async with api_scene(database_url) as scene:
        inner = [{"id": "in", "type": "NoOp"}]
        await scene.push(steps=[{"id": "each", "items": [1, 2, 3, 4, 5, 6, 7], "steps": inner}])
        await scene.start()
        runtime = {"total": 7, "launched": 5, "running": 3, "counts": {"SUCCEEDED": 1, "FAILED": 1}, "held": True}
        await scene.attempt("each", status="RUNNING", times={"CREATED": NOW_MS, "RUNNING": NOW_MS}, runtime=runtime)
        partition, run_uid = await scene.run_key()
        [(internal_id,)] = await scene.rows("SELECT internal_id::text FROM workflow")
        statuses = ["SUCCEEDED", "FAILED", "IN_PROGRESS", "IN_PROGRESS", "CREATED"]
        for number, status in enumerate(statuses, 1):
            await scene.execute(
                "INSERT INTO workflow_instance (partition, run_uid, workflow_id, instance_id, run_id, status,"
                " execution_id, workflow_uuid, workflow_version, definition_uid, scope, correlation_id, depth,"
                " root_workflow_id, parent_partition, parent_run_uid, parent_step_id, parent_attempt, loop_values,"
                " initiator, request_time_ms, create_time_ms, end_time_ms, modify_time_ms)"
                " SELECT 3, gen_random_uuid(), %s, %s, 1, %s, gen_random_uuid(), '', 1, definition_uid, 'each',"
                " correlation_id, 1, 'wf', %s, %s, 'each', 1, json_build_object('item', %s::int), '{}', 1, %s, %s, 1"
                " FROM workflow_instance WHERE workflow_id = 'wf'",
                *(inline_workflow_id(internal_id, 1, "wf", "each"), number, status),
                *(partition, run_uid, number, NOW_MS, NOW_MS + 1 if number < 3 else None),
            )
        yield scene


async def test_a_foreach_tells_how_far_it_is_in_constant_size(loop: Scene) -> None:
    foreach = (await step(loop, "each"))["artifacts"]["maestro_foreach"]

    assert ("FOREACH", 7, 5) == (foreach["type"], foreach["total_loop_count"], foreach["next_loop_index"])
    assert {"SUCCEEDED": 1, "FAILED": 1, "IN_PROGRESS": 3} == foreach["foreach_overview"]["stats"]
    listed = await loop.get(f"{WORKFLOWS}/{foreach['foreach_workflow_id']}/instances?first=10")
    assert 5 == listed["total_count"]


async def test_iterations_are_listed_by_keyset_and_by_status(loop: Scene) -> None:
    def numbers(page: dict[str, Any]) -> list[int]:
        return [element["workflow_instance_id"] for element in page["elements"]]

    path = f"{STEPS}/each/iterations"
    newest = await loop.get(f"{path}?first=2")
    assert [5, 4] == numbers(newest)
    assert [3, 2] == numbers(await loop.get(f"{path}?first=2&cursor=4"))
    assert [2, 1] == numbers(await loop.get(f"{path}?last=2"))
    failed = await loop.get(f"{path}?first=10&status=failed")
    assert [(2, {"item": 2})] == [(e["workflow_instance_id"], e["loop_values"]) for e in failed["elements"]]
    assert [4, 3] == numbers(await loop.get(f"{path}?first=10&status=IN_PROGRESS"))
    await loop.get(f"{path}?first=10&status=SLOW", 400)
    await loop.get(f"{STEPS}/nothing/iterations?first=10", 404)


async def test_an_iteration_is_a_run_of_its_own_with_the_body_as_its_dag(loop: Scene) -> None:
    foreach = (await step(loop, "each"))["artifacts"]["maestro_foreach"]

    run = await loop.get(f"{WORKFLOWS}/{foreach['foreach_workflow_id']}/instances/2/runs/1")

    assert {"in": {"predecessors": [], "successors": {}}} == run["runtime_dag"]
    assert ({"item": 2}, "FAILED") == (run["loop_values"], run["status"])
    assert {"in"} == run["aggregated_info"]["step_aggregated_views"].keys()


async def test_timers_are_found_by_their_run_and_not_among_all_of_the_partition(database_url: str) -> None:
    async with Database(database_url, "maestro:test") as database, database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {step_reads._WAKES}".encode(), (1, new_uid()))
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "ix_engine_timer_run" in plan
    assert "Seq Scan" not in plan
