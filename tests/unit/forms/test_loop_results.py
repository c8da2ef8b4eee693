"""Results of loops at the door: what can never be collected is refused, with its place and what to write instead."""

from __future__ import annotations

import json
from typing import Any

import pytest

from maestro_py.model.errors import DefinitionInvalid
from maestro_py.model.forms import Push, read_push
from maestro_py.params import expression_names
from tests.unit.forms.documents import native, native_foreach, native_step, simple, simple_foreach, simple_step


def push(document: Any) -> Push:
    return read_push(json.dumps(document).encode(), user="ana", max_steps=50, names_of=expression_names)


def errors_of(document: Any) -> dict[str, str]:
    with pytest.raises(DefinitionInvalid) as caught:
        push(document)
    return {error.path: error.message for error in caught.value.errors}


def shell(id: str, **fields: Any) -> dict[str, Any]:  # noqa: A002  # as the form spells it
    return {"id": id, "type": "shell", "command": "true", **fields}


#: A loop of one step that a worker runs, which may report anything.
LOOP = simple_foreach("loop", [1, 2], shell("work", params={"list": [1], "n": 1}, outputs={"rows": "LONG", "m": "MAP"}))
#: A loop of two steps, one of which can report nothing, and a loop.
WIDE = simple_foreach(
    "wide",
    [1],
    simple_step("idle", params={"p": "${item}"}),
    shell("busy"),
    simple_foreach("inner", [1], shell("deep"), params={"q": 1}),
)


def reading(text: Any, **fields: Any) -> dict[str, Any]:
    """A definition whose last step reads *text* after both loops."""
    return simple(LOOP, WIDE, simple_step("next", "loop", "wide", params={"r": text}, **fields))


def asking(expression: str) -> Any:
    return {"type": "JSON", "expression": expression}


@pytest.mark.parametrize(
    "text",
    [
        "${loop.output.rows}",
        "${loop.work.output.rows}",
        "${loop.work.output.rows.0}",
        "${loop.output.anything}",
        "${loop__rows}",
        "all: ${loop.output.n}",
        "${wide.idle.output.p}",
        "${wide.inner.output.q}",
        "${wide.busy.output.x}",
        "${wide.output.step_id} ${wide.output.MAESTRO_STEP_STATUS} ${wide.output.loop_params.item}",
        asking("params.getFromForeach('loop', 'work', 'rows')[0]"),
        asking("loop__rows.length"),
        asking("params.getFromStep('loop', 'rows').length"),
        asking("params.getFromStep('loop.work', 'rows').length"),
        asking("params.getFromStep('wide', 'MAESTRO_STEP_STATUS')"),
        asking("String s = 'loop'; params.getFromForeach(s, s, s)"),
    ],
    ids=str,
)
def test_results_of_a_loop_before_may_be_read(text: Any) -> None:
    push(reading(text))


NO_STEP = "foreach 'loop' has no step 'wrok' of its own; did you mean 'work'?"
UNSERVED = "are not supported yet, so a call of it can give nothing"
NOT_SCALAR = "'list' of step 'work' is a list or a map; only scalars are collected"
WHICH = (
    "foreach 'wide' has no parameter 'x', and 3 steps; "
    "write ${wide.idle.output.x} or ${wide.busy.output.x} or ${wide.inner.output.x}"
)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("loop.wrok.output.rows", NO_STEP),
        ("loop.work.output.list", NOT_SCALAR),
        ("loop.output.list", NOT_SCALAR),
        ("loop.output.m", "'m' of step 'work' is a list or a map; only scalars are collected"),
        ("wide.output.x", WHICH),
        ("wide.idle.output.x", "step 'idle' has no parameter or output 'x'"),
        ("wide.inner.output.x", "step 'inner' has no parameter or output 'x'"),
        ("wide.deep.output.x", "foreach 'wide' has no step 'deep' of its own; 'deep' stands in 'inner'"),
        ("loop.work.rows", "is no parameter; write ${loop.work.output.rows}"),
        ("work.output.rows", "step 'work' runs inside a foreach; write ${loop.work.output.rows} for the list of all"),
        ("loup.work.output.rows", "there is no step 'loup.work'"),
    ],
)
def test_what_no_loop_before_can_give_is_refused(reference: str, message: str) -> None:
    errors = errors_of(reading(f"${{{reference}}}"))

    assert ["steps[2].params.r"] == list(errors)
    assert message in errors["steps[2].params.r"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("getFromForeach('loup', 'work', 'rows')", "there is no foreach 'loup'; did you mean 'loop'?"),
        ("getFromForeach('next', 'work', 'rows')", "there is no foreach 'next'"),
        ("getFromForeach('loop', 'wrok', 'rows')", NO_STEP),
        ("getFromForeach('loop', 'wrok', 'ro' + 'ws')", NO_STEP),
        ("getFromForeach('loop', 'work', 'list')", NOT_SCALAR),
        ("getFromForeach('wide', 'idle', 'x')", "step 'idle' has no parameter or output 'x'"),
        ("getFromStep('wide', 'x')", WHICH),
        ("getFromStep('loop.wrok', 'rows')", NO_STEP),
        (
            "getFromSubworkflow('a', 'b', 'c')",
            "subworkflow steps are not supported yet, so a call of it can give nothing",
        ),
        (
            "getFromSignalDependency('0', 'c')",
            "signal dependencies are not supported yet, so a call of it can give nothing",
        ),
    ],
)
def test_a_call_that_can_give_nothing_is_refused(call: str, message: str) -> None:
    function = call.partition("(")[0]

    assert {"steps[2].params.r.expression": f"params.{function}: {message}"} == errors_of(
        reading(asking(f"params.{call}"))
    )


