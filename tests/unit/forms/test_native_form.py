"""The native form (specification section 2): what it accepts, and the path of everything it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.model.definition import Backoff, ParamMode, ParamType, RetryPolicy, Tag
from maestro_py.model.statuses import FailureMode
from tests.unit.forms.documents import errors_of, native, native_foreach, native_step, push, step_named


def only_step(**fields: Any) -> Any:
    return step_named(push(native(native_step("a", **fields))).workflow, "a")


def param(kind: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "value": value, **fields}


def test_successors_are_edges_in_the_order_of_the_author() -> None:
    workflow = push(native(native_step("a", "c", "b"), native_step("b"), native_step("c"))).workflow

    assert ["c", "b"] == list(step_named(workflow, "a").successors)


@pytest.mark.parametrize(
    ("written", "read"), [("true", "true"), (True, "true"), ("true;", "true"), ("False", "false"), (False, "false")]
)
def test_the_words_true_and_false_are_conditions(written: Any, read: str) -> None:
    step = native_step("a", transition={"successors": {"b": written}})
    workflow = push(native(step, native_step("b"))).workflow

    assert {"b": read} == step_named(workflow, "a").successors


def test_a_step_has_every_field_of_the_specification() -> None:
    step = only_step(
        name="A",
        type="HTTP",
        description="d",
        timeout="1 day 2 hours",
        failure_mode="fail_immediately",
        tags=["x", {"name": "y", "namespace": "USER_DEFINED"}],
        params={"p": param("long", 3, mode="immutable", validator="@NotEmpty", tags=["t"], note="n", name="p")},
        retry_policy={"error_retry_limit": "7", "backoff": {"error_retry_exponent": 3}},
        queue="big",
        outputs={"o": "LONG"},
    )

    assert ("A", "http", "d", "1 day 2 hours") == (step.name, step.type, step.description, step.timeout)
    assert FailureMode.FAIL_IMMEDIATELY is step.failure_mode
    assert (Tag(name="x"), Tag(name="y", namespace="USER_DEFINED")) == step.tags
    assert RetryPolicy(error_retry_limit=7, backoff=Backoff(error_retry_exponent=3)) == step.retry_policy
    assert ("big", {"o": ParamType.LONG}) == (step.queue, step.outputs)
    assert not step.undeclared_outputs
    p = step.params["p"]
    assert (ParamType.LONG, 3, ParamMode.IMMUTABLE) == (p.type, p.value, p.mode)
    assert ("@NotEmpty", ["t"], {"note": "n"}) == (p.validator, p.tags, p.meta)


def test_a_step_that_says_little_has_the_defaults() -> None:
    step = only_step()

    assert (FailureMode.FAIL_AFTER_RUNNING, None, None, "default") == (
        step.failure_mode,
        step.retry_policy,
        step.timeout,
        step.queue,
    )


def test_a_foreach_loops_over_named_lists() -> None:
    foreach = native_foreach("f", native_step("a", "b"), native_step("b"), concurrency=3, strict_ordering=False)
    step = step_named(push(native(foreach)).workflow, "f")

    assert step.is_foreach
    assert not step.spread_items
    assert (3, ["a", "b"]) == (step.concurrency, [inner.id for inner in step.steps])
    assert {"i": {"type": "LONG_ARRAY", "value": [1, 2]}} == step.params["loop_params"].value


def test_what_the_public_client_writes_for_nothing_counts_as_absent() -> None:
    assert only_step() == only_step(tags=[], transition=[], params={}, signal_dependencies=[], retry_policy=None)


def test_a_nested_parameter_is_normalised() -> None:
    nested = param("MAP", {"url": param("string", "x"), "deep": param("map", {"n": param("long", 1)})})
    value = only_step(params={"http": nested}).params["http"].value

    assert {
        "url": {"type": "STRING", "value": "x"},
        "deep": {"type": "MAP", "value": {"n": {"type": "LONG", "value": 1}}},
    } == value


@pytest.mark.parametrize("kind", ["LONG", "DOUBLE", "BOOLEAN", "STRING_ARRAY", "STRING_MAP", "LONG_ARRAY", "MAP"])
def test_any_type_may_be_one_reference(kind: str) -> None:
    assert "${n}" == only_step(params={"p": param(kind, "${n}")}).params["p"].value


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        (3, "", 'must be a definition such as {"type": "STRING", "value": "x"}, not a number'),
        ({"value": 3}, ".type", "is required"),
        (param("INT", 3), ".type", "'INT' is none of " + ", ".join(ParamType)),
        ({"type": "LONG"}, "", "needs a value"),
        (param("LONG", None), "", "needs a value"),
        (param("LONG", "3"), ".value", "must be a whole number for type LONG, not a text"),
        (param("LONG", True), ".value", "must be a whole number for type LONG, not a boolean"),
        (param("LONG", 3.0), ".value", "must be a whole number for type LONG, not a decimal number"),
        (param("DOUBLE", "x"), ".value", "must be a number for type DOUBLE, not a text"),
        (param("BOOLEAN", 1), ".value", "must be true or false for type BOOLEAN, not a number"),
        (param("STRING", 1), ".value", "must be a text for type STRING, not a number"),
        (param("LONG_ARRAY", [1, "2"]), ".value[1]", "must be a whole number for type LONG, not a text"),
        (param("STRING_ARRAY", "a"), ".value", "must be a list for type STRING_ARRAY, not a text"),
        (param("STRING_MAP", {"k": 1}), ".value.k", "must be a text for type STRING, not a number"),
        (param("MAP", 1), ".value", "must be an object for type MAP, not a number"),
        (
            param("MAP", {"k": {"type": "MAP", "value": {"n": param("LONG", "x")}}}),
            ".value.k.value.n.value",
            "must be a whole number for type LONG, not a text",
        ),
        (param("LONG", 1, mode="FIXED"), ".mode", "'FIXED' is none of " + ", ".join(ParamMode)),
        (param("LONG", 1, source="LAUNCH"), ".source", "is set by the service and may not be given"),
        (param("LONG", 1, validator=3), ".validator", "must be a text, not a number"),
        (param("LONG", 1, name="q"), ".name", "must be 'p', its key, or left out"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_path(document: Any, path: str, message: str) -> None:
    errors = errors_of(native(native_step("a", params={"p": document})))

    assert {f"workflow.steps[0].step.params.p{path}": message} == errors


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"id": "1a"}, "id", "'1a' must begin with a letter or _ and hold only letters, digits, '.', '-' and '_'"),
        ({"type": None}, "type", "is required"),
        ({"type": "Join"}, "type", "'Join' is not a type that a leaf step may have"),
        ({"type": "foreach"}, "type", "'foreach' is not a type that a leaf step may have"),
        ({"failure_mode": "PANIC"}, "failure_mode", "'PANIC' is none of " + ", ".join(FailureMode)),
        (
            {"timeout": "10 eons"},
            "timeout",
            ("'10 eons' is not a duration; write seconds, or for example '1 day 2 hours' or '30min'"),
        ),
        ({"concurrency": 3}, "concurrency", "unknown field"),
        ({"retry_polices": {}}, "retry_polices", "unknown field; did you mean 'retry_policy'?"),
        ({"retry_policy": {"error_retry_limit": 100}}, "retry_policy.error_retry_limit", "must be from 0 to 99"),
        (
            {"retry_policy": {"error_retry_limit": True}},
            "retry_policy.error_retry_limit",
            "must be a whole number, not a boolean",
        ),
        (
            {"retry_policy": {"backoff": {"type": "LINEAR"}}},
            "retry_policy.backoff",
            "the type of a backoff is EXPONENTIAL_BACKOFF or FIXED_BACKOFF",
        ),
        (
            {"retry_policy": {"backoff": {"type": "FIXED_BACKOFF", "error_retry_exponent": 2}}},
            "retry_policy.backoff.error_retry_exponent",
            "unknown field; did you mean 'error_retry_backoff_in_secs'?",
        ),
        (
            {"retry_policy": {"backoff": {"error_retry_backoff_in_secs": 86_401}}},
            "retry_policy.backoff.error_retry_backoff_in_secs",
            "must be from 1 to 86400",
        ),
        ({"transition": ["b"]}, "transition", "must be an object, not a list"),
        ({"transition": {"next": "b"}}, "transition.next", "unknown field"),
        ({"transition": {"predecessors": [3]}}, "transition.predecessors[0]", "must be a text"),
        (
            {"tags": [{"name": "a", "namespace": "MINE"}]},
            "tags[0]",
            "the namespace of a tag is one of SYSTEM, RUNTIME, JOB_TEMPLATE, NOTEBOOK_TEMPLATE, USER_DEFINED, PLATFORM",
        ),
        ({"tags": ["a*"]}, "tags[0]", "'a*' holds a character that a name may not have"),
        ({"spread_items": True}, "spread_items", "unknown field"),
    ],
)
def test_a_wrong_step_is_refused_by_its_path(fields: dict[str, Any], path: str, message: str) -> None:
    step = native_step("a")
    step["step"].update(fields)

    assert message == errors_of(native(step))[f"workflow.steps[0].step.{path}"]


@pytest.mark.parametrize(
    ("loop_params", "path", "message"),
    [
        (None, "", "is required: a foreach needs a MAP of lists to loop over"),
        ({}, "", "is required: a foreach needs a MAP of lists to loop over"),
        (param("MAP", {}), "", "is required: a foreach needs a MAP of lists to loop over"),
        (param("LONG_ARRAY", [1]), ".type", "must be MAP"),
        (param("MAP", {"i": param("LONG", 1)}), ".value.i.type", "LONG is no list to loop over"),
        (param("MAP", {"i": param("JSON", {})}), ".value.i.value", "must be a list, or one reference to a list"),
        (param("MAP", {"i": param("JSON", "x ${l}")}), ".value.i.value", "must be a list, or one reference to a list"),
        (param("MAP", {"loop_index": param("JSON", [])}), ".value.loop_index", "'loop_index' is given by the service"),
    ],
)
def test_wrong_loop_parameters_are_refused_by_their_path(loop_params: Any, path: str, message: str) -> None:
    foreach = native_foreach("f", native_step("a"))
    foreach["foreach"]["params"] = {"loop_params": loop_params, "other": param("LONG", 1)}

    document = native(foreach, params={"l": param("STRING", "x")})
    assert {f"workflow.steps[0].foreach.params.loop_params{path}": message} == errors_of(document)


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"params": None}, "params", "is required"),
        ({"steps": []}, "steps", "is required"),
        ({"concurrency": 0}, "concurrency", "must be from 1 to 10000"),
        ({"concurrency": "3"}, "concurrency", "must be a whole number, not a text"),
        ({"retry_policy": {"error_retry_limit": 1}}, "retry_policy", "unknown field"),
        ({"spread_items": "x"}, "spread_items", "must be true or false"),
    ],
)
def test_a_wrong_foreach_is_refused_by_its_path(fields: dict[str, Any], path: str, message: str) -> None:
    foreach = native_foreach("f", native_step("a"))
    foreach["foreach"].update(fields)

    assert {f"workflow.steps[0].foreach.{path}": message} == errors_of(native(foreach))


@pytest.mark.parametrize(
    "element", [{}, {"id": "a", "type": "NoOp"}, {"stepp": {"id": "a"}}, native_step("a") | native_foreach("b")]
)
def test_an_element_has_exactly_one_kind_of_step(element: dict[str, Any]) -> None:
    message = errors_of(native(element))["workflow.steps[0]"]

    assert message.startswith("must be an object with one key that is the kind of step")


@pytest.mark.parametrize(
    ("document", "path", "message"),
    [
        ({"workflow": 3}, "workflow", "must be an object, not a number"),
        ({"workflow": {"id": "wf"}}, "workflow.steps", "is required"),
        ({"workflow": {"steps": [native_step("a")]}}, "workflow.id", "is required"),
        ({**native(native_step("a")), "properties": 3}, "properties", "must be an object, not a number"),
        (
            {**native(native_step("a")), "workflow_id": "x"},
            "workflow_id",
            "is a name that extra information may not have",
        ),
        (
            {**native(native_step("a")), "create_time": 1},
            "create_time",
            "is a name that extra information may not have",
        ),
        (native(native_step("a"), owner="ana"), "workflow.owner", "unknown field"),
        ([], "", "must be an object, not a list"),
        ({"id": "x"}, "", "has neither 'workflow' (the native form) nor 'workflow_id' (the simple form)"),
    ],
)
def test_a_wrong_push_is_refused_by_its_path(document: Any, path: str, message: str) -> None:
    assert message == errors_of(document)[path]


def test_other_keys_of_a_push_are_kept_as_extra_information() -> None:
    git = {"sha": "abc", "timestamp": 5, "uncommitted_changes": False}
    pushed = push({**native(native_step("a")), "source": "ui", "manifest": {"a": 1}, "git_info": git})

    assert {"source": "ui", "manifest": {"a": 1}} == pushed.extra
    assert git == pushed.git_info
    assert pushed.is_active


def test_a_push_without_properties_keeps_those_there_are() -> None:
    assert push({"workflow": native(native_step("a"))["workflow"], "is_active": False}).properties is None


def test_the_paths_of_native_steps_name_their_wrappers() -> None:
    pushed = push(native(native_step("a"), native_foreach("f", native_step("b"))))

    assert "workflow.steps[1].foreach.steps[0].step" == pushed.step_paths["b"]
