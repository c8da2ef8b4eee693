"""What a later issue brings is refused by its name and its path, and never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.forms.documents import (
    errors_of,
    native,
    native_foreach,
    native_step,
    push,
    simple,
    simple_foreach,
    simple_step,
)


def refusal(document: Any, path: str) -> str:
    errors = errors_of(document)
    assert [path] == list(errors)
    return errors[path]


@pytest.mark.parametrize("kind", ["while", "subworkflow", "template"])
def test_native_kinds_of_step(kind: str) -> None:
    document = native(native_step("a"), {kind: {"id": "w", "condition": "x < 3", "steps": []}})

    assert f"{kind} steps are not supported yet" == refusal(document, f"workflow.steps[1].{kind}")


@pytest.mark.parametrize("kind", ["while", "Subworkflow", "TEMPLATE"])
def test_simple_kinds_of_step(kind: str) -> None:
    message = refusal(simple({"id": "a", "type": kind}), "steps[0].type")

    assert f"{kind.lower()} steps are not supported yet" == message


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("signal_dependencies", [{"name": "s"}], "signal dependencies"),
        ("signal_outputs", [{"name": "s"}], "signal outputs"),
        ("sub_type", "x", "job templates (sub_type)"),
        ("sub_type_version", "x", "job templates (sub_type_version)"),
    ],
)
def test_fields_of_a_native_step(field: str, value: Any, what: str) -> None:
    message = refusal(native(native_step("a", **{field: value})), f"workflow.steps[0].step.{field}")

    assert f"{what} are not supported yet" == message


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("wait_for", ["s"], "signal dependencies (wait_for)"),
        ("signal_outputs", [{"name": "s"}], "signal outputs"),
        ("workflow", "child", "subworkflow steps (workflow)"),
        ("condition", "x < 3", "while steps (condition)"),
        ("sub_type", "x", "job templates (sub_type)"),
    ],
)
def test_fields_of_a_simple_step(field: str, value: Any, what: str) -> None:
    message = refusal(simple(simple_step("a", **{field: value})), f"steps[0].{field}")

    assert f"{what} are not supported yet" == message


@pytest.mark.parametrize("field", ["workflow", "condition"])
def test_a_simple_step_of_a_later_kind_needs_no_type_to_be_refused(field: str) -> None:
    assert "not supported yet" in refusal(simple({"id": "a", field: "x"}), f"steps[0].{field}")


def test_a_value_and_an_expression_are_one_too_many() -> None:
    both = {"type": "LONG", "value": 1, "expression": "1"}

    assert (
        "has both a value and an expression; give one"
        == errors_of(simple(simple_step("a"), params={"p": both}))["params.p"]
    )


def test_time_triggers() -> None:
    cron = {"type": "CRON", "cron": "0 8 * * *"}

    assert "time triggers are not supported yet" == refusal(
        native(native_step("a"), time_triggers=[cron]), "workflow.time_triggers"
    )
    assert "time triggers (type cron) are not supported yet" == refusal(
        simple(simple_step("a"), trigger={"type": "cron", "cron": "0 8 * * *"}), "trigger"
    )
    assert "time triggers (type interval) are not supported yet" == refusal(
        simple(simple_step("a"), triggers=[{"type": "interval", "every": "30s"}]), "triggers[0]"
    )


@pytest.mark.parametrize(
    ("trigger", "path", "what"),
    [
        ({"definitions": {"s": {}, "t": {}}}, ".definitions", "triggers that wait for several signals"),
        ({"definitions": {"s": {"join_keys": ["k"]}}}, ".definitions.s.join_keys", "join keys of signals"),
    ],
)
def test_signal_triggers(trigger: Any, path: str, what: str) -> None:
    message = refusal(native(native_step("a"), signal_triggers=[trigger]), f"workflow.signal_triggers[0]{path}")

    assert f"{what} are not supported yet" == message


def test_strict_ordering_of_iterations() -> None:
    foreach = native_foreach("f", native_step("a"), strict_ordering=True)
    message = "strict ordering of iterations is not supported yet"

    assert message == refusal(native(foreach), "workflow.steps[0].foreach.strict_ordering")
    assert message == refusal(
        simple(simple_foreach("f", [1], simple_step("a"), strict_ordering=True)), "steps[0].strict_ordering"
    )


def test_limits_on_the_concurrency_of_steps() -> None:
    message = "limits on the concurrency of steps are not supported yet"

    assert message == refusal(
        native(native_step("a"), instance_step_concurrency=5), "workflow.instance_step_concurrency"
    )
    document = native(native_step("a"))
    document["properties"]["step_concurrency"] = 20
    assert message == refusal(document, "properties.step_concurrency")
    assert message == refusal(simple(simple_step("a"), step_concurrency=5), "step_concurrency")


@pytest.mark.parametrize("rule", ["STRICT_SEQUENTIAL", "last_only", "SERIAL_LATEST_ONLY"])
def test_other_run_strategies(rule: str) -> None:
    message = f"the run strategy {rule.upper()} is not supported yet"

    assert message == refusal(simple(simple_step("a"), run_strategy=rule), "run_strategy")
    assert message == refusal(simple(simple_step("a"), run_strategy={"rule": rule}), "run_strategy.rule")


def test_what_is_refused_may_be_given_empty() -> None:
    push(simple(simple_step("a", wait_for=[]), instance_step_concurrency=None))
    push(native(native_step("a", signal_outputs=[]), time_triggers=[]))


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"state_expr": "x"}, "state_expr"),
        ({"params": {"state_expr": "x"}}, "params.state_expr"),
        ({"params": {"http": {"type": "MAP", "value": {"state_expr": "x"}}}}, "params.http.value.state_expr"),
    ],
)
def test_the_state_expression_of_an_http_step(fields: dict[str, Any], path: str) -> None:
    message = refusal(simple({"id": "a", "type": "http", **fields}), f"steps[0].{path}")

    assert "state expressions (state_expr) are not supported yet" == message


def test_the_state_expression_of_a_native_http_step() -> None:
    params = {"state_expr": {"type": "STRING", "value": "x"}}
    refusal(native(native_step("a", type="Http", params=params)), "workflow.steps[0].step.params.state_expr")