def test_a_call_that_can_give_nothing_is_refused_wherever_an_expression_stands() -> None:
    bad = "params.getFromSubworkflow('a', 'b', 'c') == 1"
    step = native_step("a", params={"p": {"type": "MAP", "value": {"x": {"type": "BOOLEAN", "expression": bad}}}})
    step["step"]["transition"] = {"successors": {"f": bad}}
    loop = {"loop_params": {"type": "MAP", "value": {"i": {"type": "LONG_ARRAY", "expression": bad}}}}
    document = native(
        step, native_foreach("f", native_step("b"), params=loop), params={"w": {"type": "BOOLEAN", "expression": bad}}
    )

    assert {
        "workflow.params.w.expression",
        "workflow.steps[0].step.params.p.value.x.expression",
        "workflow.steps[0].step.transition.successors.f",
        "workflow.steps[1].foreach.params.loop_params.value.i.expression",
    } == errors_of(document).keys()


def test_a_loop_that_does_not_run_before_has_no_results_to_read() -> None:
    late = simple(simple_step("next", params={"r": "${loop.output.rows}"}), LOOP)
    call = asking("params.getFromForeach('loop', 'work', 'rows')")

    assert {
        "steps[0].params.r": "'loop.output.rows': step 'loop' does not run before 'next'; make it a dependency"
    } == errors_of(late)
    assert {
        "steps[0].params.r.expression": (
            "params.getFromForeach: step 'loop' does not run before 'next'; make it a dependency"
        )
    } == errors_of(simple(simple_step("next", params={"r": call}), LOOP))


def test_the_results_of_a_loop_are_complete_only_when_it_has_ended() -> None:
    inside = simple(
        simple_foreach("loop", [1], shell("work"), simple_step("b", "work", params={"r": "${loop.work.output.x}"}))
    )
    itself = simple(simple_foreach("loop", [1], shell("work"), params={"r": "${loop.work.output.x}"}))
    complete = "'loop.work.output.x': the results of foreach 'loop' are complete only when it has ended"

    assert {"steps[0].steps[1].params.r": complete} == errors_of(inside)
    assert {"steps[0].params.r": complete} == errors_of(itself)


def test_a_step_inside_another_loop_is_told_to_read_results_as_a_parameter_of_that_loop() -> None:
    def second(**params: Any) -> dict[str, Any]:
        body = simple_step("body", params={"r": params.pop("r")})
        return {**simple_foreach("second", [1], body, params=params), "dependencies": ["loop"]}

    hint = 'give \'second\' "params": {"all": "${loop.work.output.rows}"} and write ${all} here'
    errors = errors_of(simple(LOOP, second(r="${loop.output.rows}")))

    assert {
        "steps[1].steps[0].params.r": f"'loop.output.rows': results of foreach 'loop' are read beside it; {hint}"
    } == errors
    push(simple(LOOP, second(r="${all}", all="${loop.work.output.rows}")))


def test_the_items_and_the_condition_of_a_later_step_may_be_results() -> None:
    again = {**simple_foreach("again", "${loop.output.rows}", shell("body")), "dependencies": ["loop"]}
    when = simple_step("next", "loop", when="${loop.work.output.rows.0} > 1 && ${loop.output.rows}.length > 1")
    workflow = push(simple(LOOP, again, when)).workflow

    condition = workflow.steps[0].successors["next"]
    assert "params.getFromStep('loop.work', 'rows')[0] > 1 && loop__rows.length > 1" == condition


def test_a_condition_on_two_dependencies_is_judged_at_the_loop_whose_results_it_reads() -> None:
    both = simple_step("next", "first", "loop", when="${loop.work.output.rows.0} > 1")
    workflow = push(simple(simple_step("first"), LOOP, both)).workflow

    assert "false" == workflow.steps[0].successors["next"]
    assert "true" != workflow.steps[1].successors["next"]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (simple(LOOP, simple_step("next", "loop", timeout="${loop.output.rows}")), "steps[1].timeout"),
        (simple(LOOP, timeout="${loop.output.rows}"), "timeout"),
        (simple(LOOP, params={"p": "${loop.work.output.rows}"}), "params.p"),
        (simple(LOOP, params={"p": asking("params.getFromForeach('loop', 'work', 'rows')")}), "params.p.expression"),
        (simple(LOOP, shell("next", dependencies=["loop"], retries="${loop.output.rows}")), "steps[1].retries"),
    ],
)
def test_results_are_refused_where_no_step_has_run_or_only_parameters_are_seen(document: Any, path: str) -> None:
    assert path in errors_of(document)
