"""What the parameters of a step may name, and what becomes of a step whose parameters make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.statuses import FailureMode, Outcome
from maestro_py.testing.builders import a_param, a_step
from tests.unit.decide.story import Story

AStory = Callable[..., Story]


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
