"""The simple form: each word means what a reader guesses."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.model.definition import Backoff, ParamMode, ParamType, RetryPolicy, RunStrategy, Tag
from maestro_py.model.statuses import FailureMode, RunStrategyRule
from tests.unit.forms.documents import errors_of, push, simple, simple_foreach, simple_step, step_named


def only_step(**fields: Any) -> Any:
    return step_named(push(simple({"id": "a", "type": "NoOp", **fields}, params={"n": 1})).workflow, "a")


def members(step: Any, name: str) -> dict[str, tuple[str, Any]]:
    """Return the members of a MAP parameter: name to type and value."""
    return {key: (inner["type"], inner["value"]) for key, inner in step.params[name].value.items()}


def test_dependencies_become_edges_in_the_order_of_the_dependents() -> None:
    workflow = push(simple(simple_step("c", "a", "b"), simple_step("a"), simple_step("b", "a", when=False))).workflow

    assert {"c": "true", "b": "false"} == step_named(workflow, "a").successors
    assert {"c": "true"} == step_named(workflow, "b").successors


@pytest.mark.parametrize(
    ("written", "spelled"),
    [("noop", "NoOp"), ("SLEEP", "Sleep"), ("Http", "http"), ("Spark", "spark"), ("Acme.Flink", "Acme.Flink")],
)
def test_known_types_are_spelled_our_way_and_others_stay_as_written(written: str, spelled: str) -> None:
    assert spelled == only_step(type=written).type


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("text", ParamType.STRING),
        ("x is ${n}", ParamType.STRING),
        ("${n}", ParamType.JSON),
        (3, ParamType.LONG),
        (3.5, ParamType.DOUBLE),
        (True, ParamType.BOOLEAN),
        (None, ParamType.JSON),
        (["a", "b"], ParamType.STRING_ARRAY),
        (["a", "${n}"], ParamType.JSON),
        ([1, 2], ParamType.LONG_ARRAY),
        ([0.5, 1.5], ParamType.DOUBLE_ARRAY),
        ([True], ParamType.BOOLEAN_ARRAY),
        ([1, "a"], ParamType.JSON),
        ([1, 2.5], ParamType.JSON),
        ([], ParamType.JSON),
        ({"k": "v"}, ParamType.STRING_MAP),
        ({"k": "${n}"}, ParamType.JSON),
        ({"k": 1}, ParamType.JSON),
        ({}, ParamType.JSON),
        ([{"k": 1}], ParamType.JSON),
        ({"type": "circle", "radius": 2}, ParamType.JSON),
    ],
)
def test_a_plain_value_has_the_type_that_fits_it(value: Any, kind: ParamType) -> None:
    parameter = only_step(params={"p": value}).params["p"]

    assert (kind, value) == (parameter.type, parameter.value)


def test_a_full_definition_is_taken_as_it_is() -> None:
    document = {"type": "string", "value": "${n}", "mode": "constant", "unit": "days"}
    parameter = only_step(params={"p": document}).params["p"]

    assert (ParamType.STRING, "${n}", ParamMode.CONSTANT) == (parameter.type, parameter.value, parameter.mode)
    assert {"unit": "days"} == parameter.meta


def test_a_definition_without_a_type_is_not_mistaken_for_a_value() -> None:
    assert "has no type" in errors_of(simple(simple_step("a", params={"p": {"value": 3}})))["steps[0].params.p"]


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        (
            {"type": "python", "function": "m:f", "args": [1, "${n}"], "kwargs": {"a": "b"}},
            "python",
            {"function": ("STRING", "m:f"), "args": ("JSON", [1, "${n}"]), "kwargs": ("STRING_MAP", {"a": "b"})},
        ),
        (
            {"type": "shell", "command": "echo $HOME", "env": {"N": 1, "D": True, "X": "${n}"}},
            "shell",
            {"command": ("STRING", "echo $$HOME"), "env": ("STRING_MAP", {"N": "1", "D": "true", "X": "${n}"})},
        ),
        (
            {"type": "http", "url": "http://h", "body": {"a": 1}, "headers": {"A": "b"}},
            "http",
            {"url": ("STRING", "http://h"), "body": ("JSON", {"a": 1}), "headers": ("STRING_MAP", {"A": "b"})},
        ),
        (
            {"type": "kubernetes", "image": "i", "command": ["a", "b"], "cpu": 0.5, "memory": "1Gi", "gpu": 1},
            "kubernetes",
            {
                "image": ("STRING", "i"),
                "command": ("STRING_ARRAY", ["a", "b"]),
                "cpu": ("STRING", "0.5"),
                "memory": ("STRING", "1Gi"),
                "gpu": ("STRING", "1"),
            },
        ),
        (
            {"type": "docker", "image": "i", "command": "run", "args": "${list}"},
            "docker",
            {"image": ("STRING", "i"), "command": ("STRING", "run"), "args": ("STRING_ARRAY", "${list}")},
        ),
        (
            {"type": "sql", "connection": "c", "script": "s.sql", "parameters": {"a": 1}},
            "sql",
            {"connection": ("STRING", "c"), "script": ("STRING", "s.sql"), "parameters": ("JSON", {"a": 1})},
        ),
        (
            {"type": "sql", "url": "u", "sql": "select 1"},
            "sql",
            {"url": ("STRING", "u"), "sql": ("STRING", "select 1")},
        ),
        (
            {"type": "Acme.Flink", "image": "i", "args": [1]},
            "acme.flink",
            {"image": ("STRING", "i"), "args": ("STRING_ARRAY", ["1"])},
        ),
    ],
)
def test_words_of_a_type_are_members_of_its_parameter(
    fields: dict[str, Any], name: str, expected: dict[str, tuple[str, Any]]
) -> None:
    assert expected == members(only_step(**fields), name)


@pytest.mark.parametrize("value", [3, "${n}"])
def test_the_seconds_of_a_sleep_are_its_parameter(value: Any) -> None:
    parameter = only_step(type="sleep", seconds=value).params["sleep_seconds"]

    assert (ParamType.LONG, value) == (parameter.type, parameter.value)


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"type": "spark", "imag": "x"}, "steps[0].imag", "unknown field; did you mean 'image'?"),
        ({"type": "spark", "url": "x"}, "steps[0].url", "unknown field"),
        ({"dependecies": ["a"]}, "steps[0].dependecies", "unknown field; did you mean 'dependencies'?"),
        ({"image": "x"}, "steps[0].image", "unknown field"),
        ({"shorthand": {}}, "steps[0].shorthand", "unknown field"),
        ({"type": "sleep", "seconds": "soon"}, "steps[0].seconds", "must be a whole number for type LONG, not a text"),
        ({"type": "spark", "image": True}, "steps[0].image", "must be a text for type STRING, not a boolean"),
        ({"type": "shell", "env": {"A": []}}, "steps[0].env.A", "must be a text for type STRING, not a list"),
        ({"type": "docker", "args": ["a", {}]}, "steps[0].args[1]", "must be a text for type STRING, not an object"),
        ({"type": 3}, "steps[0].type", "must be a text"),
        ({"type": None}, "steps[0].type", "is required"),
        ({"concurrency": 3}, "steps[0].concurrency", "belongs to a foreach, which is a step with items"),
        ({"steps": [{"id": "b"}]}, "steps[0].steps", "belongs to a foreach, which is a step with items"),
        ({"when": False}, "steps[0].when", "is the condition of the edges from dependencies, and there are none"),
        ({"retries": -1}, "steps[0].retries", "must be from 0 to 99"),
        ({"retries": "many"}, "steps[0].retries", "'many' is neither a number nor a reference such as ${name}"),
        ({"retries": {"limit": 1}}, "steps[0].retries.limit", "unknown field"),
        ({"outputs": 3}, "steps[0].outputs", "must be an object of types by name, or a list of names"),
        ({"dependencies": "b"}, "steps[0].dependencies", "must be a list"),
        ({"params": [1]}, "steps[0].params", "must be an object of parameters by name, not a list"),
        (
            {"queue": "a b"},
            "steps[0].queue",
            ("'a b' must begin with a letter, digit or _ and hold only letters, digits, '.', '-' and '_'"),
        ),
    ],
)
def test_a_wrong_step_is_refused_by_its_path(fields: dict[str, Any], path: str, message: str) -> None:
    assert {path: message} == errors_of(simple({"id": "a", "type": "NoOp", **fields}))


def test_a_parameter_of_the_type_is_given_once() -> None:
    step = {"id": "a", "type": "spark", "image": "x", "params": {"spark": {"image": "y"}}}

    assert {"steps[0].params.spark": "is also given by image; give it once"} == errors_of(simple(step))


def test_retries_are_a_number_or_a_whole_policy() -> None:
    assert RetryPolicy(error_retry_limit=3) == only_step(retries=3).retry_policy
    assert RetryPolicy(error_retry_limit="${n}") == only_step(retries="${n}").retry_policy
    policy = {"platform_retry_limit": 1, "backoff": {"type": "fixed_backoff", "error_retry_backoff_in_secs": "5"}}
    backoff = Backoff(type="FIXED_BACKOFF", error_retry_backoff_in_secs=5)
    assert RetryPolicy(platform_retry_limit=1, backoff=backoff) == only_step(retries=policy).retry_policy


def test_a_step_has_the_fields_that_every_form_has() -> None:
    step = only_step(
        name="A",
        description="d",
        timeout="2 hours",
        failure_mode="ignore_failure",
        tags=["x"],
        queue="big",
        outputs=["o"],
    )

    assert ("A", "d", "2 hours", FailureMode.IGNORE_FAILURE) == (
        step.name,
        step.description,
        step.timeout,
        step.failure_mode,
    )
    assert ((Tag(name="x"),), "big", {"o": ParamType.JSON}) == (step.tags, step.queue, step.outputs)


def test_declared_outputs_may_have_types() -> None:
    step = only_step(outputs={"n": "long"})

    assert {"n": ParamType.LONG} == step.outputs
    assert step.undeclared_outputs, "others may be reported, too"


def test_null_and_empty_values_count_as_absent() -> None:
    absent: dict[str, Any] = {"params": {}, "tags": [], "timeout": None, "wait_for": [], "items": None, "image": None}

    assert only_step(type="spark") == only_step(type="spark", **absent)


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([], "JSON"),
        ([1, 2], "LONG_ARRAY"),
        (["a"], "STRING_ARRAY"),
        ([{"m": 1}], "JSON"),
        ("${list}", "JSON"),
    ],
)
def test_a_step_with_items_is_a_foreach_even_without_a_type(items: Any, kind: str) -> None:
    foreach = step_named(push(simple(simple_foreach("f", items, simple_step("a")), params={"list": [1]})).workflow, "f")

    assert foreach.is_foreach
    assert {"item": (kind, items)} == members(foreach, "loop_params")


def test_a_foreach_has_parameters_and_a_window_of_its_own() -> None:
    foreach = simple_foreach("f", [1], simple_step("a"), params={"p": 1}, concurrency=7, timeout=60)
    step = step_named(push(simple(foreach)).workflow, "f")

    assert (["loop_params", "p"], 7, 60) == (list(step.params), step.concurrency, step.timeout)


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"type": "spark"},
            "steps[0].type",
            "a step with items is a foreach, not 'spark': what runs for each item is in steps",
        ),
        (
            {"items": 3},
            "steps[0].items",
            "must be a list, or one reference to a list such as ${step.output.name}, not a number",
        ),
        (
            {"items": "a, b"},
            "steps[0].items",
            "must be a list, or one reference to a list such as ${step.output.name}, not 'a, b'",
        ),
        ({"steps": []}, "steps[0].steps", "is required for a foreach"),
        ({"concurrency": 0}, "steps[0].concurrency", "must be from 1 to 10000"),
        ({"concurrency": 10_001}, "steps[0].concurrency", "must be from 1 to 10000"),
        (
            {"retries": 3},
            "steps[0].retries",
            "belongs to the steps inside the foreach, which have retries of their own",
        ),
        ({"queue": "q"}, "steps[0].queue", "belongs to the steps inside the foreach, which have queue of their own"),
        ({"image": "x"}, "steps[0].image", "unknown field"),
        (
            {"params": {"loop_params": 1}},
            "steps[0].params.loop_params",
            "a foreach of the simple form loops over its items",
        ),
    ],
)
def test_a_wrong_foreach_is_refused_by_its_path(fields: dict[str, Any], path: str, message: str) -> None:
    assert {path: message} == errors_of(simple({**simple_foreach("f", [1], simple_step("a")), **fields}))


def test_a_foreach_that_says_so_needs_items() -> None:
    step = {"id": "f", "type": "foreach", "steps": [simple_step("a")]}

    assert {"steps[0].items": "is required for a foreach"} == errors_of(simple(step))


def test_a_foreach_in_a_foreach_has_an_item_of_its_own() -> None:
    inner = simple_foreach("g", "${item}", simple_step("a", params={"x": "${item}"}))

    assert ["f", "g", "a"] == [s.id for s in push(simple(simple_foreach("f", [[1]], inner))).workflow.all_steps()]


def test_a_workflow_has_the_fields_that_every_form_has() -> None:
    workflow = push(
        simple(
            simple_step("a"),
            name="W",
            description="",
            tags=[{"name": "t", "namespace": "platform", "team": "x"}],
            timeout=90,
            criticality="high",
            params={"n": 3},
        )
    ).workflow

    assert ("W", "", 90, "HIGH") == (workflow.name, workflow.description, workflow.timeout, workflow.criticality)
    assert (Tag(name="t", namespace="PLATFORM", attributes={"team": "x"}),) == workflow.tags
    assert 3 == workflow.params["n"].value


def test_properties_come_from_the_top_of_the_document() -> None:
    document = simple(simple_step("a"), owner="bo", run_strategy=5, alerting={"emails": ["x"]}, is_active=False)
    pushed = push(document, user="ana")

    assert pushed.properties is not None
    assert "bo" == pushed.properties.owner
    assert RunStrategy(rule=RunStrategyRule.PARALLEL, workflow_concurrency=5) == pushed.properties.run_strategy
    assert {"emails": ["x"]} == pushed.properties.alerting
    assert not pushed.is_active


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        (
            {"workflow_id": "maestro_x"},
            "workflow_id",
            "'maestro_x' may neither begin with 'maestro_' nor end with '_maestro'",
        ),
        (
            {"workflow_id": "x_MAESTRO"},
            "workflow_id",
            "'x_MAESTRO' may neither begin with 'maestro_' nor end with '_maestro'",
        ),
        ({"workflow_id": "x" * 129}, "workflow_id", "is longer than 128 characters"),
        (
            {"workflow_id": "a\n"},
            "workflow_id",
            ("'a\n' must begin with a letter, digit or _ and hold only letters, digits, '.', '-' and '_'"),
        ),
        ({"workflow_id": 7}, "workflow_id", "must be a text, not a number"),
        ({"workflow_id": None}, "workflow_id", "is required"),
        ({"steps": []}, "steps", "is required"),
        ({"steps": {"a": 1}}, "steps", "must be a list"),
        ({"steps": [3]}, "steps[0]", "must be an object, not a number"),
        ({"nmae": "x"}, "nmae", "unknown field; did you mean 'name'?"),
        ({"source": "x"}, "source", "unknown field"),
        ({"is_active": "yes"}, "is_active", "must be true or false"),
        ({"timeout": 0}, "timeout", "a duration must be positive"),
        (
            {"timeout": "1 m"},
            "timeout",
            "'1 m' is not a duration; write seconds, or for example '1 day 2 hours' or '30min'",
        ),
        ({"timeout": "121 days"}, "timeout", "a duration may not be longer than 120 days"),
        ({"timeout": 1.5}, "timeout", "must be seconds or a duration such as '2 hours', not a decimal number"),
        ({"criticality": "urgent"}, "criticality", "'urgent' is none of CRITICAL, HIGH, MEDIUM, LOW"),
        ({"tags": ["a", "a"]}, "tags[1]", "the tag 'a' stands twice"),
        ({"tags": "a"}, "tags", "must be a list, not a text"),
        ({"tags": [{"name": "a", "permit": 3}]}, "tags[0]", "the permit of a tag is read-only and may not be given"),
        ({"owner": {"team": "x"}}, "owner", "must be a text, not null"),
        ({"git_info": {"sha": 3}}, "git_info.sha", "must be a text"),
        ({"description": "x" * 16_385}, "description", "is longer than 16384 characters"),
        ({"name": "x" * 257}, "name", "is longer than 256 characters"),
        ({"params": {"": 1}}, 'params[""]', "a parameter's name has 1 to 256 characters"),
    ],
)
def test_a_wrong_workflow_is_refused_by_its_path(fields: dict[str, Any], path: str, message: str) -> None:
    assert {path: message} == errors_of({**simple(simple_step("a")), **fields})


@pytest.mark.parametrize("name", ["1a", "a__b", "maestro_a", "a b", "", "ä", "a" * 129])
def test_a_step_id_follows_the_rules(name: str) -> None:
    assert ["steps[0].id"] == list(errors_of(simple(simple_step(name))))


def test_every_wrong_field_is_found_at_once() -> None:
    document = simple(
        simple_step("a", "z", timeout="x", params={"p": "${y.output.o}"}),
        simple_foreach("f", 1, {"id": "g", "typ": "NoOp"}),
        simple_step("a"),
        tags=3,
    )

    assert {
        "tags",
        "steps[0].timeout",
        "steps[0].dependencies[0]",
        "steps[0].params.p",
        "steps[1].items",
        "steps[1].steps[0].type",
        "steps[1].steps[0].typ",
        "steps[2].id",
    } == errors_of(document).keys()
