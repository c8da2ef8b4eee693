"""References are checked when a definition is pushed: whatever can never be known is a 400 with its path."""

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


def referring(reference: str, *dependencies: str, id: str = "x", **fields: Any) -> dict[str, Any]:  # noqa: A002
    return simple_step(id, *dependencies, params={"p": f"see ${{{reference}}}"}, **fields)


@pytest.mark.parametrize(
    "reference", ["a.output.o", "a.output.o.k.0", "a__o", "b.output.o", "under_.output.o", "under___o"]
)
def test_any_step_upstream_may_be_read(reference: str) -> None:
    push(simple(simple_step("a"), simple_step("under_", "a"), simple_step("b", "under_"), referring(reference, "b")))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nosuch.output.o", "there is no step 'nosuch'"),
        ("nosuch__o", "there is no step 'nosuch'"),
        ("prep.output.o", "there is no step 'prep'; did you mean 'prepare'?"),
        ("late.output.o", "step 'late' does not run before 'x'; make it a dependency"),
        ("x.output.o", "a step cannot read its own outputs"),
        ("f.inner", "is no parameter; write ${f.inner.output.name}"),
        (
            "inner.output.o",
            "step 'inner' runs inside a foreach; write ${f.inner.output.o} for the list of all iterations",
        ),
        ("prepare.rows", "is no parameter; write ${prepare.output.rows}"),
        ("prepare.output.", "is no parameter; write ${prepare.output.name}"),
    ],
)
def test_what_is_not_upstream_is_refused(reference: str, message: str) -> None:
    document = simple(
        simple_step("prepare"),
        simple_foreach("f", [1], simple_step("inner")),
        referring(reference, "prepare", "f"),
        simple_step("late", "x"),
    )
    separator = " " if message.startswith("is no") else ": "

    assert {"steps[2].params.p": f"'{reference}'{separator}{message}"} == errors_of(document)


def test_a_step_in_a_foreach_reads_what_is_upstream_of_the_foreach() -> None:
    inside = [simple_step("b"), referring("a.output.o", "b"), referring("b.output.o", "b", id="y")]
    push(simple(simple_step("a"), {**simple_foreach("f", [1], *inside), "dependencies": ["a"]}))


def test_a_step_in_a_foreach_reads_nothing_beside_the_foreach() -> None:
    document = simple(simple_step("a"), simple_foreach("f", [1], referring("a.output.o")))

    assert {
        "steps[1].steps[0].params.p": "'a.output.o': step 'a' does not run before the foreach around 'x'"
    } == errors_of(document)


def test_items_and_words_of_a_type_are_checked_too() -> None:
    document = simple(
        simple_foreach("f", "${z.output.o}", simple_step("a")),
        {"id": "b", "type": "shell", "command": "echo ${z.output.o}", "env": {"A": "${z__o}"}},
    )

    assert {"steps[0].items", "steps[1].command", "steps[1].env.A"} == errors_of(document).keys()


def test_every_level_of_a_native_parameter_is_checked() -> None:
    nested = {"type": "MAP", "value": {"url": {"type": "STRING", "value": "${z.output.o}", "note": "${z.output.o}"}}}
    params = {"http": nested, "l": {"type": "STRING_ARRAY", "value": ["a", "${y__o}"]}}

    assert {
        "workflow.steps[0].step.params.http.value.url.value",
        "workflow.steps[0].step.params.l.value[1]",
    } == errors_of(native(native_step("a", params=params))).keys()


def test_loop_arrays_of_a_native_foreach_read_upstream() -> None:
    loop = {"loop_params": {"type": "MAP", "value": {"i": {"type": "JSON", "value": "${a.output.list}"}}}}
    foreach = native_foreach("f", native_step("b"), params=loop)
    push(native(native_step("a", "f"), foreach))

    assert ["workflow.steps[1].foreach.params.loop_params.value.i.value"] == list(
        errors_of(native(native_step("a"), foreach))
    )


def test_a_parameter_may_look_like_an_output() -> None:
    push(simple(simple_foreach("f", [{"output": {"o": 1}}], referring("item.output.o"))))
    push(simple(referring("a__b"), params={"a__b": 1}))


@pytest.mark.parametrize("name", ["given_at_start", "some.path", "month", "RUN_TS"])
def test_a_name_that_may_be_given_at_the_start_is_not_refused(name: str) -> None:
    push(simple(referring(name)))


@pytest.mark.parametrize("text", ["${a b.output.o}", "x ${a.output.o[0]} y", "${.output.o}", "${a.output.o'}"])
def test_a_reference_that_would_stay_as_it_is_is_refused(text: str) -> None:
    document = simple(simple_step("a"), simple_step("b", "a", params={"p": text}))

    assert "is not written as ${step.output.name}" in errors_of(document)["steps[1].params.p"]


@pytest.mark.parametrize("text", ["$${nosuch.output.o}", "costs $5", "${x:-1}", "$(date)", "$", "${}"])
def test_what_is_no_reference_is_text(text: str) -> None:
    push(simple(simple_step("b", params={"p": text})))


