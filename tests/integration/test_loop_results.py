"""Results of loops as PostgreSQL holds them, and a large loop collected by a real engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from maestro_py.params import Found, Loop, ResultsKey
from maestro_py.ports.engine_store import ResultsPage
from maestro_py.storage.engine_store import PostgresEngineStore
from tests.api_scene import Scene, api_scene
from tests.engine_scene import an_engine, start_many, wait_status

MANY = 20_000


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


async def iterations(scene: Scene, *attempts: list[dict[str, Any]]) -> None:
    """Have as many instances as there are arguments, each with these attempts of the step *work*."""
    await scene.push(run_strategy="PARALLEL")
    await start_many(scene, "wf", len(attempts))
    for instance_id, columns in enumerate(attempts, 1):
        for attempt, row in enumerate(columns, 1):
            await scene.attempt("work", instance_id=instance_id, **{"attempt": attempt, "status": "SUCCEEDED", **row})


async def page(scene: Scene, total: int, first: int = 1, most_bytes: int = 1_000, name: str = "x") -> ResultsPage:
    store = PostgresEngineStore(scene.database)
    loop = Loop("wf", total, {"work": {}})
    found = await store.results_page(loop, ResultsKey("loop", "work", name), first, total, most_bytes)
    return found._replace(found=sorted(found.found, key=lambda one: one.iteration))


def param(value: Any, kind: str = "LONG", name: str = "x") -> dict[str, Any]:
    return {"params": {name: {"type": kind, "evaluated_result": value, "evaluated_time": 1}}}


async def test_a_value_is_what_the_last_attempt_reported_else_its_parameter(scene: Scene) -> None:
    await iterations(
        scene,
        [param(1)],
        [{**param(1), "outputs": {"x": 2}}],
        [{"outputs": {"x": 9}, "status": "USER_FAILED"}, {"outputs": {"x": 3}}],
        [{**param(4), "outputs": {"x": 9}, "status": "COMPLETED_WITH_ERROR"}],
    )

    assert ResultsPage("1,2,3,4", 8, [Found("whole", 1, "SUCCEEDED")]) == await page(scene, 4)
    assert ResultsPage("3,4", 4, [Found("whole", 3, "SUCCEEDED")]) == await page(scene, 4, first=3)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2**63 - 1, "whole"),
        (-1, "whole"),
        (1.0, "decimal"),
        (1e300, "decimal"),
        (True, "boolean"),
        ('a,"\\ü\n\u0001', "string"),
        ("", "string"),
    ],
)
async def test_every_scalar_comes_back_as_it_was(scene: Scene, value: Any, kind: str) -> None:
    await iterations(scene, [{"outputs": {"x": value}}])
    found = await page(scene, 1)

    assert [Found(kind, 1, "SUCCEEDED")] == found.found
    assert [value] == json.loads(f"[{found.values}]")


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([], Found("absent", 2, None)),
        ([{"status": "UNSATISFIED"}], Found("absent", 2, "UNSATISFIED")),
        ([{"status": "FATALLY_FAILED", **param(1)}], Found("absent", 2, "FATALLY_FAILED")),
        ([{"outputs": {"y": 1}}], Found("absent", 2, "SUCCEEDED")),
        ([{"outputs": {"x": None}, **param(1)}], Found("null", 2, "SUCCEEDED")),
        ([{"outputs": {"x": {}}}], Found("object", 2, "SUCCEEDED")),
        ([param([1])], Found("array", 2, "SUCCEEDED")),
    ],
)
async def test_of_each_kind_of_value_the_first_iteration_is_told(
    scene: Scene, attempts: list[dict[str, Any]], expected: Found
) -> None:
    await iterations(scene, [param(1)], attempts, attempts, [param("a", "STRING")])
    found = await page(scene, 4)

    assert None is found.values
    assert [Found("whole", 1, "SUCCEEDED"), expected, Found("string", 4, "SUCCEEDED")] == found.found


async def test_an_iteration_that_was_never_launched_is_absent(scene: Scene) -> None:
    await iterations(scene, [param(1)])

    assert [Found("whole", 1, "SUCCEEDED"), Found("absent", 2, None)] == (await page(scene, 3)).found


async def test_a_name_that_postgresql_cannot_hold_is_an_error_and_no_step_waits_for_ever(
    scene: Scene, database_url: str
) -> None:
    body = [{"id": "work", "type": "NoOp", "params": {"x": 1}}]
    asked = "String s = '\\u0000'; params.getFromForeach('loop', 'work', 'x' + s)"
    read = {"r": {"type": "JSON", "expression": asked}}
    steps = [
        {"id": "loop", "items": [1], "steps": body},
        {"id": "read", "type": "NoOp", "dependencies": ["loop"], "params": read},
    ]
    await scene.push(steps=steps)
    async with an_engine(database_url):
        await scene.start()
        await wait_status(scene, "wf", "FAILED")
    [(message,)] = await scene.rows("SELECT message FROM step_attempt WHERE step_id = 'read'")

    assert "results of 'loop' cannot be read by this name" in message


async def test_values_larger_than_allowed_stay_where_they_are(scene: Scene) -> None:
    await iterations(scene, [{"outputs": {"x": "a" * 50}}], [{"outputs": {"x": "b" * 50}}])

    assert (None, 106) == (await page(scene, 2, most_bytes=105))[:2]
    assert 106 == (await page(scene, 2, most_bytes=106)).bytes
    assert None is not (await page(scene, 2, most_bytes=106)).values


async def test_the_example_of_the_documentation_comes_to_what_it_says(scene: Scene, database_url: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text()
    definition = page.partition("```jsonc\n")[2].partition("```")[0]
    await scene.push(**json.loads(definition))
    async with an_engine(database_url):
        await scene.start("totals")
        await wait_status(scene, "totals", "SUCCEEDED")
    rows = await scene.rows("SELECT step_id, params FROM step_attempt WHERE step_id IN ('sum', 'last')")
    values = {(step, name): param["evaluated_result"] for step, params in rows for name, param in params.items()}

    assert {
        ("sum", "all"): [1, 4, 9],
        ("sum", "text"): "the squares are [1,4,9]",
        ("sum", "total"): 14,
        ("last", "n"): [1, 4, 9],
    } == values


async def test_a_large_loop_is_collected_and_judged_by(scene: Scene, database_url: str) -> None:
    """An expression, a reference, the loop's own edge and one of a later step: each reads all 20,000 results."""
    square = {"type": "LONG", "expression": "item * item"}
    total = {
        "type": "LONG",
        "expression": "long t = 0; long[] a = params.getFromForeach('loop', 'work', 'x');"
        " for (int i = 0; i < a.length; i += 1) { t += a[i]; } t",
    }
    await scene.push(
        steps=[
            {
                "id": "loop",
                "items": list(range(MANY)),
                "concurrency": 2_000,
                "steps": [{"id": "work", "type": "NoOp", "params": {"x": square}}],
            },
            {"id": "sum", "type": "NoOp", "dependencies": ["loop"], "params": {"t": total}},
            {"id": "text", "type": "NoOp", "dependencies": ["loop"], "params": {"all": "${loop.output.x}"}},
            {
                "id": "last",
                "type": "NoOp",
                "dependencies": ["loop"],
                "when": f"${{loop.work.output.x.{MANY - 1}}} == {(MANY - 1) ** 2}",
            },
            {"id": "never", "type": "NoOp", "dependencies": ["sum"], "when": "loop__x[1] == 2"},
        ]
    )
    async with an_engine(database_url):
        await scene.start()
        await wait_status(scene, "wf", "SUCCEEDED", within_seconds=120)
    rows = await scene.rows("SELECT step_id, status, params FROM step_attempt WHERE step_id <> 'work'")
    status = {step_id: status for step_id, status, _ in rows}
    params = {step_id: params for step_id, _, params in rows}

    assert "UNSATISFIED" == status.pop("never")
    assert dict.fromkeys(("loop", "sum", "text", "last"), "SUCCEEDED") == status
    assert sum(n * n for n in range(MANY)) == params["sum"]["t"]["evaluated_result"]
    assert [n * n for n in range(MANY)] == params["text"]["all"]["evaluated_result"]
