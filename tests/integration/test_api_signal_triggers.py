"""Push signal triggers that compute, and see what became of the signals that matched them (specification 8.3)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api_scene import WORKFLOWS, Scene, api_scene

STEP = {"id": "a", "type": "NoOp"}
DAY = {"type": "STRING", "expression": "params.getFromSignal('db/t', 'day')"}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Scene]:
    async with api_scene(database_url) as scene:
        yield scene


def native(*triggers: dict[str, Any], **workflow: Any) -> dict[str, Any]:
    steps = [{"step": {"id": "a", "type": "NoOp"}}]
    return {
        "properties": {"owner": "ana"},
        "workflow": {"id": "wf", "steps": steps, "signal_triggers": list(triggers), **workflow},
    }


def a_trigger(**computed: Any) -> dict[str, Any]:
    return {"definitions": {"db/t": {}}, **computed}


async def refused(api: Scene, document: dict[str, Any]) -> str:
    """Return the one error of a push, of which nothing may be stored."""
    answer = await api.call("POST", WORKFLOWS, 400, json=document)
    assert "BAD_REQUEST" == answer["status"]
    assert [(0,)] == await api.rows("SELECT count(*) FROM workflow")
    assert [(0,)] == await api.rows("SELECT count(*) FROM signal_trigger")
    [error] = answer["errors"]
    return str(error)


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        pytest.param(
            {"condition": "1 <"},
            "condition: the expression ends too early (line 1, column 4)\n  1 <\n     ^",
            id="8.3-condition",
        ),
        pytest.param({"dedup_expr": "'a' + + 'b"}, "dedup_expr: ", id="8.3-dedup_expr"),
        pytest.param(
            {"params": {"p": {"type": "LONG", "expression": "1 +"}}},
            "params.p.expression: the expression ends too early (line 1, column 4)\n  1 +\n     ^",
            id="8.3-params",
        ),
        pytest.param(
            {"condition": "params.getSignal('db/t') > 1"},
            "condition: there is no function params.getSignal; there is containsKey",
            id="8.3-unknown-function",
        ),
        pytest.param(
            {"dedup_expr": "params.getFromSignal('day').lower()"},
            "dedup_expr: no value has a method lower (line 1, column 29)\n"
            "  params.getFromSignal('day').lower()\n                              ^",
            id="8.3-unknown-method",
        ),
        pytest.param(
            {"params": {"p": {"type": "LONG", "expression": "Math.mod(1, 2)"}}},
            "params.p: there is no function Math.mod; there is max, min, pow, random (line 1, column 6)",
            id="8.3-unknown-function-in-params",
        ),
        pytest.param({"params": {"owner": DAY}}, "params.owner: Cannot modify param", id="4.2-reserved"),
        pytest.param(
            {"params": {"fixed": DAY}}, "params.fixed: Cannot modify param with mode [CONSTANT]", id="4.2-mode"
        ),
        pytest.param({"params": {"AUTH_DATA": DAY}}, "params.AUTH_DATA: is a reserved name", id="4.1-reserved-name"),
        pytest.param(
            {"params": {"n": {"type": "STRING", "value": "many"}}}, "params.n", id="4.3-no-value-of-the-workflows-type"
        ),
    ],
)
async def test_a_wrong_trigger_is_refused_with_its_path_and_its_place(
    api: Scene, trigger: dict[str, Any], expected: str
) -> None:
    own = {
        "fixed": {"type": "STRING", "value": "x", "mode": "CONSTANT"},
        "n": {"type": "LONG", "value": 1},
    }
    # The second of two: the first is right.
    error = await refused(api, native(a_trigger(), a_trigger(**trigger), params=own))

    assert error.startswith(f"workflow.signal_triggers[1].{expected}"), error


async def test_in_the_simple_form_the_path_is_as_the_author_wrote_it(api: Scene) -> None:
    trigger = {"type": "signal", "signal_name": "ready", "dedup": "ready__day.lower()"}
    document = {"workflow_id": "wf", "steps": [STEP], "trigger": trigger}

    assert (await refused(api, document)).startswith("trigger.dedup: no value has a method lower")


async def test_a_trigger_is_shown_as_it_was_pushed_and_what_it_dropped(api: Scene) -> None:
    computed = {"params": {"day": DAY}, "condition": "day != ''", "dedup_expr": "day"}
    await api.call("POST", WORKFLOWS, json=native(a_trigger(**computed)))
    version = await api.get(f"{WORKFLOWS}/wf/versions/latest")
    [listening] = (await api.get(f"{WORKFLOWS}/wf/signal-triggers"))["signal_triggers"]

    assert [a_trigger(**computed)] == version["workflow"]["signal_triggers"]
    assert a_trigger(**computed) == listening["trigger"]
    assert ("db/t", 1, {}, []) == tuple(
        listening[name] for name in ("signal", "next_signal_id", "dropped", "latest_dropped")
    )

    drop = {"signal_id": 3, "reason": "CONDITION_FALSE", "message": "the condition is false: day != ''", "time": 5}
    drops = {"counts": {"CONDITION_FALSE": 2}, "latest": [drop]}
    await api.execute("UPDATE signal_trigger SET next_seq = 4, drops = %s", json.dumps(drops))
    [listening] = (await api.get(f"{WORKFLOWS}/wf/signal-triggers"))["signal_triggers"]
    assert (4, {"CONDITION_FALSE": 2}, [drop]) == tuple(
        listening[name] for name in ("next_signal_id", "dropped", "latest_dropped")
    )


async def test_nobody_listens_of_a_workflow_without_triggers_and_nothing_is_known_of_one_that_is_not_there(
    api: Scene,
) -> None:
    await api.push("plain")

    assert [] == (await api.get(f"{WORKFLOWS}/plain/signal-triggers"))["signal_triggers"]
    assert "NOT_FOUND" == (await api.get(f"{WORKFLOWS}/nosuch/signal-triggers", 404))["status"]


async def test_a_trigger_that_did_not_change_keeps_its_cursor_and_its_trace(api: Scene) -> None:
    computed = {"params": {"day": DAY, "n": {"type": "LONG", "value": 1}}, "condition": "day != ''"}
    await api.call("POST", WORKFLOWS, json=native(a_trigger(**computed)))
    await api.execute("""UPDATE signal_trigger SET next_seq = 4, drops = '{"counts": {"DUPLICATE": 2}}'""")
    turned = {"condition": "day != ''", "params": {"n": {"value": 1, "type": "LONG"}, "day": DAY}}
    await api.call("POST", WORKFLOWS, json=native(a_trigger(**turned), description="new"))
    [listening] = (await api.get(f"{WORKFLOWS}/wf/signal-triggers"))["signal_triggers"]
    assert (4, {"DUPLICATE": 2}) == (listening["next_signal_id"], listening["dropped"])

    await api.call("POST", WORKFLOWS, json=native(a_trigger(**{**computed, "condition": "day != 'x'"})))
    [listening] = (await api.get(f"{WORKFLOWS}/wf/signal-triggers"))["signal_triggers"]
    assert (1, {}) == (listening["next_signal_id"], listening["dropped"])
