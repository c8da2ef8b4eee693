"""In the text of a program only ``${name}`` is a reference: ``$name`` is the program's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.templates import Mention, escape_program, parse_template
from tests.unit.forms.documents import errors_of, native, native_step, push, simple, simple_foreach, step_named

#: The words that hold programs.
PROGRAMS = [("shell", "command"), ("shell", "script"), ("python", "source")]


def a_program(text: str, kind: str = "shell", word: str = "command", **fields: Any) -> dict[str, Any]:
    return {"id": "a", "type": kind, word: text, **fields}


def literal_of(text: str, kind: str = "shell", word: str = "command") -> str:
    """Return the literal that a program is stored as."""
    step = step_named(push(simple(a_program(text, kind, word), params={"n": 3})).workflow, "a")
    value: str = step.params[kind].value[word]["value"]
    return value


def seen_by_the_program(text: str) -> str:
    """Return what is run, each reference as ``<name>``."""
    parts = parse_template(escape_program(text))
    return "".join(f"<{part.text}>" if isinstance(part, Mention) else part for part in parts)


@pytest.mark.parametrize(("kind", "word"), PROGRAMS)
def test_a_bare_name_is_stored_escaped(kind: str, word: str) -> None:
    assert "echo $$HOME ${n}" == literal_of("echo $HOME ${n}", kind, word)


def test_other_words_are_literals_as_anywhere() -> None:
    document = simple(a_program("true", env={"A": "$n"}, cwd="$n"), params={"n": 3})
    members = step_named(push(document).workflow, "a").params["shell"].value

    assert ({"A": "$n"}, "$n") == (members["env"]["value"], members["cwd"]["value"])


def test_the_native_form_is_as_the_specification_says() -> None:
    value = {"command": {"type": "STRING", "value": "echo $HOME"}}
    document = native(native_step("a", type="shell", params={"shell": {"type": "MAP", "value": value}}))

    assert "echo $HOME" == step_named(push(document).workflow, "a").params["shell"].value["command"]["value"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo $HOME ${n}", "echo $HOME <n>"),
        ("awk '{print $1}' f | grep -v '^$' $(ls) $? $@", "awk '{print $1}' f | grep -v '^$' $(ls) $? $@"),
        ("echo $${HOME} $$HOME", "echo ${HOME} $HOME"),
        ("${x:-1} ${#x} ${x%.*}", "${x:-1} ${#x} ${x%.*}"),
        ("echo $$ > run.$$.pid", "echo $$ > run.$$.pid"),
        ("$$${n}", "$$<n>"),
        ("${a.output.rows} ${a__rows}", "<a.output.rows> <a__rows>"),
        ("$", "$"),
    ],
)
def test_what_a_program_sees(text: str, expected: str) -> None:
    """``$${`` is how to write ``${``; a shell's positional names, substitutions and process id are left alone."""
    assert expected == seen_by_the_program(text)


@given(st.text(st.sampled_from("$ax{}_1. "), max_size=30))
def test_without_braces_after_a_dollar_nothing_is_a_reference(text: str) -> None:
    without = text.replace("{", "(")

    assert not any(isinstance(part, Mention) for part in parse_template(escape_program(without)))


@pytest.mark.parametrize(("kind", "word"), PROGRAMS)
def test_an_unknown_name_in_braces_is_refused(kind: str, word: str) -> None:
    """It is likelier a variable of the program than a parameter given at the start; declaring one settles it."""
    refused = errors_of(simple(a_program("echo ${HOME}", kind, word)))

    assert {
        f"steps[0].{word}": "'HOME' names no parameter; write $${HOME} for a variable of the program itself"
    } == refused
    push(simple(a_program("echo ${HOME}", kind, word), params={"HOME": "x"}))


def test_an_unknown_name_is_told_with_what_was_probably_meant() -> None:
    errors = errors_of(simple(a_program("echo ${greting} $greting"), params={"greeting": "Hello"}))

    assert "'greting' names no parameter; did you mean 'greeting'?" in errors["steps[0].command"]


def test_an_output_that_nobody_has_is_refused_once() -> None:
    assert {"steps[0].command": "'b.output.o': there is no step 'b'"} == errors_of(simple(a_program("${b.output.o}")))
    assert "write ${a.output.rows}" in errors_of(simple(a_program("${a.rows}")))["steps[0].command"]


@pytest.mark.parametrize("name", ["item", "index", "loop_index", "RUN_TS", "workflow_id", "p", "own", "item.k", "day"])
def test_what_a_step_sees_may_stand_in_its_program(name: str) -> None:
    inner = a_program(f"echo ${{{name}}}", params={"own": 1})
    push(simple(simple_foreach("f", [{"day": 1}], inner), params={"p": 1}))


def test_the_keys_of_items_that_a_run_finds_are_not_known_before_it() -> None:
    """So a name that may be one of them is not refused; with literal items it is."""
    inner = a_program("echo ${month}")
    params = {"list": [{"month": 1}], "one": {"month": 1}}
    push(simple(simple_foreach("f", "${list}", inner), params=params))
    push(simple(simple_foreach("f", ["${one}"], inner), params=params))
    push(simple(simple_foreach("f", "${list}", simple_foreach("g", [1], inner)), params=params))

    assert ["steps[0].steps[0].command"] == list(errors_of(simple(simple_foreach("f", [{"day": 1}], inner))))


def test_many_unknown_names_are_refused_quickly() -> None:
    text = " ".join(f"${{n{number}}}" for number in range(100_000))

    assert 1 == len(errors_of(simple(a_program(text), params={f"p{number}": 1 for number in range(250)})))
