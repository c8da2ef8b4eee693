"""Expressions at the door: what is not of the language, or reads what it cannot know, is named by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import Push, read_push, to_document
from maestro_py.params import expression_names
from tests.unit.forms.documents import native, native_foreach, native_step, simple, simple_step, step_named


def push(document: Any) -> Push:
    return read_push(json.dumps(document).encode(), user="ana", max_steps=50, names_of=expression_names)


def errors_of(document: Any) -> dict[str, str]:
    with pytest.raises(DefinitionInvalid) as caught:
        push(document)
    return {error.path: error.message for error in caught.value.errors}


def computed(expression: Any, kind: str = "LONG") -> dict[str, Any]:
    return {"type": kind, "expression": expression}


def edge(condition: Any, *, source: dict[str, Any] | None = None) -> dict[str, Any]:
    fields = {"transition": {"successors": {"b": condition}}, **(source or {})}
    return native(native_step("a", **fields), native_step("b"), params={"n": {"type": "LONG", "value": 1}})


def test_an_expression_may_stand_wherever_a_value_may() -> None:
    nested = {"type": "MAP", "value": {"i": computed("Util.intsBetween(0, n, 1)", "LONG_ARRAY")}}
    document = native(
        native_step("a", params={"p": computed("n + 1"), "m": {"type": "MAP", "value": {"x": computed("n")}}}),
        native_foreach("f", native_step("b"), params={"loop_params": nested}),
        native_foreach("g", native_step("c"), params={"loop_params": computed("new Map()", "MAP")}),
        params={"n": computed("1 + 1;")},
    )
    workflow = push(document).workflow

    assert "n + 1" == step_named(workflow, "a").params["p"].expression
    assert workflow == push({"properties": {"owner": "x"}, "workflow": to_document(workflow)}).workflow


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (native(native_step("a"), params={"p": computed("1 +")}), "workflow.params.p.expression"),
        (native(native_step("a", params={"p": computed("x++")})), "workflow.steps[0].step.params.p.expression"),
        (simple(simple_step("a", params={"p": computed("if (")})), "steps[0].params.p.expression"),
        (edge("n >"), "workflow.steps[0].step.transition.successors.b"),
        (simple(simple_step("a"), simple_step("b", "a", when="n >")), "steps[1].when"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(document: Any, path: str) -> None:
    errors = errors_of(document)

    assert [path] == list(errors)
    assert "^" in errors[path]


@pytest.mark.parametrize(
    ("params", "path", "message"),
    [
        ({"p": computed("missing + 1")}, "p.expression", "'missing' names no workflow parameter"),
        ({"count": computed("cuont + 1")}, "count.expression", "did you mean 'count'?"),
        ({"p": computed("sig__x")}, "p.expression", "'sig__x' names no workflow parameter"),
        ({"p": computed("q"), "q": computed("p")}, "p", "the parameters need one another: p -> q -> p"),
        ({"p": computed(3)}, "p.expression", "must be a text, not a number"),
        ({"p": computed("x" * 10_001)}, "p.expression", "10000 characters"),
    ],
)
def test_a_workflow_param_that_cannot_be_computed_is_refused(params: Any, path: str, message: str) -> None:
    errors = errors_of(native(native_step("a"), params=params))

    assert message in errors[f"workflow.params.{path}"]


def test_a_workflow_param_may_read_the_signal_that_starts_the_workflow() -> None:
    trigger: dict[str, Any] = {"definitions": {"sig": {}}}
    push(native(native_step("a"), params={"p": computed("sig__x")}, signal_triggers=[trigger]))
    push(simple(simple_step("a"), params={"p": "${sig__x}"}, trigger={"type": "signal", "signal_name": "sig"}))


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("z__rows", "there is no step 'z'"),
        ("c__rows", "step 'c' does not run before 'b'; make it a dependency"),
        ("b__rows", "a step cannot read its own outputs"),
    ],
)
def test_a_step_reads_only_what_ran_before_it(expression: str, why: str) -> None:
    steps = [native_step("a", "b"), native_step("b", params={"p": computed(expression)}), native_step("c")]

    assert why in errors_of(native(*steps))["workflow.steps[1].step.params.p.expression"]


@pytest.mark.parametrize("expression", ["a__rows + 1", "b__q", "n", "given_at_start", "RUN_DATE", "Math.max(n, 1)"])
def test_a_step_may_read_upstream_steps_its_own_params_and_what_a_start_may_give(expression: str) -> None:
    second = native_step("b", params={"p": computed(expression), "q": {"type": "LONG", "value": 1}})
    push(native(native_step("a", "b"), second, params={"n": {"type": "LONG", "value": 1}}))


def test_a_condition_may_read_the_outputs_of_its_own_step() -> None:
    push(edge("a__rows > n"))
    assert "there is no step 'z'" in errors_of(edge("z__rows > n"))["workflow.steps[0].step.transition.successors.b"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("nope > 1", "'nope' names no parameter; write a__nope for an output of step 'a'"),
        ("m > 1 && cuont == 1", "'cuont' names no parameter; did you mean 'count'?"),
        ("n > 1 && RUN_DAT == '1'", "'RUN_DAT' names no parameter; did you mean 'RUN_DATE'?"),
    ],
)
def test_a_condition_names_what_is_known(condition: str, message: str) -> None:
    source = simple_step("a", params={"m": 1, "count": 1})

    assert {"steps[1].when": message} == errors_of(
        simple(source, simple_step("b", "a", when=condition), params={"n": 1})
    )


@pytest.mark.parametrize(
    "condition",
    ["n > 1", "m > 1", "rows > 1", "status_code == 200", "step_attempt_id < 3", "x = n; x > 1", "RUN_DATE != ''"],
)
def test_a_condition_may_name_parameters_and_outputs_of_its_step(condition: str) -> None:
    source = {"type": "http", "params": {"m": computed("1")}, "outputs": ["rows"]}

    push(edge(condition, source=source))


def test_a_condition_in_a_loop_may_name_what_its_items_hold() -> None:
    inner = [simple_step("a"), simple_step("b", "a", when="month > 3 && index > 0")]
    loop = {"id": "f", "items": "${days}", "steps": inner}
    push(simple(loop, params={"days": [{"month": 1}]}))
    push(simple({**loop, "items": [{"month": 1}]}))

    assert ["steps[0].steps[1].when"] == list(errors_of(simple({**loop, "items": [{"day": 1}]})))


def test_when_names_what_is_known() -> None:
    document = simple(simple_step("a"), simple_step("b", "a", when="nope > 3"))

    assert {"steps[1].when": "'nope' names no parameter; write a__nope for an output of step 'a'"} == errors_of(
        document
    )


@pytest.mark.parametrize(
    ("condition", "kept"), [(True, "true"), ("TRUE;", "true"), (" false ", "false"), ("n > 1", "n > 1")]
)
def test_a_condition_is_kept_as_written_but_for_its_words(condition: Any, kept: str) -> None:
    assert {"b": kept} == step_named(push(edge(condition)).workflow, "a").successors


@pytest.mark.parametrize(("condition", "why"), [(1, "not a number"), ("", "may not be empty"), (["n"], "not a list")])
def test_a_condition_of_another_type_is_wrong(condition: Any, why: str) -> None:
    (message,) = errors_of(edge(condition)).values()

    assert why in message


# --- the simple form ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "expression"),
    [
        ("${a.output.rows} > 0", "a__rows > 0"),
        ("${a.output.stats.rows} > ${n}", "a__stats.get('rows') > n"),
        ("${a.output.ids.0} == 1", "a__ids[0] == 1"),
        ("${n} > 1 && '${n}' != \"${n}\"", "n > 1 && '${n}' != \"${n}\""),
        ("n > 1", "n > 1"),
    ],
)
def test_when_may_name_things_as_templates_do(when: str, expression: str) -> None:
    document = simple(simple_step("a"), simple_step("b", "a", when=when), params={"n": 1})

    assert {"b": expression} == step_named(push(document).workflow, "a").successors


def test_when_names_a_step_whose_id_is_no_word() -> None:
    document = simple(simple_step("my-step"), simple_step("b", "my-step", when="${my-step.output.rows} > 0"))

    assert {"b": "params.getFromStep('my-step', 'rows') > 0"} == step_named(
        push(document).workflow, "my-step"
    ).successors


def joined(when: str) -> dict[str, Any]:
    return simple(simple_step("a"), simple_step("b"), simple_step("c", "a", "b", when=when), params={"n": 1})


def test_when_is_judged_at_the_edge_of_the_one_step_that_it_reads() -> None:
    """Which of the dependencies completes first does not matter: a step waits for all of them."""
    workflow = push(joined("${b.output.rows} > 0")).workflow

    assert ({"c": "false"}, {"c": "b__rows > 0"}) == tuple(step_named(workflow, i).successors for i in "ab")


def test_when_that_reads_no_step_is_judged_at_every_edge() -> None:
    workflow = push(joined("n > 0")).workflow

    assert ({"c": "n > 0"}, {"c": "n > 0"}) == tuple(step_named(workflow, i).successors for i in "ab")


def test_when_cannot_read_several_dependencies_at_once() -> None:
    errors = errors_of(joined("a__rows > ${b.output.rows}"))

    assert "reads the outputs of a and b; put a step in between" in errors["steps[2].when"]
