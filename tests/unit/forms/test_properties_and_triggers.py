"""Properties (specification 2.1) and signal triggers (8.3) at the door."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.model.definition import RunStrategy
from maestro_py.model.forms import Properties
from maestro_py.model.statuses import RunStrategyRule
from tests.unit.forms.documents import errors_of, native, native_step, push, simple, simple_step


def with_properties(**properties: Any) -> dict[str, Any]:
    return {**native(native_step("a")), "properties": properties}


def properties_of(**properties: Any) -> Properties:
    read = push(with_properties(**properties)).properties
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("written", "rule", "concurrency"),
    [
        ("sequential", RunStrategyRule.SEQUENTIAL, 1),
        ("FIRST_ONLY", RunStrategyRule.FIRST_ONLY, 1),
        ("parallel", RunStrategyRule.PARALLEL, 20),
        (10, RunStrategyRule.PARALLEL, 10),
        (1, RunStrategyRule.PARALLEL, 1),
        ({"rule": "parallel", "workflow_concurrency": 200}, RunStrategyRule.PARALLEL, 200),
        ({"rule": "SEQUENTIAL", "workflow_concurrency": 1}, RunStrategyRule.SEQUENTIAL, 1),
        ({"rule": "PARALLEL"}, RunStrategyRule.PARALLEL, 20),
    ],
)
def test_a_run_strategy_has_three_encodings(written: Any, rule: RunStrategyRule, concurrency: int) -> None:
    expected = RunStrategy(rule=rule, workflow_concurrency=concurrency)

    assert expected == properties_of(run_strategy=written).run_strategy


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ("fastest", "", "'fastest' is none of " + ", ".join(RunStrategyRule)),
        (0, "", "must be from 1 to 1000"),
        (1001, "", "must be from 1 to 1000"),
        (True, "", "must be a rule, a number, or an object with a rule, not a boolean"),
        ({"workflow_concurrency": 3}, ".rule", "is required"),
        ({"rule": "PARALLEL", "workflow_concurrency": 1001}, ".workflow_concurrency", "must be from 1 to 1000"),
        ({"rule": "PARALLEL", "limit": 3}, ".limit", "unknown field"),
        (
            {"rule": "FIRST_ONLY", "workflow_concurrency": 2},
            "",
            "only PARALLEL may have a workflow_concurrency above 1, not FIRST_ONLY",
        ),
    ],
)
def test_a_wrong_run_strategy_is_refused(written: Any, path: str, message: str) -> None:
    assert {f"properties.run_strategy{path}": message} == errors_of(with_properties(run_strategy=written))


def test_an_owner_is_a_name_or_an_object_with_one() -> None:
    assert Properties(owner="ana") == properties_of(owner="ana")
    assert Properties(owner="ana", owner_info={"team": "x"}) == properties_of(owner={"name": "ana", "team": "x"})


def test_what_is_not_given_is_told_from_what_is() -> None:
    assert Properties() == properties_of()
    assert Properties(signal_trigger_disabled=False, description="") == properties_of(
        signal_trigger_disabled=False, description=""
    )


def test_alerting_is_kept_as_data() -> None:
    alerting = {"emails": ["${owner}@x.com"], "tct": {"completed_by_hour": 6, "tz": "UTC"}}

    assert alerting == properties_of(alerting=alerting).alerting


@pytest.mark.parametrize(
    ("properties", "path", "message"),
    [
        (
            {"tags": ["x"]},
            "tags",
            "the tags of a workflow's properties are not pushed; add each by the tag endpoint",
        ),
        ({"owner": 3}, "owner", "must be a name, or an object with a name, not a number"),
        ({"alerting": "x"}, "alerting", "must be an object"),
        ({"alerting_disabled": "no"}, "alerting_disabled", "must be true or false"),
        ({"run_stategy": 3}, "run_stategy", "unknown field; did you mean 'run_strategy'?"),
    ],
)
def test_wrong_properties_are_refused_by_their_path(properties: dict[str, Any], path: str, message: str) -> None:
    assert {f"properties.{path}": message} == errors_of(with_properties(**properties))


def test_a_native_trigger_names_a_signal_and_what_its_parameters_must_be() -> None:
    match = {"day": {"value": 5, "operator": ">="}, "kind": {"value": "x"}}
    trigger = {"definitions": {"db/test/table 1": {"match_params": match}}, "params": {}}

    assert {
        "definitions": {
            "db/test/table 1": {
                "match_params": {"day": {"value": 5, "operator": ">="}, "kind": {"value": "x", "operator": "="}}
            }
        }
    } == push(native(native_step("a"), signal_triggers=[trigger])).workflow.signal_triggers[0]


def test_a_simple_trigger_may_match_by_plain_values() -> None:
    trigger = {"type": "SIGNAL", "signal_name": "s", "match_params": {"day": 5, "n": {"value": 1, "operator": "<"}}}
    workflow = push(simple(simple_step("a"), triggers=[trigger, {"type": "signal", "signal_name": "t"}])).workflow

    assert (
        {
            "definitions": {
                "s": {"match_params": {"day": {"value": 5, "operator": "="}, "n": {"value": 1, "operator": "<"}}}
            }
        },
        {"definitions": {"t": {}}},
    ) == workflow.signal_triggers


@pytest.mark.parametrize(
    ("trigger", "path", "message"),
    [
        ({"type": "signal"}, ".signal_name", "is required"),
        ({"signal_name": "s"}, ".type", "is required"),
        ({"type": "webhook"}, "", "the type of a trigger is signal, cron or interval, not 'webhook'"),
        ({"type": "signal", "signal_name": "s*"}, ".signal_name", "'s*' holds a character that a name may not have"),
        (
            {"type": "signal", "signal_name": "s", "match_params": {"a": [1]}},
            ".match_params.a.value",
            "a signal is matched by a text or a whole number, not by a list",
        ),
        (
            {"type": "signal", "signal_name": "s", "match_params": {"a": True}},
            ".match_params.a.value",
            "a signal is matched by a text or a whole number, not by a boolean",
        ),
        (
            {"type": "signal", "signal_name": "s", "match_params": {"a": {"value": 1, "operator": "!="}}},
            ".match_params.a.operator",
            "must be one of = > >= < <=",
        ),
        ({"type": "signal", "signal_name": "s", "every": 3}, ".every", "unknown field"),
    ],
)
def test_a_wrong_trigger_is_refused_by_its_path(trigger: Any, path: str, message: str) -> None:
    assert {f"trigger{path}": message} == errors_of(simple(simple_step("a"), trigger=trigger))
    assert {f"triggers[0]{path}": message} == errors_of(simple(simple_step("a"), triggers=[trigger]))


@pytest.mark.parametrize(
    ("trigger", "path", "message"),
    [
        (3, "", "must be an object, not a number"),
        ({}, ".definitions", "is required"),
        ({"definitions": {"s": 3}}, ".definitions.s", "must be an object, not a number"),
        (
            {"definitions": {"s": {"match_params": {"a": 5}}}},
            ".definitions.s.match_params.a",
            "must be an object, not a number",
        ),
        ({"definitions": {"s": {"match_params": {"a": {}}}}}, ".definitions.s.match_params.a.value", "is required"),
    ],
)
def test_a_wrong_native_trigger_is_refused_by_its_path(trigger: Any, path: str, message: str) -> None:
    errors = errors_of(native(native_step("a"), signal_triggers=[trigger]))

    assert {f"workflow.signal_triggers[0]{path}": message} == errors


def test_the_same_trigger_twice_is_refused() -> None:
    trigger = {"type": "signal", "signal_name": "s"}

    assert {"triggers[1]": "the same trigger stands twice"} == errors_of(
        simple(simple_step("a"), triggers=[trigger, trigger])
    )


def test_a_trigger_is_given_in_one_way() -> None:
    trigger = {"type": "signal", "signal_name": "s"}
    document = simple(simple_step("a"), trigger=trigger, triggers=[trigger])

    assert {"triggers": "give either trigger or triggers"} == errors_of(document)
