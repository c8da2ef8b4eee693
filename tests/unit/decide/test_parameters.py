"""What the parameters of a step may name, and what becomes of a step whose parameters make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from maestro_py.engine.decide.state import step_uuid
from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Step
from maestro_py.model.statuses import FailureMode, Outcome
from maestro_py.testing.builders import RUN_UID, a_param, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]


def a_constant(value: int) -> ParamDefinition:
    return ParamDefinition(type=ParamType.LONG, value=value, mode=ParamMode.CONSTANT)


def params_of(story: Story, step_id: str) -> Any:
    return story.attempt(step_id).task["params"]


def test_an_output_that_a_step_reported_is_seen_downstream_with_its_own_type(a_story: AStory) -> None:
    story = a_story(a_step("a", then="b"), a_step("b", params={"rows": "${a.output.rows}"})).start()
    story.report("a", outputs={"rows": [{"n": 1}, None]})

    assert [{"n": 1}, None] == params_of(story, "b")["rows"]


def test_a_parameter_of_an_upstream_step_is_an_output_unless_the_step_reported_one_of_that_name(
    a_story: AStory,
) -> None:
    last = a_step("b", params={"x": "${a.output.x}", "y": "${a.output.y}"})
    story = a_story(a_step("a", params={"x": 1, "y": 2}, then="b"), last).start().report("a", outputs={"y": 3})

    assert (1, 3) == (params_of(story, "b")["x"], params_of(story, "b")["y"])


def test_the_outputs_of_a_step_with_an_ignored_failure_are_not_there(a_story: AStory) -> None:
    first = a_step("a", fails=FailureMode.IGNORE_FAILURE, then="b")
    story = a_story(first, a_step("b", params={"x": "${a.output.x}"})).start().report("a", Outcome.FATAL_ERROR)

    assert {"a": "COMPLETED_WITH_ERROR", "b": "INTERNALLY_FAILED"} == story.statuses


def test_what_a_failed_attempt_reported_is_no_output_though_its_failure_is_ignored(a_story: AStory) -> None:
    first = a_step("a", fails=FailureMode.IGNORE_FAILURE, then="b")
    story = a_story(first, a_step("b", params={"x": "${a.output.x}"})).start()
    story.report("a", Outcome.FATAL_ERROR, outputs={"x": 1})

    assert {"a": "COMPLETED_WITH_ERROR", "b": "INTERNALLY_FAILED"} == story.statuses


def test_outputs_are_laid_over_the_parameters_before_the_edges_are_judged(a_story: AStory) -> None:
    """The text that was reported is the number that the parameter is (specification 4.6)."""
    steps = (
        a_step("a", params={"n": 1}, outputs={"rows": ParamType.LONG}, then={"b": "n + rows == 12"}),
        a_step("b", params={"n": "${a.output.n}", "rows": "${a__rows}"}),
    )
    story = a_story(*steps).start().report("a", outputs={"n": "5", "rows": "7"})

    assert {"n": 5, "rows": 7} == {name: params_of(story, "b")[name] for name in ("n", "rows")}


@pytest.mark.parametrize(
    ("step", "outputs", "message"),
    [
        (
            a_step("a", params={"row": 1}, outputs={}, then="b"),
            {"rows": 2},
            "outputs.rows: Invalid output parameter [rows], not defined in params; did you mean 'row'?",
        ),
        (
            a_step("a", params={"n": a_constant(1)}, then="b"),
            {"n": 2},
            "outputs.n: Cannot modify param with mode [CONSTANT]",
        ),
        (
            a_step("a", params={"n": 1}, then="b"),
            {"n": "many"},
            "outputs.n: must be a whole number for type LONG, not a text",
        ),
    ],
)
def test_an_output_that_may_not_be_fails_the_step_for_good(
    a_story: AStory, step: Step, outputs: dict[str, Any], message: str
) -> None:
    """No retry, and no failure mode swallows it: it is the definition that is wrong, or the program."""
    ignoring = msgspec.structs.replace(step, failure_mode=FailureMode.IGNORE_FAILURE)
    story = a_story(ignoring, a_step("b")).start().report("a", outputs=outputs)

    assert {"a": "INTERNALLY_FAILED"} == story.statuses
    assert ["INTERNALLY_FAILED"] == story.history("a")
    assert message == story.attempt("a").message
    assert "FAILED" == story.status


def test_every_step_has_the_parameters_that_the_service_gives(a_story: AStory) -> None:
    """Of itself it reads them by name, of others as it reads their own (specification 4.5)."""
    names = ("workflow_instance_id", "step_instance_uuid", "step_attempt_id", "step_id", "maestro_step_satisfied")
    first = a_step("a", params={f"my_{name}": f"${{{name}}}" for name in names}, then={"b": "step_id == 'a'"})
    last = a_step("b", params={f"of_{name}": f"${{a__{name}}}" for name in names})
    story = a_story(first, last).start().report("a")

    own, seen = params_of(story, "a"), params_of(story, "b")
    assert (1, 1, "a", True) == tuple(
        own[f"my_{name}"] for name in ("workflow_instance_id", "step_attempt_id", "step_id", "maestro_step_satisfied")
    )
    assert str(step_uuid(RUN_UID, "a", 1)) == own["my_step_instance_uuid"]
    assert [own[f"my_{name}"] for name in names] == [seen[f"of_{name}"] for name in names]


def test_a_step_says_of_another_whether_it_was_satisfied(a_story: AStory) -> None:
    steps = (
        a_step("a", "NoOp", then={"b": "false", "c": "true"}),
        a_step("b", then="c"),
        a_step("c", params={"ran": "${b__maestro_step_satisfied}"}),
    )
    story = a_story(*steps).start()

    assert False is params_of(story, "c")["ran"]


def test_an_output_of_a_step_that_is_not_complete_is_not_seen(a_story: AStory) -> None:
    story = a_story(a_step("a", params={"x": 1}), a_step("b", params={"x": "${a.output.x}"})).start()

    assert "INTERNALLY_FAILED" == story.statuses["b"]


def test_a_parameter_of_the_run_wins_over_one_of_the_step_that_needs_it(a_story: AStory) -> None:
    story = a_story(a_step("a", params={"n": "${n}0"}), params={"n": 4}).start()

    assert "40" == params_of(story, "a")["n"]


@pytest.mark.parametrize(
    ("param", "message"),
    [
        (a_param("${nowhere}"), "params.x: 'nowhere' names no parameter"),
        (a_param("${gone.output.n}"), "params.x: 'gone.output.n' names nothing"),
        (a_param("${text}", ParamType.LONG), "params.x"),
        (ParamDefinition(type=ParamType.LONG), "params.x: has no value"),
    ],
)
def test_a_parameter_that_cannot_be_evaluated_fails_the_step_with_its_reason(
    a_story: AStory, param: ParamDefinition, message: str
) -> None:
    story = a_story(a_step("a", params={"x": param}, then="b"), a_step("b"), params={"text": "many"}).start()

    assert {"a": "INTERNALLY_FAILED"} == story.statuses
    assert message in (story.attempt("a").message or "")
    assert "FAILED" == story.status


def test_a_step_that_fails_internally_does_not_disturb_its_neighbours(a_story: AStory) -> None:
    story = a_story(a_step("a", params={"x": "${nowhere}"}), a_step("b", then="c"), a_step("c")).start().report("b")

    assert {"a": "INTERNALLY_FAILED", "b": "SUCCEEDED", "c": "WAITING_FOR_PERMITS"} == story.statuses


def test_a_retry_whose_parameters_no_longer_make_sense_fails_the_step_internally(a_story: AStory) -> None:
    """Evaluation is pure, so this needs an attempt that was stored by an engine with other rules."""
    story = a_story(a_step("a", params={"x": "${n}"}), params={"n": 1}).start().report("a", Outcome.USER_ERROR)
    story.store.runs[story.run.run_uid] = story.run._replace(params=None)
    story.engine.forget()
    story.pass_seconds(60)

    assert ["USER_FAILED", "INTERNALLY_FAILED"] == story.history("a")
    assert "FAILED" == story.status
