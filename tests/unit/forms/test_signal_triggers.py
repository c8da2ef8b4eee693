"""What signal triggers compute is read in either form, and checked as far as it can be (specification 8.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import read_push, to_document
from maestro_py.params import expression_names
from tests.unit.forms.documents import errors_of, native, native_step, push, simple, simple_step

DAY = {"type": "STRING", "expression": "params.getFromSignal('s', 'day')"}


def a_native(**trigger: Any) -> dict[str, Any]:
    return native(native_step("a"), signal_triggers=[{"definitions": {"s": {}}, **trigger}])


def a_simple(**trigger: Any) -> dict[str, Any]:
    return simple(simple_step("a"), trigger={"type": "signal", "signal_name": "s", **trigger})


def refused(document: Any) -> dict[str, str]:
    """Return the errors of a push whose expressions are read, too."""
    with pytest.raises(DefinitionInvalid) as caught:
        read_push(json.dumps(document).encode(), user=None, max_steps=100, names_of=expression_names)
    return {error.path: error.message for error in caught.value.errors}


def test_a_native_trigger_keeps_its_parameters_condition_and_dedup_expr() -> None:
    trigger = {"params": {"day": DAY}, "condition": "day > '2024'", "dedup_expr": "day"}

    assert ({"definitions": {"s": {}}, **trigger},) == push(a_native(**trigger)).workflow.signal_triggers


def test_the_simple_form_has_plain_values_and_references() -> None:
    trigger = {"params": {"day": "${s.output.day}", "n": 3}, "condition": "${s.output.n} > ${n}", "dedup": "${day}"}

    assert (
        {
            "definitions": {"s": {}},
            "params": {"day": {"type": "JSON", "value": "${s.output.day}"}, "n": {"type": "LONG", "value": 3}},
            "condition": "s__n > n",
            "dedup_expr": "day",
        },
    ) == push(a_simple(**trigger)).workflow.signal_triggers


def test_what_is_not_said_is_no_part_of_the_trigger() -> None:
    """Its identity is what it says: an unchanged trigger keeps its cursor."""
    assert ({"definitions": {"s": {}}},) == push(a_native(params={}, condition=None)).workflow.signal_triggers


def test_read_again_a_definition_has_the_same_triggers() -> None:
    trigger = {"params": {"day": {**DAY, "note": "kept"}}, "condition": "true", "dedup_expr": "day"}
    workflow = push(a_native(**trigger)).workflow
    document = to_document(workflow)

    assert {"definitions": {"s": {}}, **trigger} == document["signal_triggers"][0]
    assert workflow.signal_triggers == push({"workflow": document}).workflow.signal_triggers


@pytest.mark.parametrize(
    ("trigger", "path", "message"),
    [
        ({"condition": 5}, "condition", "must be an expression, not a number"),
        ({"condition": " "}, "condition", "may not be empty; leave it out"),
        ({"dedup_expr": ["x"]}, "dedup_expr", "must be an expression, not a list"),
        ({"params": ["x"]}, "params", "must be an object of parameters by name, not a list"),
        ({"params": {"day": {"type": "DAY", "value": 1}}}, "params.day.type", "'DAY' is none of "),
        ({"params": {"s": DAY}}, "params.s", "'s' is the name of the signal; choose another"),
        ({"when": "x"}, "when", "is not a field"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(trigger: dict[str, Any], path: str, message: str) -> None:
    errors = errors_of(a_native(**trigger))

    assert [f"workflow.signal_triggers[0].{path}"] == list(errors)
    if path != "when":
        assert message in errors[f"workflow.signal_triggers[0].{path}"]


@pytest.mark.parametrize(
    ("trigger", "path", "message"),
    [
        ({"condition": "day >"}, "condition", "the expression ends too early (line 1, column 6)\n  day >\n       ^"),
        ({"dedup_expr": "a b"}, "dedup_expr", "there is no type a (line 1, column 1)\n  a b\n  ^"),
        ({"params": {"p": {"type": "LONG", "expression": "1 +"}}}, "params.p.expression", "(line 1, column 4)"),
        ({"condition": "days > 1", "params": {"day": DAY}}, "condition", "did you mean 'day'?"),
        (
            {"condition": "rows > 1"},
            "condition",
            "'rows' names no parameter of the trigger; a parameter of the signal is s__rows",
        ),
        (
            {"condition": "params.getFromSignal('t', 'rows') > 1"},
            "condition",
            "params.getFromSignal: the trigger does not wait for 't', but for s",
        ),
        ({"dedup_expr": "params.getFromStep('a', 'x')"}, "dedup_expr", "evaluated before any step runs"),
        (
            {"condition": "t__rows > 1"},
            "condition",
            "'t__rows' names no parameter of the trigger; a parameter of the signal is s__rows",
        ),
        (
            {"params": {"p": {"type": "STRING", "value": "${t.output.rows}"}}},
            "params.p.value",
            "'t.output.rows' names no parameter of the trigger; a parameter of the signal is s.output.rows",
        ),
        ({"params": {"p": {"type": "STRING", "value": "${RUN_TS}"}}}, "params.p.value", "'RUN_TS' names no parameter"),
    ],
)
def test_a_wrong_expression_shows_the_place(trigger: dict[str, Any], path: str, message: str) -> None:
    errors = refused(a_native(**trigger))

    assert message in errors[f"workflow.signal_triggers[0].{path}"]


def test_in_the_simple_form_the_paths_are_those_of_the_author() -> None:
    two = [{"type": "signal", "signal_name": "s"}, {"type": "signal", "signal_name": "t", "dedup": "1 +"}]

    assert {"trigger.condition"} == refused(a_simple(condition="1 +")).keys()
    assert {"triggers[1].dedup"} == refused(simple(simple_step("a"), triggers=two)).keys()


def test_a_signal_whose_name_is_no_word_is_spelled_as_the_language_has_it() -> None:
    trigger = {"definitions": {"db/t": {}}, "condition": "rows > 1"}
    errors = refused(native(native_step("a"), signal_triggers=[trigger]))

    assert "params.getFromSignal('db/t', 'rows')" in errors["workflow.signal_triggers[0].condition"]


def test_parameters_that_need_one_another_are_named() -> None:
    ring = {"a": {"type": "LONG", "expression": "b"}, "b": {"type": "LONG", "expression": "a"}}

    assert "the parameters need one another: a -> b -> a" in refused(a_native(params=ring)).values()


def test_the_workflow_may_read_what_the_signal_carries_but_not_before_it_is_declared() -> None:
    """A parameter of the trigger reaches the run like one that a start gives, so the workflow declares it."""
    document = a_native(params={"day": DAY})
    document["workflow"]["params"] = {"copy": {"type": "STRING", "value": "${day}"}}

    assert "'day' names no workflow parameter" in refused(document)["workflow.params.copy.value"]
    document["workflow"]["params"] = {"copy": {"type": "STRING", "value": "${s__day}"}}
    push(document)


def test_steps_edges_and_retries_may_use_what_the_trigger_gives() -> None:
    document = a_simple(params={"day": DAY, "often": 3})
    document["steps"] = [
        simple_step("a", params={"p": "${day}"}, retries="${often}"),
        simple_step("b", "a", when="day != '20241224'"),
    ]
    push(document)

    document["trigger"].pop("params")
    assert {"steps[0].retries", "steps[1].when"} == refused(document).keys()
