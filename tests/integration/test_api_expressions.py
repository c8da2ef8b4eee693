"""Expressions over the API: tried by themselves, in pushes and in starts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from maestro_py.evaluation.pool import EvaluationPool
from tests.api_scene import WORKFLOWS, Scene, api_scene

EVALUATE = "/api/v3/expressions/evaluate"
HEAVY = "long t = 0; for (int i = 0; i <= 50000; i += 1) { t += i; } t"


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    pool = EvaluationPool(os.environ, size=1)
    async with api_scene(database_url, evaluator=pool) as made:
        yield made
    await pool.close()


async def tried(scene: Scene, expression: str, expected: int = 200, **fields: Any) -> Any:
    return await scene.call("POST", EVALUATE, expected, json={"expression": expression, **fields})


@pytest.mark.parametrize(
    ("expression", "result", "kind"),
    [
        ("n * 2", 14, "LONG"),
        ("'a' + n", "a7", "STRING"),
        ("n / 2.0", 3.5, "DOUBLE"),
        ("n > 3", True, "BOOLEAN"),
        ("Util.intsBetween(0, 3, 1)", [0, 1, 2], "LONG_ARRAY"),
        ("params.get('n')", 7, "LONG"),
        ("params.get('missing')", None, "NULL"),
    ],
)
async def test_an_expression_is_tried_against_parameters(scene: Scene, expression: str, result: Any, kind: str) -> None:
    assert {"result": result, "type": kind} == await tried(scene, expression, params={"n": 7})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("n +", "^"),
        ("n + missing", "'missing' names no parameter (line 1, column 5)"),
        ("n.length()", "with n = 7"),
        ("throw 'enough'", "enough"),
        ("int i = 0; while (true) { i += 1; }", "more than"),
        ("Math.max(1)", "max"),
    ],
)
async def test_a_wrong_expression_is_told_with_its_place(scene: Scene, expression: str, message: str) -> None:
    answer = await tried(scene, expression, 400, params={"n": 7})

    assert message in answer["message"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limits": {"speed": 1}}, "limits.speed"),
        ({"limits": {"visit": 0}}, "limits.visit"),
        ({"limits": {"visit": 3}}, "more than 3 visits"),
        ({"nonsense": 1}, "nonsense"),
        ({"params": [1]}, "params"),
    ],
)
async def test_a_wrong_request_is_refused(scene: Scene, fields: dict[str, Any], message: str) -> None:
    assert message in (await tried(scene, "1 + 2 + 3", 400, **fields))["message"]


def computed(expression: str, kind: str = "LONG") -> dict[str, Any]:
    return {"type": kind, "expression": expression}


def definition(params: dict[str, Any]) -> dict[str, Any]:
    steps = [{"step": {"id": "a", "type": "NoOp"}}]
    return {"properties": {"owner": "ana"}, "workflow": {"id": "wf", "params": params, "steps": steps}}


async def push(scene: Scene, params: dict[str, Any], expected: int = 200) -> Any:
    return await scene.call("POST", WORKFLOWS, expected, json=definition(params))


async def started_params(scene: Scene, run_params: dict[str, Any] | None = None) -> dict[str, Any]:
    started = await scene.start(run_params=run_params or {})
    run = await scene.get(f"{WORKFLOWS}/wf/instances/{started['workflow_instance_id']}/runs/1")
    return {name: param["evaluated_result"] for name, param in run["params"].items()}


@pytest.mark.parametrize("expression", ["n + 1", HEAVY], ids=["quick", "heavy"])
async def test_a_start_evaluates_the_parameters_of_the_workflow(scene: Scene, expression: str) -> None:
    await push(scene, {"n": {"type": "LONG", "value": 3}, "p": computed(expression), "q": computed("p + n")})
    params = await started_params(scene, {"n": 10})

    assert {"n + 1": 21, HEAVY: 1250025010}[expression] == params["q"]


async def test_a_start_may_give_an_expression(scene: Scene) -> None:
    await push(scene, {"n": {"type": "LONG", "value": 3}})

    assert 35 == (await started_params(scene, {"n": computed("5 * 7")}))["n"]


async def test_a_start_with_a_wrong_expression_is_refused_and_stores_nothing(scene: Scene) -> None:
    await push(scene, {"n": {"type": "LONG", "value": 3}, "p": computed("10 / n")})
    answer = await scene.start(expected=400, run_params={"n": 0})

    assert "params.p:" in answer["message"]
    assert "10 / n" in answer["message"]
    assert "n = 0" in answer["message"]
    assert [] == await scene.rows("SELECT 1 FROM workflow_instance")


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"p": computed("1 +")}, "workflow.params.p.expression"),
        ({"p": computed("missing")}, "workflow.params.p.expression"),
        ({"p": computed("throw 'no'")}, "workflow.params.p"),
        ({"p": computed(HEAVY + "; throw 'no'")}, "workflow.params.p"),
        ({"p": computed("'x'")}, "workflow.params.p"),
    ],
)
async def test_a_push_tries_every_workflow_param(scene: Scene, params: dict[str, Any], path: str) -> None:
    answer = await push(scene, params, 400)

    assert any(error.startswith(f"{path}: ") for error in answer["errors"])
    assert [] == await scene.rows("SELECT 1 FROM workflow_version")


async def test_a_push_knows_that_it_is_only_a_trial(scene: Scene) -> None:
    kind = computed("if (params.getFromInstance('INITIATOR_TYPE') != 'VALIDATION') { throw 'real'; } 1")
    await push(scene, {"p": kind})

    assert "real" in (await scene.start(expected=400))["message"]
