"""The builders that are shipped for authors make what the door would make of the same words."""

from __future__ import annotations

from maestro_py.model.definition import ParamType
from maestro_py.model.statuses import FailureMode
from maestro_py.testing.builders import a_chain, a_foreach, a_map, a_param, a_step, a_task, a_workflow


def test_a_parameter_takes_the_type_of_its_value() -> None:
    values = (1, 1.5, True, "x", [1, 2], ["a"], None, [{"n": 1}], "${n}")
    types = ["LONG", "DOUBLE", "BOOLEAN", "STRING", "LONG_ARRAY", "STRING_ARRAY", "JSON", "JSON", "JSON"]

    assert types == [a_param(value).type for value in values]
    assert ParamType.STRING == a_param("${n}", ParamType.STRING).type


def test_a_map_holds_a_parameter_of_its_own_for_each_value() -> None:
    assert {"i": {"type": "LONG_ARRAY", "value": [1]}} == a_map({"i": [1]}).value


def test_a_step_says_only_what_a_test_is_about() -> None:
    step = a_step()

    assert ("a", "python", {}, {}, FailureMode.FAIL_AFTER_RUNNING) == (
        *(step.id, step.type, step.params, step.successors, step.failure_mode),
    )


def test_successors_may_be_one_or_several_or_have_conditions() -> None:
    successors = [a_step(then=then).successors for then in ("b", ["b", "c"], {"b": "false"})]

    assert [{"b": "true"}, {"b": "true", "c": "true"}, {"b": "false"}] == successors


def test_a_foreach_gives_its_body_the_item_and_the_index() -> None:
    loop = a_foreach("loop", a_step("body"), items=[1, 2])

    assert (True, ["body"]) == (loop.spread_items, [step.id for step in loop.steps])
    assert not a_foreach("loop", loop_params=a_map({"i": [1]})).spread_items, "the native form has its own names"


def test_a_workflow_has_at_least_one_step() -> None:
    assert ["a"] == [step.id for step in a_workflow().steps]
    assert ["s1", "s2", "s3"] == [step.id for step in a_chain(3).steps]


def test_a_task_is_the_attempt_of_a_step_with_plain_parameters() -> None:
    task = a_task(a_step("load", "shell"), attempt=2, shell={"command": "ls"}, n=3)

    assert "w/1/1/load/2" == task.idempotency_key
    assert {"command": "ls"} == task.own_params
    assert {"n": 3} == task.plain_params
