"""Find an iteration by its numbers, in loops that stand in one another (specification 9.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.model.ids import inline_workflow_id, new_uid
from maestro_py.storage import iteration_reads
from maestro_py.storage.connections import Database
from tests.api_scene import NOW_MS, WORKFLOWS, Scene, api_scene

FLAT = "/api/v3/views/flatten/workflows/wf/instances/1/runs/latest/steps"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    """An instance whose loop has launched iterations 1 to 3, the third of which has launched 12 of its own."""
    async with api_scene(database_url) as scene:
        inner = {"id": "inner", "items": [1] * 20, "steps": [{"id": "leaf", "type": "NoOp"}]}
        outer = {"id": "outer", "items": ["x"] * 9, "steps": [{"id": "first", "type": "NoOp"}, inner]}
        await scene.push(steps=[{"id": "a", "type": "NoOp"}, outer])
        await scene.start()
        await scene.attempt("a", status="SUCCEEDED", times={"CREATED": NOW_MS, "SUCCEEDED": NOW_MS})
        outer_id = await launch(scene, ("wf", 1), "outer", "outer", range(1, 4), '{"day": "mon"}')
        inner_id = await launch(scene, (outer_id, 3), "inner", "outer/inner", range(1, 13), '{"n": {"of": 5}}')
        await scene.attempt("leaf", inner_id, 12, status="RUNNING", times={"CREATED": NOW_MS}, attempt=2)
        yield scene


async def launch(scene: Scene, parent: tuple[str, int], step_id: str, scope: str, numbers: range, values: str) -> str:
    """Store iterations as the engine does, and return the id under which they run."""
    [(internal_id,)] = await scene.rows("SELECT internal_id::text FROM workflow")
    inline_id = inline_workflow_id(internal_id, parent[1], parent[0], step_id)
    for number in numbers:
        await scene.execute(
            "INSERT INTO workflow_instance (partition, run_uid, workflow_id, instance_id, run_id, status,"
            " execution_id, workflow_uuid, workflow_version, definition_uid, scope, correlation_id, depth,"
            " root_workflow_id, parent_partition, parent_run_uid, parent_step_id, parent_attempt, loop_values,"
            " initiator, request_time_ms, create_time_ms, modify_time_ms)"
            " SELECT 3, gen_random_uuid(), %s, %s, 1, 'IN_PROGRESS', gen_random_uuid(), '', 1, definition_uid, %s,"
            " correlation_id, 1, 'wf', partition, run_uid, %s, 1, %s, '{}', 1, 1, 1"
            " FROM workflow_instance WHERE workflow_id = %s AND instance_id = %s",
            *(inline_id, number, scope, step_id, values, *parent),
        )
    return inline_id


async def test_a_step_in_loops_that_stand_in_one_another_is_found_by_the_numbers_of_its_iterations(api: Scene) -> None:
    found = await api.get(f"{FLAT}/leaf/iterations/3-12")

    assert ("wf", 1, 1, "leaf", "3-12", "13-212", 2) == tuple(
        found[name]
        for name in (
            *("workflow_id", "workflow_instance_id", "workflow_run_id", "step_id"),
            *("iteration_id", "iteration_rank", "step_attempt_seq"),
        )
    )
    assert {"day": "mon", "n": '{"of":5}'} == found["loop_params"]
    assert "RUNNING" == found["step_runtime_state"]["status"]
    ref = found["leaf_step_instance_ref"]
    path = f"{WORKFLOWS}/{ref['workflow_id']}/instances/12/runs/1/steps/leaf/attempts/{ref['step_attempt_id']}"
    assert found["step_runtime_state"] == (await api.get(path))["runtime_state"]
    assert ("IN_PROGRESS", ref["workflow_id"]) == (found["iteration"]["status"], found["iteration"]["workflow_id"])


async def test_a_loop_with_one_number_more_is_that_iteration_of_it(api: Scene) -> None:
    found = await api.get(f"{FLAT}/inner/iterations/3-4")

    assert 4 == found["iteration"]["workflow_instance_id"]
    assert not found.keys() & {"leaf_step_instance_ref", "step_runtime_state"}


async def test_an_iteration_is_also_found_from_the_iteration_around_it(api: Scene) -> None:
    outer = await api.get(f"{FLAT}/outer/iterations/3")
    within = FLAT.replace("/wf/instances/1/", f"/{outer['iteration']['workflow_id']}/instances/3/")

    assert 12 == (await api.get(f"{within}/leaf/iterations/12"))["iteration"]["workflow_instance_id"]


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        (
            "leaf/iterations/3",
            400,
            "step 'leaf' is in the loop 'outer' and in it 'inner': iteration 3 should be like 3-12",
        ),
        ("a/iterations/3", 400, "step 'a' is in no loop, so it has no iteration 3"),
        ("leaf/iterations/3-x", 400, "iteration: must be numbers joined by -"),
        ("leaf/iterations/3-0", 400, "iteration: must be numbers joined by -"),
        ("leaf/iterations/4-1", 404, "wf:1:1 has no iteration 4 of the loop 'outer' yet"),
        ("leaf/iterations/3-13", 404, "wf:1:1 has no iteration 3-13 of the loop 'inner' yet"),
        ("first/iterations/2", 404, "has no step 'first' yet"),
        ("nobody/iterations/1", 404, "workflow 'wf' version 1 has no step 'nobody'"),
    ],
)
async def test_what_is_not_there_is_said(api: Scene, path: str, status: int, told: str) -> None:
    assert told in (await api.get(f"{FLAT}/{path}", status))["message"]


async def test_a_step_in_a_loop_is_not_said_to_be_yet_to_come(api: Scene) -> None:
    steps = f"{WORKFLOWS}/wf/instances/1/runs/1/steps"

    messages = [
        (await api.get(f"{steps}/{step_id}/attempts/latest{rest}", 404))["message"]
        for step_id, rest in (("first", ""), ("leaf", "/logs"), ("outer", ""), ("nobody", ""))
    ]

    once = "once in each iteration: say which one by --iteration"
    other = "or by /api/v3/views/flatten/…/iterations"
    assert [
        f"step 'first' of wf:1:1 runs in the loop 'outer', {once} 3, {other}/3",
        f"step 'leaf' of wf:1:1 runs in the loop 'outer' and in it 'inner', {once} 3-12, {other}/3-12",
        "wf:1:1 has no step 'outer' yet",
        "workflow 'wf' version 1 has no step 'nobody'",
    ] == messages


async def test_the_iterations_of_a_path_are_looked_up_by_key(database_url: str) -> None:
    parameters: Any = (["a", "b"], [1, 2])
    async with Database(database_url, f"maestro:api:{new_uid()}") as database, database.connection() as conn:
        cursor = await conn.execute(f"EXPLAIN {iteration_reads.PASSED}".encode(), parameters)
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "Seq Scan" not in plan, plan
    assert "uq_workflow_instance" in plan, plan