def test_a_workflow_parameter_refers_to_workflow_parameters_only() -> None:
    params = {"n": 3, "ok": "${n} ${RUN_TS} ${owner} $workflow_id", "bad": "${m}", "out": ["${a.output.o}"]}

    assert {
        "params.bad": "'m' names no workflow parameter",
        "params.out[0]": "'a.output.o' names no workflow parameter",
    } == errors_of(simple(simple_step("a"), params=params))


def test_workflow_parameters_that_need_one_another_are_named() -> None:
    params = {"z": "${a}", "a": "${b.key}", "b": {"key": "${c}"}, "c": "$a"}

    assert {"params.a": "the parameters need one another: a -> b -> c -> a"} == errors_of(
        simple(simple_step("s"), params=params)
    )


def test_texts_beside_the_value_of_a_definition_are_no_literals() -> None:
    definition = {"type": "STRING", "value": "x", "validator": "${nosuch.output.o}", "note": "costs $money"}

    push(simple(simple_step("a", params={"p": definition}), params={"p": definition}))


@pytest.mark.parametrize("field", ["timeout", "retries"])
def test_timeouts_and_retries_see_workflow_parameters_only(field: str) -> None:
    push(simple(simple_step("a", **{field: "${n}"}), params={"n": 3}))

    document = simple(simple_step("a"), simple_step("b", "a", **{field: "${a.output.o}"}))
    only = "names no workflow parameter, and only those may be used here"
    assert {f"steps[1].{field}": f"'a.output.o' {only}"} == errors_of(document)
    document = simple(simple_step("a", params={"mine": 1}, **{field: "${mine}"}))
    assert {f"steps[0].{field}": f"'mine' {only}"} == errors_of(document)
    document = simple(simple_step("a", **{field: "${retires}"}), params={"retries": 1})
    assert {f"steps[0].{field}": f"'retires' {only}; did you mean 'retries'?"} == errors_of(document)


@pytest.mark.parametrize("field", ["error_retry_limit", "platform_retry_limit", "timeout_retry_limit"])
def test_each_value_of_a_retry_policy_is_checked(field: str) -> None:
    policy = {field: "${nope}", "backoff": {"error_retry_exponent": "$n"}}

    assert {f"steps[0].retries.{field}", "steps[0].retries.backoff.error_retry_exponent"} == errors_of(
        simple(simple_step("a", retries=policy))
    ).keys()


def test_what_a_foreach_loops_over_is_known_when_it_is_pushed() -> None:
    assert {"steps[0].items": "'nope' names no parameter"} == errors_of(
        simple(simple_foreach("f", "${nope}", simple_step("a")))
    )
    near = errors_of(simple(simple_foreach("f", ["x", "${segmnets}"], simple_step("a")), params={"segments": [1]}))
    assert {"steps[0].items[1]": "'segmnets' names no parameter; did you mean 'segments'?"} == near


def test_in_the_native_form_a_name_that_is_not_known_may_come_with_the_start() -> None:
    """Definitions are written for what their starts, or the workflows that call them, hand over."""
    loop = {"loop_params": {"type": "MAP", "value": {"i": {"type": "LONG_ARRAY", "value": "${days}"}}}}
    policy = {"error_retry_limit": "${tries}"}
    steps = [
        native_step("a", retry_policy=policy, timeout="${hours} hours", transition={"successors": {"f": "mode > 1"}}),
        native_foreach("f", native_step("b"), params=loop),
    ]

    push(native(*steps, timeout="${most} hours"))


def test_what_an_inner_foreach_loops_over_may_be_a_key_of_the_outer_items() -> None:
    inner = simple_foreach("g", "${parts}", simple_step("a"))

    push(simple(simple_foreach("f", "${days}", inner), params={"days": [{"parts": [1]}]}))
    push(simple(simple_foreach("f", [{"parts": [1]}], inner)))
    assert ["steps[0].steps[0].items"] == list(errors_of(simple(simple_foreach("f", [{"day": 1}], inner))))


@pytest.mark.parametrize(
    "name", ["workflow_instance_id", "step_instance_uuid", "step_attempt_id", "step_id", "maestro_step_satisfied"]
)
def test_the_parameters_that_the_service_gives_to_a_step_may_not_be_set(name: str) -> None:
    errors = errors_of(simple(simple_step("a", params={name: 1})))

    assert {f"steps[0].params.{name}": "Cannot modify param with system mode [RESERVED]"} == errors


def test_the_timeout_of_a_workflow_names_a_parameter() -> None:
    push(simple(simple_step("a"), timeout="${n} min", params={"n": 3}))

    assert {"timeout": "'m' names no workflow parameter"} == errors_of(simple(simple_step("a"), timeout="${m} min"))


def test_references_are_checked_beside_other_mistakes() -> None:
    document = simple(referring("nosuch.output.o"), simple_step("b", "b"), {"id": 3})

    assert {"steps[0].params.p", "steps", "steps[2].id", "steps[2].type"} == errors_of(document).keys()
