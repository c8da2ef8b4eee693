"""Start runs over HTTP: request ids, parameters, initiators, run strategies (specification 1.2, 3 and 4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.model.ids import instance_key, partition_of
from maestro_py.ports.transport import Address, HintKind
from tests.api_scene import NOW_MS, WORKFLOWS, Scene, api_scene, request_id

SIGNAL = {"type": "signal", "signal_name": "ready"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def test_a_start_stores_the_run_and_its_event_and_then_hints_the_owner_of_its_partition(api: Scene) -> None:
    await api.push(name="A workflow", tags=["etl"])
    partition = partition_of(instance_key("wf", 1), 64)
    id_ = request_id()

    answer = await api.start(request_id=id_)

    assert {
        "workflow_id": "wf",
        "workflow_version_id": 1,
        "workflow_instance_id": 1,
        "workflow_run_id": 1,
        "workflow_uuid": id_,
        "status": "CREATED",
    } == {name: value for name, value in answer.items() if name != "timeline_event"}
    [(run_uid, status, admitted, correlation_id)] = await api.rows(
        "SELECT run_uid, status, execution_id IS NOT NULL, correlation_id FROM workflow_instance WHERE partition = %s",
        partition,
    )
    assert ("CREATED", True, "wf:1:1") == (status, admitted, correlation_id)
    assert [(partition, 2, run_uid, {"kind": "RunStarted"})] == await api.rows(
        'SELECT partition, "class", run_uid, payload FROM engine_inbox'
    )
    [(event,)] = await api.rows("SELECT event FROM event_log WHERE partition = %s", partition)
    assert ("WORKFLOW_INSTANCE_STATUS_CHANGE_EVENT", "CREATED", "A workflow") == (
        event["type"],
        event["new_status"],
        event["workflow_name"],
    )
    assert [Address(HintKind.ENGINE, str(partition))] == api.transport.sent


async def test_hints_leave_only_after_the_commit_that_justifies_them(api: Scene) -> None:
    await api.push()
    seen: list[asyncio.Task[list[tuple[Any, ...]]]] = []
    # Asked in the moment of the hint, on a connection of its own: only what is committed is seen.
    api.transport.on_send = lambda _: seen.append(
        asyncio.get_running_loop().create_task(api.rows("SELECT count(*) FROM engine_inbox"))
    )

    await api.start()

    assert [[(1,)]] == [await task for task in seen]


async def test_a_repeated_request_id_starts_nothing_and_is_told_so_without_ids(api: Scene) -> None:
    await api.push()
    id_ = request_id()
    await api.start(request_id=id_)

    again = await api.start(request_id=id_.upper())

    assert ("DUPLICATED", 0, 0, id_) == (
        again["status"],
        again["workflow_instance_id"],
        again["workflow_run_id"],
        again["workflow_uuid"],
    )
    assert [(1,)] == await api.rows("SELECT count(*) FROM workflow_instance")


async def test_a_request_id_is_remembered_for_thirty_days_and_belongs_to_one_workflow(api: Scene) -> None:
    await api.push(run_strategy="PARALLEL")
    await api.push("other")
    id_ = request_id()
    day = 24 * 3600 * 1000

    assert "CREATED" == (await api.start(request_id=id_))["status"]
    assert "CREATED" == (await api.start("other", request_id=id_))["status"]
    api.clock.now += 30 * day - 1
    assert "DUPLICATED" == (await api.start(request_id=id_))["status"]
    api.clock.now += 2
    assert "CREATED" == (await api.start(request_id=id_))["status"]
    assert "DUPLICATED" == (await api.start(request_id=id_))["status"]


async def test_run_params_are_evaluated_at_the_start_and_stored_with_the_run(api: Scene) -> None:
    await api.push(params={"n": 3, "text": "n is ${n}"})

    await api.start(run_params={"n": {"type": "LONG", "value": 7}})

    [(params, config)] = await api.rows("SELECT params, run_config FROM workflow_instance")
    assert (7, "n is 7") == (params["n"]["evaluated_result"], params["text"]["evaluated_result"])
    assert "LAUNCH" == params["n"]["source"]
    assert {"n": {"type": "LONG", "value": 7}} == config["run_params"]


@pytest.mark.parametrize(
    ("run_params", "path"),
    [
        ({"n": {"type": "LONG", "value": "many"}}, "run_params.n"),
        ({"workflow_id": {"type": "STRING", "value": "x"}}, "run_params.workflow_id"),
        ({"text": {"type": "STRING", "value": "${nowhere}"}}, "text"),
    ],
)
async def test_parameters_that_cannot_be_evaluated_start_nothing(
    api: Scene, run_params: dict[str, Any], path: str
) -> None:
    await api.push(params={"n": 3, "text": "x"})

    refusal = await api.start(expected=400, run_params=run_params)

    assert "BAD_REQUEST" == refusal["status"]
    assert path in refusal["errors"][0]
    assert [] == await api.rows("SELECT 1 FROM workflow_instance UNION ALL SELECT 1 FROM start_request")


async def test_who_asks_for_it_gets_a_failed_run_stored_for_parameters_that_cannot_be_evaluated(api: Scene) -> None:
    await api.push(params={"text": "x"}, run_strategy="FIRST_ONLY")
    bad = {"text": {"type": "STRING", "value": "${nowhere}"}}

    answer = await api.start(run_params=bad, persist_failed_run=True)

    assert ("CREATED", 1) == (answer["status"], answer["workflow_instance_id"])
    assert "nowhere" in answer["timeline_event"]["message"]
    run = await api.get(f"{WORKFLOWS}/wf/instances/1/runs/latest?enriched=false")
    assert ("FAILED", "BAD_REQUEST") == (run["status"], run["timeline"][0]["status"])
    assert "nowhere" in run["timeline"][0]["message"]
    assert [] == await api.rows("SELECT 1 FROM engine_inbox")
    # It holds no slot, and its request id is taken.
    assert "CREATED" == (await api.start())["status"]


async def test_the_caller_is_the_initiator_whatever_the_body_says(api: Scene) -> None:
    await api.push()

    await api.start(initiator={"type": "manual", "user": "somebody else"})

    assert [({"type": "MANUAL", "user": "ana"},)] == await api.rows("SELECT initiator FROM workflow_instance")


async def test_a_trigger_of_the_active_version_may_be_posted_and_no_other(api: Scene) -> None:
    await api.push(trigger=SIGNAL)
    [(uuid,)] = await api.rows("SELECT trigger_uuid FROM signal_trigger")
    by_signal = {"type": "SIGNAL", "trigger_uuid": uuid, "signal_id_map": {"ready": 4}}

    assert "CREATED" == (await api.start(initiator=by_signal))["status"]
    [(stored,)] = await api.rows("SELECT initiator FROM workflow_instance")
    assert by_signal == stored
    for wrong in ({"type": "SIGNAL", "trigger_uuid": "other"}, {"type": "TIME", "trigger_uuid": uuid}):
        assert "CONFLICT" == (await api.start(expected=409, initiator=wrong))["status"]
    await api.start(expected=409, initiator=by_signal, version="1")


async def test_a_disabled_trigger_starts_nothing(api: Scene) -> None:
    body = {
        "properties": {"owner": "olga", "signal_trigger_disabled": True},
        "workflow": {
            "id": "wf",
            "signal_triggers": [{"definitions": {"ready": {}}}],
            "steps": [{"step": {"id": "a", "type": "NoOp"}}],
        },
    }
    await api.call("POST", WORKFLOWS, json=body)
    [(uuid,)] = await api.rows("SELECT trigger_uuid FROM signal_trigger")

    refusal = await api.start(expected=422, initiator={"type": "SIGNAL", "trigger_uuid": uuid})

    assert "UNPROCESSABLE_ENTITY" == refusal["status"]
    assert "CREATED" == (await api.start())["status"]


async def test_a_workflow_or_version_that_does_not_exist_is_not_found(api: Scene) -> None:
    await api.start("nowhere", expected=404)
    await api.push(is_active=False)
    assert "no active version" in (await api.start(expected=404))["message"]
    await api.start(version="2", expected=404)
    assert "CREATED" == (await api.start(version="latest"))["status"]


async def test_sequential_runs_queue_behind_the_one_that_runs(api: Scene) -> None:
    await api.push()

    statuses = [(await api.start())["status"] for _ in range(3)]

    assert ["CREATED"] * 3 == statuses
    assert [(1, True), (2, False), (3, False)] == await api.rows(
        "SELECT instance_id, execution_id IS NOT NULL FROM workflow_instance ORDER BY instance_id"
    )
    assert [(1,)] == await api.rows("SELECT count(*) FROM engine_inbox")


async def test_first_only_stores_every_other_run_as_stopped(api: Scene) -> None:
    await api.push(run_strategy="FIRST_ONLY")

    answers = [await api.start() for _ in range(3)]

    assert [("CREATED", 1), ("STOPPED", 2), ("STOPPED", 3)] == [
        (answer["status"], answer["workflow_instance_id"]) for answer in answers
    ]
    stopped = await api.get(f"{WORKFLOWS}/wf/instances/2/runs/1?enriched=false")
    assert ("STOPPED", NOW_MS) == (stopped["status"], stopped["end_time"])
    assert "stopped by the run strategy FIRST_ONLY: wf:1:1 is not finished" == stopped["timeline"][0]["message"]
    await api.end_run()
    assert "CREATED" == (await api.start())["status"]


async def test_starts_that_come_together_are_committed_together_and_a_wrong_one_fails_alone(api: Scene) -> None:
    await api.push(run_strategy={"rule": "PARALLEL", "workflow_concurrency": 1000}, params={"n": 1})
    wrong = {"n": {"type": "LONG", "value": "many"}}
    path = f"{WORKFLOWS}/wf/versions/active/actions/start"

    async def start(number: int) -> int:
        body: dict[str, Any] = {"initiator": {"type": "MANUAL"}, "run_params": wrong if number % 10 == 0 else {}}
        answer = await api.client.post(path, json=body, headers={"user": "ana"})
        return answer.status_code

    codes = await asyncio.gather(*(start(number) for number in range(100)))

    assert [400 if number % 10 == 0 else 200 for number in range(100)] == codes
    assert [(90, 90)] == await api.rows("SELECT count(*), max(instance_id) FROM workflow_instance")
    text = (await api.client.get("/metrics")).text
    transactions = float(next(line for line in text.splitlines() if line.startswith("maestro_api_start_tr")).split()[1])
    assert transactions < 45
