"""The signal service starts each run that a signal triggers once, in order, whoever else is at work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.ids import instance_key, partition_of
from maestro_py.model.statuses import RunStrategyRule
from maestro_py.ports.transport import Address, HintKind
from maestro_py.testing.waiting import wait_until
from tests.signal_scene import NOW_MS, Scene, a_scene, a_service, a_trigger, eventually

#: Longer than any test takes: whatever happens then, no sweep has caused it.
NEVER_SWEEP_MS = 600_000


@pytest_asyncio.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with a_scene(database_url, size=16) as scene:
        yield scene


async def settled(scene: Scene, within_seconds: float = 20) -> None:
    await eventually(scene.is_settled, within_seconds)


async def test_one_signal_starts_one_run_that_says_what_started_it(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    async with a_service(scene):
        await scene.announce("ready", "r-1", region="eu")
        await settled(scene)

    [(instance_id, version, initiator, request_id, requested)] = await scene.rows(
        "SELECT instance_id, workflow_version, initiator, workflow_uuid, request_time_ms FROM workflow_instance"
    )
    trigger_uuid = await scene.one("SELECT trigger_uuid FROM signal_trigger")
    assert (1, 1, NOW_MS) == (instance_id, version, requested)
    assert {
        "type": "SIGNAL",
        "trigger_uuid": trigger_uuid,
        "signal_id_map": {"ready": 1},
        "params": {"ready": {"region": "eu"}},
    } == initiator
    assert request_id == await scene.one("SELECT request_id FROM start_request WHERE workflow_id = 'wf'")


async def test_a_thousand_signals_announced_at_once_to_two_services_start_a_thousand_runs(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    async with a_service(scene), a_service(scene):
        await asyncio.gather(*(scene.announce("ready", str(i)) for i in range(1000)))
        await settled(scene)

    assert list(range(1, 1001)) == await scene.started_by("wf")
    assert 1000 == await scene.one("SELECT count(*) FROM engine_inbox")


async def test_a_repeated_announcement_starts_nothing_and_one_under_a_new_id_starts_another_run(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    async with a_service(scene):
        for request_id in ("r-1", "r-1", "r-2"):
            await scene.announce("ready", request_id)
        await settled(scene)

    assert [1, 2] == await scene.started_by("wf")


async def test_a_new_subscriber_hears_nothing_of_what_was_announced_before(scene: Scene) -> None:
    await scene.workflow("old", a_trigger("ready"))
    await scene.announce_many("ready", ["1", "2"])
    await scene.workflow("new", a_trigger("ready"))
    async with a_service(scene):
        await scene.announce("ready", "3")
        await settled(scene)

    assert [1, 2, 3] == await scene.started_by("old")
    assert [3] == await scene.started_by("new")


async def test_subscribing_while_signals_are_announced_misses_none_after_the_subscription(scene: Scene) -> None:
    async with a_service(scene):
        announcing = asyncio.gather(*(scene.announce("ready", str(i)) for i in range(200)))
        await scene.workflow("wf", a_trigger("ready"))
        await announcing
        await settled(scene)

    started = await scene.started_by("wf")
    assert list(range(201 - len(started), 201)) == started


async def test_only_signals_whose_parameters_match_start_a_run(scene: Scene) -> None:
    eu = {"value": "eu", "operator": "="}
    await scene.workflow("eu", a_trigger("ready", region=eu))
    await scene.workflow("eu-late", a_trigger("ready", region=eu, day={"value": 10, "operator": ">="}))
    await scene.workflow("all", a_trigger("ready"))
    async with a_service(scene):
        await scene.announce("ready", region="eu", day=9)
        await scene.announce("ready", region="us", day=11)
        await scene.announce("ready", region="eu", day=10)
        await scene.announce("ready", region="eu", day="10")
        await settled(scene)

    assert [1, 3, 4] == await scene.started_by("eu")
    assert [3] == await scene.started_by("eu-late")
    assert [1, 2, 3, 4] == await scene.started_by("all")
    assert {"eu": 5, "eu-late": 5, "all": 5} == await scene.cursors("ready")


async def test_two_triggers_of_one_workflow_start_a_run_each(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"), a_trigger("ready", n={"value": 0, "operator": ">"}))
    async with a_service(scene):
        await scene.announce("ready", n=1)
        await settled(scene)

    assert [1, 1] == await scene.started_by("wf")


async def test_a_signal_that_nobody_waits_for_is_settled_at_once(scene: Scene) -> None:
    async with a_service(scene):
        await scene.announce_many("nobody waits", ["1", "2"])
        await settled(scene)

    assert 2 == await scene.one("SELECT count(*) FROM signal_instance")


async def test_ten_thousand_subscribers_of_one_name_are_started_in_pieces(scene: Scene) -> None:
    await scene.workflow("template", a_trigger("ready"))
    async with scene.database.transaction() as conn:
        await conn.execute(
            "INSERT INTO workflow (workflow_id, internal_id, active_version, latest_version, properties,"
            " create_time_ms, modify_time_ms) SELECT 'wf-' || i, gen_random_uuid(), 1, 1, '{}', 1, 1"
            " FROM generate_series(1, 9999) AS i"
        )
        await conn.execute(
            "INSERT INTO workflow_version (definition_uid, workflow_id, workflow_version, definition, metadata)"
            " SELECT gen_random_uuid(), 'wf-' || i, 1, v.definition, '{}'"
            " FROM generate_series(1, 9999) AS i, workflow_version v"
        )
        await conn.execute(
            "INSERT INTO signal_trigger (workflow_id, trigger_uuid, name, trigger, next_seq)"
            " SELECT 'wf-' || i, t.trigger_uuid, t.name, t.trigger, t.next_seq"
            " FROM generate_series(1, 9999) AS i, signal_trigger t"
        )
    async with a_service(scene) as one, a_service(scene) as two:
        await scene.announce("ready", "1")
        await settled(scene, within_seconds=60)

    assert 10_000 == await scene.one("SELECT count(DISTINCT workflow_id) FROM workflow_instance")
    assert 10_000 == await scene.one("SELECT count(*) FROM workflow_instance")
    assert 10_000 == one.process.runs_started + two.process.runs_started
    assert one.process.visits + two.process.visits > 10


async def test_the_run_strategy_holds_for_starts_by_signals(scene: Scene) -> None:
    await scene.workflow("seq", a_trigger("ready"), strategy=RunStrategyRule.SEQUENTIAL, concurrency=1)
    await scene.workflow("first", a_trigger("ready"), strategy=RunStrategyRule.FIRST_ONLY, concurrency=1)
    async with a_service(scene):
        await scene.announce_many("ready", ["1", "2", "3"])
        await settled(scene)

    query = "SELECT status, execution_id IS NOT NULL FROM workflow_instance WHERE workflow_id = %s ORDER BY instance_id"
    assert [("CREATED", True), ("CREATED", False), ("CREATED", False)] == await scene.rows(query, "seq")
    assert [("CREATED", True), ("STOPPED", False), ("STOPPED", False)] == await scene.rows(query, "first")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE workflow SET active_version = NULL WHERE workflow_id = 'wf'",
        """UPDATE workflow SET properties = '{"signal_trigger_disabled": true}' WHERE workflow_id = 'wf'""",
        "DELETE FROM workflow WHERE workflow_id = 'wf'",
    ],
    ids=["deactivated", "signal triggers disabled", "deleted"],
)
async def test_a_workflow_that_signals_cannot_start_any_more_is_unsubscribed(scene: Scene, change: str) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    await scene.workflow("other", a_trigger("ready"))
    async with scene.database.connection() as conn:
        await conn.execute(change.encode())
    async with a_service(scene):
        await scene.announce("ready", "1")
        await settled(scene)

    assert {"other": 2} == await scene.cursors("ready")
    assert [] == await scene.started_by("wf")
    assert [1] == await scene.started_by("other")


async def test_a_run_whose_parameters_cannot_be_evaluated_is_stored_as_failed_with_the_reason(scene: Scene) -> None:
    params = {"p": ParamDefinition(type=ParamType.STRING, value="${nosuch}")}
    await scene.workflow("wf", a_trigger("ready"), params=params)
    async with a_service(scene):
        await scene.announce("ready", "1")
        await settled(scene)

    [(status, timeline)] = await scene.rows("SELECT status, timeline FROM workflow_instance")
    assert "FAILED" == status
    assert "nosuch" in json.dumps(timeline)


async def test_a_trigger_that_cannot_be_matched_stops_no_other(scene: Scene) -> None:
    for workflow_id in ("a", "b", "broken", "c"):
        await scene.workflow(workflow_id, a_trigger("ready"))
    async with scene.database.connection() as conn:
        await conn.execute(
            "UPDATE signal_trigger SET trigger = %s WHERE workflow_id = 'broken'",
            (json.dumps(a_trigger("ready", x={"value": 1, "operator": "~"})),),
        )
    async with a_service(scene) as service:
        await scene.announce("ready", "1")
        await eventually(lambda: started_all(scene, "a", "b", "c"))
        assert {"a": 2, "b": 2, "broken": 1, "c": 2} == await scene.cursors("ready")
        await eventually(lambda: service.process.visits_failed > 0)

        async with scene.database.connection() as conn:
            await conn.execute(
                "UPDATE signal_trigger SET trigger = %s WHERE workflow_id = 'broken'",
                (json.dumps(a_trigger("ready")),),
            )
        await settled(scene)

    assert [1] == await scene.started_by("broken")


async def started_all(scene: Scene, *workflow_ids: str) -> bool:
    return all([await scene.started_by(workflow_id) for workflow_id in workflow_ids])


async def test_a_workflow_whose_row_somebody_holds_delays_nobody_else_and_is_started_afterwards(scene: Scene) -> None:
    for workflow_id in ("held", "free"):
        await scene.workflow(workflow_id, a_trigger("ready"))
    async with a_service(scene):
        async with scene.database.transaction() as conn:
            await conn.execute("SELECT 1 FROM workflow WHERE workflow_id = 'held' FOR UPDATE")
            await scene.announce("ready", "1")
            await eventually(lambda: scene.started_by("free"), 2)
            await scene.announce("other", "1")
            await eventually(lambda: is_done_with(scene, "other"), 2)
            assert [] == await scene.started_by("held")
        await settled(scene)

    assert [1] == await scene.started_by("held")


async def is_done_with(scene: Scene, name: str) -> bool:
    return not await scene.one("SELECT count(*) FROM signal_pending WHERE name = %s", name)


async def test_a_hint_wakes_the_service_and_the_engine_partitions_of_its_runs_are_hinted(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    async with a_service(scene, sweep_interval_ms=NEVER_SWEEP_MS) as service:
        await scene.announce("ready", "1")
        service.transport.send([Address(HintKind.SIGNALS, "")])
        await settled(scene)
        partition = partition_of(instance_key("wf", 1), 64)
        wait_until(lambda: Address(HintKind.ENGINE, str(partition)) in service.transport.sent, 2)


async def test_a_hint_that_comes_while_the_service_works_is_not_forgotten(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    async with a_service(scene, sweep_interval_ms=NEVER_SWEEP_MS) as service:
        for i in range(50):
            await scene.announce("ready", str(i))
            service.transport.send([Address(HintKind.SIGNALS, "")])
        await settled(scene)

    assert list(range(1, 51)) == await scene.started_by("wf")


async def test_a_lost_hint_costs_a_sweep(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    async with a_service(scene, sweep_interval_ms=300):
        await scene.announce("ready", "1")
        await settled(scene, within_seconds=2)

    assert [1] == await scene.started_by("wf")


async def test_what_was_announced_while_no_service_ran_is_started_when_one_does(scene: Scene) -> None:
    await scene.workflow("wf", a_trigger("ready"))
    await scene.announce_many("ready", ["1", "2", "3"])
    async with a_service(scene, sweep_interval_ms=NEVER_SWEEP_MS):
        await settled(scene)

    assert [1, 2, 3] == await scene.started_by("wf")
