"""The results of a loop: read when a later step, or an edge, needs them, and one array in the order of iterations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest

from maestro_py.engine.decide.parking import DUE_AFTER_MS
from maestro_py.model.definition import ParamDefinition, ParamType, Step
from maestro_py.model.statuses import FailureMode, InstanceStatus, Outcome
from maestro_py.testing.builders import a_foreach, a_map, a_retry_policy, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]

ASKED: Final = "params.getFromForeach('loop', 'work', 'x')"


def computed(expression: str, type: ParamType = ParamType.JSON) -> ParamDefinition:  # noqa: A002
    return ParamDefinition(type=type, expression=expression)


def collecting(value: Any = "${item}", *, items: Any = (1, 2, 3), reads: Any = None, **loop: Any) -> list[Step]:
    """A loop whose step *work* has the parameter x, and a step *next* that *reads* it."""
    body = a_step("work", "NoOp", params={"x": value})
    read = reads if reads is not None else computed(ASKED)
    return [a_foreach("loop", body, items=list(items), then="next", **loop), a_step("next", "NoOp", params={"r": read})]


def result(story: Story, step_id: str = "next", name: str = "r") -> Any:
    return story.attempt(step_id).params[name]["evaluated_result"]


def why_failed(story: Story) -> str:
    return story.attempt("next").message or ""


@pytest.mark.parametrize(
    "reads",
    [
        computed(ASKED),
        computed("loop__x"),
        computed("params.getFromStep('loop', 'x')"),
        computed("params.getFromStep('loop.work', 'x')"),
        computed("String l = 'lo'; params.getFromForeach(l + 'op', 'wo' + 'rk', 'x')"),
        "${loop.work.output.x}",
        "${loop.output.x}",
        "${loop__x}",
        ParamDefinition(type=ParamType.LONG_ARRAY, value="${loop.work.output.x}"),
    ],
    ids=str,
)
def test_a_later_step_reads_what_each_iteration_came_to(a_story: AStory, reads: Any) -> None:
    story = a_story(*collecting(reads=reads), window=2).start()

    assert "EVALUATING_PARAMS" == story.attempt("next").status
    story.evaluate("next")
    assert ([1, 2, 3], "SUCCEEDED") == (result(story), story.status)


def test_results_come_in_the_order_of_iterations_whatever_the_order_in_which_they_ended(a_story: AStory) -> None:
    body = a_step("work")
    story = a_story(
        a_foreach("loop", body, items=["a", "b", "c"], then="next"),
        a_step("next", "NoOp", params={"r": "got ${loop.work.output.rows}", "first": "${loop.output.rows.0}"}),
    ).start()
    for iteration, row in sorted(story.iterations().items(), reverse=True):
        story.report("work", run_uid=row.run_uid, outputs={"rows": f"r{iteration}"})
    story.evaluate("next")

    assert ('got ["r1","r2","r3"]', "r1") == (result(story), result(story, name="first"))


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([1, 2.5], "[1.0,2.5]"),
        ([2.5, 1], "[2.5,1.0]"),
        (["a", ""], '["a",""]'),
        ([True, False], "[true,false]"),
        ([], "[]"),
        ([2**63 - 1, -(2**63)], "[9223372036854775807,-9223372036854775808]"),
    ],
    ids=str,
)
def test_the_values_decide_upon_the_type_of_the_array(a_story: AStory, items: list[Any], expected: str) -> None:
    story = a_story(*collecting(items=items)).start().evaluate("next")

    assert expected == json.dumps(result(story), separators=(",", ":"))


def test_whole_numbers_of_a_parameter_of_type_double_are_doubles(a_story: AStory) -> None:
    value = ParamDefinition(type=ParamType.DOUBLE, value="${item}")
    story = a_story(*collecting(value, items=[7, 8], reads=computed(f"{ASKED}[0] / 2"))).start().evaluate("next")

    assert 3.5 == result(story)


def test_reports_are_of_the_type_that_the_step_declares_for_them(a_story: AStory) -> None:
    """They are stored as they came, and cast when they are laid over the parameters."""
    param = ParamDefinition(type=ParamType.LONG, value=0)
    body = msgspec.structs.replace(a_step("work", params={"x": param}), outputs={"y": ParamType.STRING})
    reads = {"x": "${loop.work.output.x}", "y": "${loop.work.output.y}"}
    story = a_story(a_foreach("loop", body, items=[1, 2], then="next"), a_step("next", "NoOp", params=reads)).start()
    for said, row in zip(({"x": "7", "y": 1.5}, {"y": "a"}), story.iterations().values(), strict=True):
        story.report("work", run_uid=row.run_uid, outputs=said)
    story.evaluate("next")

    assert ([7, 0], ["1.5", "a"]) == (result(story, name="x"), result(story, name="y"))


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ([1, 2, "a"], "'x' of step 'work' is LONG in iteration 1 of 'loop' and STRING in iteration 3"),
        ([1.5, 1, True], "'x' of step 'work' is DOUBLE in iteration 1 of 'loop' and BOOLEAN in iteration 3"),
        ([1, None], "'x' of step 'work' is null in iteration 2 of 'loop': only scalars are collected"),
        ([1, [1]], "'x' of step 'work' is a list in iteration 2 of 'loop'"),
        ([{"a": 1}], "'x' of step 'work' is an object in iteration 1 of 'loop'"),
    ],
)
@pytest.mark.parametrize("reads", [computed(ASKED), "${loop.work.output.x}", computed("loop__x")], ids=str)
def test_what_makes_no_array_names_the_iteration(a_story: AStory, items: list[Any], why: str, reads: Any) -> None:
    story = a_story(*collecting(items=items, reads=reads)).start().evaluate("next")

    assert ("INTERNALLY_FAILED", "FAILED") == (story.attempt("next").status, story.status)
    assert why_failed(story).startswith("params.r: ")
    assert why in why_failed(story)


def test_an_iteration_whose_step_had_no_turn_or_no_such_output_is_named(a_story: AStory) -> None:
    body = [
        a_step("first", "NoOp", then={"work": "item != 2"}),
        a_step("work", "NoOp", params={"x": 1}),
    ]
    reads = a_step("next", "NoOp", params={"r": computed(ASKED)})
    story = a_story(a_foreach("loop", *body, items=[1, 2, 3], then="next"), reads).start().evaluate("next")
    assert "step 'work' has no 'x' in iteration 2 of 'loop', where it ended UNSATISFIED" in why_failed(story)

    story = a_story(*collecting(reads=computed("params.getFromForeach('loop', 'work', 'y')"))).start().evaluate("next")
    assert "step 'work' has no 'y' in iteration 1 of 'loop', where it ended SUCCEEDED" in why_failed(story)


def test_an_iteration_that_never_began_is_named(a_story: AStory) -> None:
    """A failure that the loop ignores keeps the rest from being launched."""
    body = a_step("work", retries=a_retry_policy())
    loop = a_foreach("loop", body, items=[1, 2, 3], concurrency=2, then="next", fails=FailureMode.IGNORE_FAILURE)
    story = a_story(loop, a_step("next", "NoOp", params={"r": "${loop.output.x}"})).start()
    first, second = story.iterations().values()
    story.report("work", run_uid=first.run_uid, outputs={"x": 1})
    second, third = (row for row in story.iterations().values() if row.end_time_ms is None)
    story.report("work", Outcome.USER_ERROR, run_uid=third.run_uid)
    story.report("work", run_uid=second.run_uid, outputs={"x": 1}).evaluate("next")

    assert "COMPLETED_WITH_ERROR" == story.attempt("loop").status
    assert "step 'work' has no 'x' in iteration 3 of 'loop', where it ended FATALLY_FAILED" in why_failed(story)


def test_a_loop_that_was_not_taken_has_no_results(a_story: AStory) -> None:
    first = a_step("first", "NoOp", then={"loop": "false", "next": "true"})
    story = a_story(first, *collecting()).start()

    assert "UNSATISFIED" == story.attempt("loop").status
    assert "no completed foreach 'loop' upstream has a step 'work'" in why_failed(story)


def test_results_that_are_not_asked_for_may_be_whatever_they_are(a_story: AStory) -> None:
    reads = computed(f"params.getFromStep('MAESTRO_STEP_ERROR_RETRIES') > 0 ? {ASKED} : 'none'")
    story = a_story(*collecting(items=[1, "a"], reads=reads)).start()

    assert "SUCCEEDED" == story.attempt("next").status
    assert "none" == result(story)


def test_a_parameter_of_the_loop_itself_wins_over_results(a_story: AStory) -> None:
    story = a_story(*collecting(reads="${loop.output.x}", params={"x": "own"})).start()

    assert "own" == result(story)


def test_the_edges_of_the_loop_and_of_later_steps_see_results(a_story: AStory) -> None:
    body = a_step("work", "NoOp", params={"x": "${item}"})
    steps = [
        a_foreach("loop", body, items=[1, 2], then={"b": f"{ASKED}[1] == 2", "c": "loop__x[0] > 1"}),
        a_step("b", "NoOp", then={"d": f"{ASKED}.length == 3"}),
        a_step("c", "NoOp"),
        a_step("d", "NoOp"),
    ]
    story = a_story(*steps).start()
    assert "FINISHING" == story.attempt("loop").status
    story.evaluate("loop")
    assert {"b": True, "c": False} == story.attempt("loop").edges
    story.evaluate("b")
    assert {"d": False} == story.attempt("b").edges
    assert "SUCCEEDED" == story.status


def test_a_loop_goes_over_the_results_of_another_and_its_iterations_see_them_as_its_parameter(a_story: AStory) -> None:
    work = a_step("work", "NoOp", params={"x": computed("item * 10", ParamType.LONG)})
    again = a_step("again", "NoOp", params={"y": computed("item + all[0]", ParamType.LONG)})
    second = a_foreach("second", again, items="${loop.output.x}", params={"all": "${loop.work.output.x}"}, then="next")
    story = a_story(
        a_foreach("loop", work, items=[1, 2], then="second"),
        second,
        a_step("next", "NoOp", params={"r": "${second.output.y}"}),
    ).start()
    story.evaluate("second")
    story.evaluate("next")

    assert [20, 30] == result(story)


def test_ids_may_have_dots(a_story: AStory) -> None:
    body = [a_step("a.b", "NoOp", params={"x.y": "${item}"}), a_step("c", "NoOp")]
    read = a_step("next", "NoOp", params={"r": "${my.loop.a.b.output.x.y}", "one": "${my.loop.a.b.output.x.y.1}"})
    story = a_story(a_foreach("my.loop", *body, items=[5, 6], then="next"), read).start().evaluate("next")

    assert ([5, 6], 6) == (result(story), result(story, name="one"))


def test_without_an_answer_results_are_asked_for_again(a_story: AStory) -> None:
    story = a_story(*collecting()).start().pass_seconds(DUE_AFTER_MS / 1000)

    assert [1, 2, 3] == result(story.evaluate("next"))


def test_an_evaluation_that_asks_on_and_on_is_given_up(a_story: AStory) -> None:
    """Each name that an expression computes is one more reading."""
    source = "for (int i = 0; i < 100; i += 1) { params.getFromForeach('loop', 'work', 'x' + i); } 1"
    names = {f"x{i}": i for i in range(100)}
    body = a_step("work", "NoOp", params=names)
    story = a_story(
        a_foreach("loop", body, items=[1], then="next"), a_step("next", "NoOp", params={"r": computed(source)})
    ).start()
    story.evaluate("next")

    assert InstanceStatus.FAILED == story.status
    assert "compute more than 20 names of results of loops" in why_failed(story)


def test_loop_params_of_the_native_form_take_results(a_story: AStory) -> None:
    loop = a_map({"i": "${loop.work.output.x}"})
    steps = [*collecting()[:1], a_foreach("next", a_step("body", "NoOp"), loop_params=loop)]
    story = a_story(*steps).start().evaluate("next")

    assert 3 == story.attempt("next").runtime["total"]
