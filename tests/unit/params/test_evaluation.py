"""Interpolation and references (specification 4.4): what a name means, in which order, and what goes wrong."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType
from maestro_py.model.errors import ParamError
from maestro_py.params import (
    Parameter,
    ParamSource,
    decode_params,
    encode_params,
    evaluate_step_params,
    plain_values,
    render,
)
from maestro_py.params.interpolation import Interpolation
from tests.unit.params.scopes import NOTHING, NOW_MS, Given, a, evaluated

SCOPE = Given(
    {
        "n": 3,
        "d": 1.5,
        "yes": True,
        "s": "text",
        "list": [1, "b"],
        "map": {"k": {"deep": [7]}},
        "a.b": "dotted",
        "no": None,
    },
    {
        ("prep", "segments"): [{"m": 1}, {"m": 2}],
        ("prep", "x.y"): "whole",
        ("prep", "x"): {"y": "part"},
        ("a_", "b"): 1,
    },
)


def error_of(scope: Given = NOTHING, /, **definitions: ParamDefinition) -> ParamError:
    with pytest.raises(ParamError) as caught:
        evaluated(scope, **definitions)
    return caught.value


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("n=${n} $n $n.", "n=3 3 3."),
        ("${d} ${yes} ${s} ${no}", "1.5 true text null"),
        ("${list} ${map}", '[1,"b"] {"k":{"deep":[7]}}'),
        ("$${n} $$n $$ $", "${n} $n $ $"),
        ("$$${n}", "$3"),
        ("cost: $5, ${1x}, ${}, $(cmd), ${n", "cost: $5, ${1x}, ${}, $(cmd), ${n"),
        ("${a.b} ${map.k.deep.0} ${list.1}", "dotted 7 b"),
        ("${prep.output.segments.1.m} ${prep__segments.0.m}", "2 1"),
        ("${prep.output.x.y}", "whole"),
        ("${a___b}", "1"),
    ],
)
def test_a_text_has_its_references_filled_in(text: str, result: str) -> None:
    assert {"p": result} == evaluated(SCOPE, p=a("STRING", text))


def test_what_is_filled_in_is_not_read_again() -> None:
    assert {"p": "${n} $n"} == evaluated(Given({"t": "${n} $n"}), p=a("STRING", "${t}"))
    assert {"p": "${n}"} == evaluated(Given({"t": "${n}"}), p=a("JSON", "${t}"))


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("${n}", 3),
        ("${yes}", True),
        ("${no}", None),
        ("${map}", {"k": {"deep": [7]}}),
        ("${prep.output.segments}", [{"m": 1}, {"m": 2}]),
        ("${prep.output.segments.0}", {"m": 1}),
        ("n: ${n}", "n: 3"),
        ("${n}${n}", "33"),
        ("$n", "3"),
        ({"a": ["${n}", "x${n}", {"${s}": "${list}"}], "b": 5}, {"a": [3, "x3", {"text": [1, "b"]}], "b": 5}),
    ],
)
def test_json_that_is_one_reference_keeps_the_type_of_what_it_names(value: Any, result: Any) -> None:
    assert {"p": result} == evaluated(SCOPE, p=a("JSON", value))
    assert result == render(value, SCOPE, "p")


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("STRING", "${list}", '[1,"b"]'),
        ("STRING_ARRAY", ["${n}", "x$s"], ["3", "xtext"]),
        ("STRING_ARRAY", "${list}", ["1", "b"]),
        ("STRING_MAP", {"${s}": "${map}"}, {"text": '{"k":{"deep":[7]}}'}),
        ("LONG", "${n}", 3),
        ("LONG", "${n}0", 30),
        ("DOUBLE", "${n}", 3),
        ("BOOLEAN", "${yes}", True),
        ("LONG_ARRAY", "${map.k.deep}", [7]),
        ("LONG_ARRAY", ["${n}", 4], [3, 4]),
        ("LONG_ARRAY", [1, 2], [1, 2]),
        ("MAP", "${map}", {"k": {"deep": [7]}}),
    ],
)
def test_other_types_are_fitted_to_what_they_say(kind: str, value: Any, result: Any) -> None:
    assert {"p": result} == evaluated(SCOPE, p=a(kind, value))


def test_a_map_is_evaluated_value_by_value() -> None:
    inner = {
        "url": {"type": "STRING", "value": "http://${s}"},
        "deep": {"type": "MAP", "value": {"n": {"type": "JSON", "value": "${n}"}}},
    }

    assert {"http": {"url": "http://text", "deep": {"n": 3}}} == evaluated(SCOPE, http=a("MAP", inner))


@pytest.mark.parametrize(
    ("kind", "value", "path", "message"),
    [
        ("STRING", "${nosuch}", "params.p", "'nosuch' names no parameter"),
        ("JSON", {"k": ["x", "${nosuch}"]}, "params.p.k[1]", "'nosuch' names no parameter"),
        ("STRING_ARRAY", ["x", "$nosuch"], "params.p[1]", "'nosuch' names no parameter"),
        ("STRING_MAP", {"k": "$nosuch"}, "params.p.k", "'nosuch' names no parameter"),
        ("JSON", "${z.output.o}", "params.p", "'z.output.o' names nothing: no upstream step 'z' has an output 'o'"),
        ("JSON", "${prep__o}", "params.p", "'prep__o' names nothing: no upstream step 'prep' has an output 'o'"),
        ("JSON", "${map.k.x}", "params.p", "'map.k.x': there is no 'x' in that value"),
        ("JSON", "${list.2}", "params.p", "'list.2': there is no '2' in that value"),
        ("JSON", "${list.-1}", "params.p", "'list.-1': there is no '-1' in that value"),
        ("JSON", "${s.0}", "params.p", "'s.0': there is no '0' in that value"),
        ("JSON", "${prep.output.segments.x}", "params.p", "'prep.output.segments.x': there is no 'x' in that value"),
        ("LONG", "${s}", "params.p", "must be a whole number for type LONG, not a text"),
        ("LONG_ARRAY", "${list}", "params.p[1]", "must be a whole number for type LONG, not a text"),
        ("STRING_ARRAY", "${map}", "params.p", "must be a list for type STRING_ARRAY, not an object"),
        ("MAP", "${n}", "params.p", "must be an object for type MAP, not a number"),
        ("MAP", {"k": {"type": "STRING", "value": "$nosuch"}}, "params.p.k", "'nosuch' names no parameter"),
    ],
)
def test_what_cannot_be_evaluated_names_its_path(kind: str, value: Any, path: str, message: str) -> None:
    error = error_of(SCOPE, p=a(kind, value))

    assert (path, message) == (error.path, error.message)


def test_a_name_that_splits_into_two_known_steps_is_ambiguous() -> None:
    scope = Given(outputs={("a", "_b"): 1, ("a_", "b"): 2})

    assert "'a___b' may mean step 'a' or step 'a_'" in error_of(scope, p=a("JSON", "${a___b}")).message


def test_parameters_may_refer_to_later_ones() -> None:
    results = evaluated(x=a("STRING", "${y}!"), y=a("STRING", "${z}?"), z=a("LONG", 1))

    assert {"x": "1?!", "y": "1?", "z": 1} == results
    assert ["x", "y", "z"] == list(results)


def test_a_parameter_may_read_into_another() -> None:
    assert {"x": 5, "y": {"k": [5]}} == evaluated(x=a("JSON", "${y.k.0}"), y=a("JSON", {"k": [5]}))


def test_a_parameter_of_the_run_wins_over_one_that_is_not_yet_evaluated() -> None:
    scope = Given({"x": 1})

    assert {"x": "1 more"} == evaluated(scope, x=a("STRING", "$x more"))
    assert {"y": 1, "x": "own"} == evaluated(scope, y=a("JSON", "${x}"), x=a("STRING", "own"))
    assert {"x": "own", "y": "own"} == evaluated(scope, x=a("STRING", "own"), y=a("JSON", "${x}"))


@pytest.mark.parametrize(
    ("definitions", "path", "ring"),
    [
        ({"x": "$x"}, "params.x", "x -> x"),
        ({"x": "$y", "y": "$x"}, "params.x", "x -> y -> x"),
        ({"s": "$x", "x": "$y $z", "y": "", "z": "${y} ${x}"}, "params.x", "x -> z -> x"),
    ],
)
def test_a_cycle_names_its_parameters(definitions: dict[str, str], path: str, ring: str) -> None:
    error = error_of(NOTHING, **{name: a("STRING", value) for name, value in definitions.items()})

    assert (path, f"the parameters need one another: {ring}") == (error.path, error.message)


def test_a_chain_of_ten_thousand_parameters_is_evaluated() -> None:
    chain = {f"p{i}": a("JSON", f"${{p{i + 1}}}") for i in range(10_000)}

    assert 7 == evaluated(NOTHING, **chain, p10000=a("LONG", 7))["p0"]


def test_a_parameter_that_many_others_need_is_evaluated_once() -> None:
    text = " ".join(f"$p{i}" for i in range(2_000))
    results = evaluated(NOTHING, all=a("STRING", text), **{f"p{i}": a("LONG", i) for i in range(2_000)})

    assert results["all"].startswith("0 1 2 ")


@pytest.mark.parametrize("kind", ["STRING", "JSON"])
def test_results_that_multiply_are_refused_before_they_are_built(kind: str) -> None:
    doubling = {
        f"p{i}": a(kind, [f"${{p{i + 1}}}"] * 2 if kind == "JSON" else f"$p{i + 1}$p{i + 1}") for i in range(60)
    }

    assert "larger than 64 MB" in error_of(NOTHING, **doubling, p60=a("STRING", "x" * 1_000)).message


def test_a_large_value_may_be_used_as_often_as_it_fits() -> None:
    interpolation = Interpolation(lambda mention, path: ["x" * 96], size_limit=500)

    assert 5 == len(interpolation.render(["${l}"] * 5, "p"))
    with pytest.raises(ParamError):
        interpolation.render("${l}", "p")


def test_a_definition_without_a_value_has_no_result() -> None:
    error = error_of(p=ParamDefinition(type=ParamType.STRING))

    assert ("params.p", "has no value") == (error.path, error.message)


def test_no_definitions_give_no_parameters() -> None:
    assert {} == evaluate_step_params({}, NOTHING, NOW_MS)


def test_an_evaluated_parameter_tells_what_it_was() -> None:
    definition = ParamDefinition(
        type=ParamType.STRING, value="$n", mode=ParamMode.IMMUTABLE, validator="@NotEmpty", tags=["t"], meta={"k": 1}
    )
    params = evaluate_step_params({"p": definition, "q": a("JSON", None)}, Given({"n": 3}), NOW_MS)

    assert (
        Parameter(
            type=ParamType.STRING,
            value="$n",
            evaluated_result="3",
            evaluated_time=NOW_MS,
            mode=ParamMode.IMMUTABLE,
            source=ParamSource.DEFINITION,
            validator="@NotEmpty",
            tags=["t"],
            meta={"k": 1},
        )
        == params["p"]
    )
    assert params == decode_params(encode_params(params))
    assert {"p": "3", "q": None} == plain_values(params)


_NAMES = st.sampled_from(["x", "y", "z", "s"])
_TEXTS = st.lists(
    st.sampled_from(["$", "{", "}", "x", "${x}", "${y.k}", "${s.output.o}", "${s__o.0}", "$$", "$z", ".", "__"]),
    max_size=6,
).map("".join)
_LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_NAMES, _LITERALS, max_size=4), st.dictionaries(_NAMES, _LITERALS, max_size=3), _LITERALS)
def test_any_literals_are_evaluated_or_are_a_param_error(
    literals: dict[str, Any], params: dict[str, Any], output: Any
) -> None:
    scope = Given(params, {("s", "o"): output})
    definitions = {name: a("JSON", value) for name, value in literals.items()}

    with contextlib.suppress(ParamError):
        assert definitions.keys() == evaluate_step_params(definitions, scope, NOW_MS).keys()
    with contextlib.suppress(ParamError):
        render(literals, scope, "p")


@given(st.sampled_from(ParamType), _LITERALS, st.dictionaries(_NAMES, _LITERALS, max_size=3))
def test_a_literal_of_any_type_is_evaluated_or_is_a_param_error(
    kind: ParamType, value: Any, params: dict[str, Any]
) -> None:
    if kind is ParamType.MAP and isinstance(value, dict):
        value = {name: {"type": "JSON", "value": inner} for name, inner in value.items()}
    with contextlib.suppress(ParamError):
        evaluated(Given(params), p=ParamDefinition(type=kind, value=value))


@given(st.text(max_size=30))
def test_a_text_without_dollars_is_itself(text: str) -> None:
    plain = text.replace("$", "")

    assert plain == render(plain, NOTHING, "p")
    assert text == render(text.replace("$", "$$"), NOTHING, "p")
