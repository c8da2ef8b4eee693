"""Expressions in parameters and on edges: quick ones in the loop, heavy ones elsewhere while the step waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from maestro_py.engine.decide.parking import DUE_AFTER_MS
from maestro_py.engine.decide.table import decide
from maestro_py.model.definition import ParamDefinition, ParamType, Step
from maestro_py.model.effects import Dispatch as DispatchEffect
from maestro_py.model.events import EdgesEvaluated, EvaluationDue, ParamsEvaluated, RunStarted
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome, StepStatus
from maestro_py.params import Budget
from maestro_py.testing.builders import (
    NOON_MS,
    RUN_UID,
    a_foreach,
    a_map,
    a_retry_policy,
    a_step,
    a_workflow,
)
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

#: More work than the loop does; gives 5000050000.
HEAVY: Final = "long t = 0; for (int i = 0; i <= 100000; i += 1) { t += i; } t"
HEAVY_TRUE: Final = HEAVY + " > n"
HEAVY_FALSE: Final = HEAVY + " < n"
HEAVY_WRONG: Final = HEAVY
N: Final = {"n": 7}


def computed(expression: str, type: ParamType = ParamType.LONG) -> ParamDefinition:  # noqa: A002
    return ParamDefinition(type=type, expression=expression)


def result_of(story: Story, step_id: str, name: str) -> Any:
    return story.attempt(step_id).params[name]["evaluated_result"]


# --- in the loop -------------------------------------------------------------------------------------------


def test_a_parameter_is_computed_from_the_run_and_from_upstream_steps(a_story: AStory) -> None:
    story = a_story(
        a_step("a", then="b"), a_step("b", params={"p": computed("a__rows * n"), "q": computed("p + 1")}), params=N
    ).start()
    story.report("a", outputs={"rows": 6})

    assert (42, 43) == (result_of(story, "b", "p"), result_of(story, "b", "q"))


def test_a_step_param_may_be_computed_from_the_workflow_param_of_its_name(a_story: AStory) -> None:
    story = a_story(a_step("a", params={"n": computed("n + 1")}), params=N).start()

    assert 8 == result_of(story, "a", "n")


def test_a_wrong_expression_fails_the_step_and_shows_the_place(a_story: AStory) -> None:
    policy = a_retry_policy(error=3)
    story = a_story(
        a_step("a", params={"p": computed("n + missing")}, retries=policy, fails=FailureMode.IGNORE_FAILURE), params=N
    ).start()

    attempt = story.attempt("a")
    assert (StepStatus.INTERNALLY_FAILED, InstanceStatus.FAILED) == (attempt.status, story.status)
    assert "params.p: 'missing' names no parameter (line 1, column 5)\n  n + missing\n      ^" == attempt.message


def test_an_edge_is_taken_when_its_condition_holds_after_the_step(a_story: AStory) -> None:
    story = a_story(
        a_step("a", then={"b": "rows > n", "c": "rows < n", "d": "a__rows == 9 && kind == 'x'"}, params={"kind": "x"}),
        *(a_step(name, "NoOp") for name in "bcd"),
        params=N,
    ).start()
    story.report("a", outputs={"rows": 9})

    assert {"b": True, "c": False, "d": True} == story.attempt("a").edges
    assert ["SUCCEEDED", "UNSATISFIED", "SUCCEEDED"] == [story.attempt(name).status for name in "bcd"]


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("rows > missing", "'missing' names no parameter"),
        ("rows + 1", "a condition gives true or false, not a number"),
        ("throw 'no'", "no"),
        ("rows.length()", "length"),
    ],
)
def test_a_wrong_condition_fails_the_step_and_names_the_edge(a_story: AStory, condition: str, why: str) -> None:
    story = a_story(
        a_step("a", then={"b": condition}, params={"rows": 1}, fails=FailureMode.IGNORE_FAILURE), a_step("b", "NoOp")
    ).start()
    story.report("a")

    attempt = story.attempt("a")
    assert (StepStatus.INTERNALLY_FAILED, InstanceStatus.FAILED) == (attempt.status, story.status)
    assert (attempt.message or "").startswith("the condition of the edge to 'b' cannot be evaluated: ")
    assert why in (attempt.message or "")


def test_the_whole_of_loop_params_may_be_computed(a_story: AStory) -> None:
    loop = ParamDefinition(type=ParamType.MAP, expression="Map m = new Map(); m.put('i', ids); return m;")
    story = a_story(a_foreach("f", loop_params=loop), params={"ids": [4, 5]}).start()

    assert InstanceStatus.SUCCEEDED == story.status
    assert 2 == story.attempt("f").runtime["total"]


def test_an_iteration_computes_with_its_loop_values_and_what_lies_outside(a_story: AStory) -> None:
    body = a_step("body", params={"p": computed("i * n + a__rows")})
    loop = ParamDefinition(
        type=ParamType.MAP, value={"i": {"type": "LONG_ARRAY", "expression": "Util.intsBetween(1, 3, 1)"}}
    )
    story = a_story(a_step("a", then="f"), a_foreach("f", body, loop_params=loop), params=N).start()
    story.report("a", outputs={"rows": 100})

    found = [a.params["p"]["evaluated_result"] for a in story.store.attempts.values() if a.key.step_id == "body"]
    assert [107, 114] == sorted(found)


def test_chance_is_the_same_when_the_evaluation_is_done_again(a_story: AStory) -> None:
    drawn = {
        result_of(
            a_story(a_step("a", params={"p": computed("UUID.randomUUID().toString()", ParamType.STRING)})).start(),
            "a",
            "p",
        )
        for _ in range(2)
    }

    assert 1 == len(drawn)


def test_facts_of_instance_and_step_are_known_to_expressions(a_story: AStory) -> None:
    facts = {
        "who": "params.getFromInstance('INITIATOR_TYPE')",
        "instance": "params.getFromInstance('workflow_instance_id')",
        "step": "params.getFromStep('step_id') + ':' + params.getFromStep('step_attempt_id')",
        "before": "params.getFromStep('a', 'rows') + params.getFromStep('a', 'MAESTRO_STEP_STATUS')",
        "own": "step_id + workflow_instance_id",
        "day": "TARGET_RUN_DATE",
    }
    story = a_story(
        a_step("a", then="b"),
        a_step("b", params={name: computed(text, ParamType.STRING) for name, text in facts.items()}),
        params={"RUN_TS": 1_700_000_000_000},
    ).start()
    story.report("a", outputs={"rows": 3})

    found = {name: result_of(story, "b", name) for name in facts}
    expected = {"who": "MANUAL", "instance": "1", "step": "b:1", "before": "3SUCCEEDED", "own": "b1", "day": "20231114"}
    assert expected == found


# --- elsewhere ---------------------------------------------------------------------------------------------


def heavy_params(step_type: str = "python") -> Step:
    return a_step("a", step_type, params={"p": computed(HEAVY), "q": computed("p + n")})


def test_a_step_with_heavy_parameters_waits_and_goes_on_with_the_answer(a_story: AStory) -> None:
    story = a_story(heavy_params(), params=N).start()

    assert (StepStatus.EVALUATING_PARAMS, None) == (story.attempt("a").status, story.attempt("a").dispatch)
    assert ["a"] == [effect.step_id for effect in story.given_away]

    story.evaluate("a")
    assert 5_000_050_007 == result_of(story, "a", "q")
    assert (StepStatus.WAITING_FOR_PERMITS, "QUEUED") == (story.attempt("a").status, story.attempt("a").dispatch)
    assert 5_000_050_000 == story.attempt("a").task["params"]["p"]
    assert InstanceStatus.SUCCEEDED == story.report("a").status


@pytest.mark.parametrize(("step_type", "status"), [("NoOp", "SUCCEEDED"), ("Sleep", "RUNNING")])
def test_what_the_engine_runs_itself_begins_with_the_answer(a_story: AStory, step_type: str, status: str) -> None:
    story = a_story(heavy_params(step_type), params=N).start().evaluate("a")

    assert status == story.attempt("a").status


def test_a_heavy_expression_that_fails_fails_the_step(a_story: AStory) -> None:
    story = a_story(a_step("a", params={"p": computed(HEAVY + "; throw 'enough'")})).start().evaluate("a")

    attempt = story.attempt("a")
    assert (StepStatus.INTERNALLY_FAILED, InstanceStatus.FAILED) == (attempt.status, story.status)
    assert (attempt.message or "").startswith("params.p: enough (line 1")


def test_without_an_answer_the_owner_of_that_moment_asks_again(a_story: AStory) -> None:
    """The engine that asked, or the process that computed, may be gone."""
    story = a_story(heavy_params(), params=N).start()
    story.pass_seconds(DUE_AFTER_MS / 1000)

    assert StepStatus.EVALUATING_PARAMS == story.attempt("a").status
    assert ["a"] == [effect.step_id for effect in story.given_away]
    assert 1 == len(story.store.timers)
    assert StepStatus.WAITING_FOR_PERMITS == story.evaluate("a").attempt("a").status


def test_a_second_answer_changes_nothing(a_story: AStory) -> None:
    story = a_story(heavy_params(), params=N).start()
    answer = story.answer_for("a")
    story.tell(answer)
    before = story.attempt("a").times.copy()
    story.tell(answer)

    assert before == story.attempt("a").times
    assert not [effect for effect in story.effects if isinstance(effect, DispatchEffect)]


@pytest.mark.parametrize(
    ("target", "end"),
    [
        (InstanceStatus.STOPPED, "STOPPED"),
        (InstanceStatus.FAILED, "FATALLY_FAILED"),
        (InstanceStatus.TIMED_OUT, "TIMED_OUT"),
    ],
)
def test_a_step_that_waits_for_its_parameters_obeys_at_once(a_story: AStory, target: InstanceStatus, end: str) -> None:
    story = a_story(heavy_params(), params=N).start()
    answer = story.answer_for("a")
    story.stop(target)

    assert (end, target) == (story.attempt("a").status, story.status)
    assert end == story.tell(answer).attempt("a").status


def test_the_timeout_of_the_run_ends_a_step_that_waits_for_its_parameters(a_story: AStory) -> None:
    story = a_story(heavy_params(), params=N).start().run_overdue()

    assert ("TIMED_OUT", "TIMED_OUT") == (story.attempt("a").status, story.status)


def test_a_failure_elsewhere_stops_a_step_that_waits_for_its_parameters(a_story: AStory) -> None:
    beside = a_step("z", fails=FailureMode.FAIL_IMMEDIATELY, retries=a_retry_policy())
    story = a_story(heavy_params(), beside, params=N).start().report("z", Outcome.USER_ERROR)

    assert ("STOPPED", "FAILED") == (story.attempt("a").status, story.status)


@pytest.mark.parametrize("target", [InstanceStatus.STOPPED, InstanceStatus.FAILED, InstanceStatus.TIMED_OUT])
def test_a_quarantined_run_ends_whatever_waits_to_be_evaluated(a_story: AStory, target: InstanceStatus) -> None:
    story = a_story(heavy_params(), a_step("b", then={"c": HEAVY_TRUE}), a_step("c"), params=N).start().report("b")
    story.quarantine().stop(target)

    assert target == story.status


# --- edges, elsewhere --------------------------------------------------------------------------------------


def heavy_edges(condition: str = HEAVY_TRUE, **given: Any) -> tuple[Step, Step]:
    return a_step("a", then={"b": condition}, **given), a_step("b", "NoOp")


@pytest.mark.parametrize(("condition", "taken"), [(HEAVY_TRUE, "SUCCEEDED"), (HEAVY_FALSE, "UNSATISFIED")])
def test_a_step_with_heavy_edges_waits_with_its_work_done(a_story: AStory, condition: str, taken: str) -> None:
    story = a_story(*heavy_edges(condition), params=N).start().report("a", outputs={"rows": 1})

    assert (StepStatus.FINISHING, "IN_PROGRESS") == (story.attempt("a").status, story.status)
    story.evaluate("a")
    assert ("SUCCEEDED", taken, "SUCCEEDED") == (story.attempt("a").status, story.attempt("b").status, story.status)
    assert {"rows": 1} == story.attempt("a").outputs


def test_the_outputs_of_the_step_are_seen_by_its_heavy_edges(a_story: AStory) -> None:
    story = a_story(*heavy_edges(HEAVY + " > rows"), params=N).start().report("a", outputs={"rows": 1 << 60})

    assert {"b": False} == story.evaluate("a").attempt("a").edges


def test_a_literal_edge_beside_a_heavy_one_keeps_its_value(a_story: AStory) -> None:
    steps = [
        a_step("a", "NoOp", then={"b": HEAVY_TRUE, "c": "true", "d": "false"}),
        *(a_step(i, "NoOp") for i in "bcd"),
    ]
    story = a_story(*steps, params=N).start().evaluate("a")

    assert {"b": True, "c": True, "d": False} == story.attempt("a").edges


def test_a_heavy_edge_that_fails_fails_the_step(a_story: AStory) -> None:
    story = a_story(*heavy_edges(HEAVY_WRONG), params=N).start().report("a").evaluate("a")

    attempt = story.attempt("a")
    assert (StepStatus.INTERNALLY_FAILED, InstanceStatus.FAILED) == (attempt.status, story.status)
    assert (attempt.message or "").startswith("the condition of the edge to 'b' cannot be evaluated: a condition gives")


def test_without_an_answer_the_edges_are_asked_for_again(a_story: AStory) -> None:
    story = a_story(*heavy_edges(), params=N).start().report("a").pass_seconds(DUE_AFTER_MS / 1000)

    assert ["a"] == [effect.step_id for effect in story.given_away]
    assert "SUCCEEDED" == story.evaluate("a").status


@pytest.mark.parametrize("condition", [HEAVY_TRUE, "missing"], ids=["heavy", "wrong"])
@pytest.mark.parametrize("end", ["report", "failure", "loss", "noop", "sleep", "loop", "empty loop"])
def test_whatever_ends_a_step_its_edges_are_judged_then(a_story: AStory, end: str, condition: str) -> None:
    then = {"b": condition}
    ignore: dict[str, Any] = {"fails": FailureMode.IGNORE_FAILURE, "retries": a_retry_policy()}
    first = {
        "noop": a_step("a", "NoOp", then=then),
        "sleep": a_step("a", "Sleep", then=then, params={"sleep_seconds": 1}),
        "loop": a_foreach("a", items=[1], then=then),
        "empty loop": a_foreach("a", items=[], then=then),
    }.get(end) or a_step("a", then=then, **ignore)
    story = a_story(first, a_step("b", "NoOp"), params=N).start()
    if end == "report":
        story.report("a")
    elif end == "failure":
        story.report("a", Outcome.USER_ERROR)
    elif end == "loss":
        story.lose("a")
    elif end == "sleep":
        story.pass_seconds(2)

    if condition == "missing":
        assert "INTERNALLY_FAILED" == story.attempt("a").status
        return
    assert "FINISHING" == story.attempt("a").status
    ended = "COMPLETED_WITH_ERROR" if end in ("failure", "loss") else "SUCCEEDED"
    assert (ended, "SUCCEEDED") == (story.evaluate("a").attempt("a").status, story.status)


@pytest.mark.parametrize("condition", ["true", HEAVY_TRUE, "missing"], ids=["always", "heavy", "wrong"])
@pytest.mark.parametrize("kind", ["noop", "empty loop"])
def test_edges_are_judged_too_where_the_parameters_came_late(a_story: AStory, kind: str, condition: str) -> None:
    params = {"p": computed(HEAVY)}
    if kind == "noop":
        first = a_step("a", "NoOp", then={"b": condition}, params=params)
    else:
        first = a_foreach("a", loop_params=a_map({"i": []}), then={"b": condition}, params=params)
    story = a_story(first, a_step("b", "NoOp"), params=N).start().evaluate("a")

    assert {"true": "SUCCEEDED", "missing": "INTERNALLY_FAILED"}.get(condition, "FINISHING") == story.attempt(
        "a"
    ).status


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.USER_ERROR])
@pytest.mark.parametrize("how", ["stop", "kill", "timeout", "failure beside"])
def test_a_step_whose_work_is_done_keeps_its_end_when_the_run_is_stopped(
    a_story: AStory, how: str, outcome: Outcome
) -> None:
    ignore: dict[str, Any] = {"fails": FailureMode.IGNORE_FAILURE, "retries": a_retry_policy()}
    beside = a_step("z", fails=FailureMode.FAIL_IMMEDIATELY, retries=a_retry_policy())
    story = a_story(*heavy_edges(**ignore), beside, params=N).start().report("a", outcome)
    answer = story.answer_for("a")
    if how == "stop":
        story.stop()
    elif how == "kill":
        story.kill()
    elif how == "timeout":
        story.run_overdue()
    else:
        story.report("z", Outcome.USER_ERROR)

    ended = "SUCCEEDED" if outcome is Outcome.DONE else "COMPLETED_WITH_ERROR"
    assert ended == story.attempt("a").status
    assert "b" not in story.statuses
    assert ended == story.tell(answer).attempt("a").status


# --- the budget --------------------------------------------------------------------------------------------


def test_the_expressions_of_one_decision_share_its_budget() -> None:
    """A chain of a thousand quick steps is no quick step."""
    middling = "int t = 0; for (int i = 0; i < 200; i += 1) { t += i; } t"
    steps = [
        a_step(f"s{i}", "NoOp", params={"p": computed(middling)}, then=f"s{i + 1}" if i < 99 else ())
        for i in range(100)
    ]
    story = Story(a_workflow(*steps), params=N).start()

    assert 1 == len(story.given_away)
    assert 1 < len(story.statuses) < 100


def test_without_any_budget_even_a_quick_expression_is_left_to_others() -> None:
    story = Story(a_step("a", params={"p": computed("n + 1")}), params=N)
    effects = decide(story.engine.load(RUN_UID), RunStarted(), NOON_MS, Budget(0))

    assert ["EvaluateElsewhere", "SetTimer"] == [type(effect).__name__ for effect in effects]


def test_the_events_name_the_attempt() -> None:
    assert ("a", 2) == (EvaluationDue("a", 2).step_id, ParamsEvaluated("a", 2, {}).attempt)
    assert EdgesEvaluated("a", 1, {}) != EdgesEvaluated("a", 2, {})
