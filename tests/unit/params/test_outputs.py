"""What a step may report, and what its parameters become by it (specification 4.6), and the laws of that."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Step
from maestro_py.model.errors import ParamError
from maestro_py.model.given_names import STEP_PARAMS
from maestro_py.model.literals import convert
from maestro_py.params import evaluate_step_params, merge_outputs
from maestro_py.testing.builders import a_param, a_step
from tests.unit.params.scopes import NOW_MS, Given, a


def merged(step: Step, reported: dict[str, Any], **params: Any) -> dict[str, Any]:
    """Return what *reported* makes of a step with these parameters besides its own."""
    definitions = {**step.params, **a_step(params=params).params}
    return merge_outputs(step, evaluate_step_params(definitions, Given(), NOW_MS), reported)


def a_map(values: dict[str, Any]) -> ParamDefinition:
    """Return the definition of a MAP with these members, plain or defined."""
    members = a_step(params=values).params
    return ParamDefinition(type=ParamType.MAP, value={name: msgspec.to_builtins(p) for name, p in members.items()})


def strict(type: str = "shell", **outputs: ParamType) -> Step:  # noqa: A002  # the word of the domain
    """Return a step that may report what it declares and nothing else, as in the native form."""
    return a_step(type=type, outputs=outputs)


@pytest.mark.parametrize(
    ("type_", "base", "reported", "becomes"),
    [
        pytest.param("STRING", "x", "y", "y", id="4.6 STRING"),
        pytest.param("STRING", "x", 12, "12", id="4.6 LONG to STRING"),
        pytest.param("STRING", "x", 1.5, "1.5", id="4.6 DOUBLE to STRING"),
        pytest.param("STRING", "x", True, "true", id="4.6 BOOLEAN to STRING"),
        pytest.param("LONG", 1, 7, 7, id="4.6 LONG"),
        pytest.param("LONG", 1, "12", 12, id="4.6 STRING to LONG"),
        pytest.param("LONG", 1, 3.0, 3, id="4.6 DOUBLE to LONG"),
        pytest.param("DOUBLE", 1.5, "2.5", 2.5, id="4.6 STRING to DOUBLE"),
        pytest.param("DOUBLE", 1.5, 2, 2, id="4.6 LONG to DOUBLE"),
        pytest.param("BOOLEAN", False, "true", True, id="4.6 STRING to BOOLEAN"),
        pytest.param("STRING_ARRAY", ["x"], [1, "y"], ["1", "y"], id="4.6 STRING_ARRAY"),
        pytest.param("LONG_ARRAY", [1], ["2", 3], [2, 3], id="4.6 LONG_ARRAY"),
        pytest.param("DOUBLE_ARRAY", [1.5], ["2.5"], [2.5], id="4.6 DOUBLE_ARRAY"),
        pytest.param("BOOLEAN_ARRAY", [True], ["false"], [False], id="4.6 BOOLEAN_ARRAY"),
        pytest.param("STRING_MAP", {"a": "1", "b": "2"}, {"b": 3}, {"a": "1", "b": "3"}, id="4.6 STRING_MAP merges"),
        pytest.param("JSON", [1, "x"], {"any": None}, {"any": None}, id="4.6 JSON takes anything"),
    ],
)  # fmt: skip
def test_an_output_is_cast_to_the_type_of_the_parameter(type_: str, base: Any, reported: Any, becomes: Any) -> None:
    assert {"p": becomes} == merged(strict(), {"p": reported}, p=a_param(base, ParamType(type_)))


@pytest.mark.parametrize(
    ("type_", "base", "reported", "message"),
    [
        ("LONG", 1, "many", "must be a whole number for type LONG"),
        ("LONG", 1, 1.5, "must be a whole number for type LONG"),
        ("LONG", 1, None, "must be a whole number for type LONG, not null"),
        ("LONG", 1, 2**63, "must fit in 64 bits"),
        ("STRING", "x", ["y"], "must be a text for type STRING, not a list"),
        ("BOOLEAN", True, "perhaps", "must be true or false"),
        ("LONG_ARRAY", [1], 1, "must be a list"),
        ("LONG_ARRAY", [1], [1, "x"], r"^outputs\.p\[1\]: must be a whole number"),
        ("STRING_MAP", {}, {"k": [1]}, r"^outputs\.p\.k: must be a text"),
        ("MAP", {}, 3, "must be an object for type MAP"),
    ],
)
def test_an_output_that_cannot_be_cast_is_refused_with_its_place(
    type_: str, base: Any, reported: Any, message: str
) -> None:
    with pytest.raises(ParamError, match=message):
        merged(strict(), {"p": reported}, p=a_param(base, ParamType(type_)))


@pytest.mark.parametrize("mode", [pytest.param(mode, id=f"4.2 output {mode}") for mode in ParamMode])
def test_an_output_changes_a_mutable_parameter_and_no_other(mode: ParamMode) -> None:
    if mode is ParamMode.MUTABLE:
        assert {"p": 2} == merged(strict(), {"p": 2}, p=a("LONG", 1, mode))
    else:
        with pytest.raises(ParamError, match=rf"^outputs\.p: Cannot modify param with mode \[{mode}\]"):
            merged(strict(), {"p": 2}, p=a("LONG", 1, mode))


def test_a_map_merges_key_by_key_and_keeps_the_types_of_its_members() -> None:
    base = a_map({"in": "x", "n": 1, "deep": a_map({"a": 1, "b": "two"})})

    becomes = merged(strict(), {"m": {"n": "5", "new": [1], "deep": {"b": 2}}}, m=base)

    assert {"m": {"in": "x", "n": 5, "new": [1], "deep": {"a": 1, "b": "2"}}} == becomes


def test_a_constant_member_of_a_map_is_not_changed() -> None:
    base = a_map({"n": a("LONG", 1, ParamMode.CONSTANT)})

    with pytest.raises(ParamError, match=r"^outputs\.m\.n: Cannot modify param with mode \[CONSTANT\]"):
        merged(strict(), {"m": {"n": 2}}, m=base)


def test_a_map_that_an_expression_gave_is_replaced() -> None:
    base = ParamDefinition(type=ParamType.MAP, expression="m = new Map(); m.put('a', 1); m")

    assert {"m": {"b": 2}} == merged(strict(), {"m": {"b": 2}}, m=base)


def test_what_is_not_defined_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ParamError) as refused:
        merged(strict(), {"row_count": 3}, rows_count=1)

    assert "outputs.row_count" == refused.value.path
    assert (
        "Invalid output parameter [row_count], not defined in params; did you mean 'rows_count'?"
        == refused.value.message
    )


def test_a_step_of_the_simple_form_reports_what_it_likes() -> None:
    assert {"anything": [None, {"x": 1}]} == merged(a_step(), {"anything": [None, {"x": 1}]})


def test_a_declared_output_need_not_be_a_parameter_and_is_cast_to_its_type() -> None:
    assert {"rows": 12} == merged(strict(rows=ParamType.LONG), {"rows": "12"})
    with pytest.raises(ParamError, match=r"^outputs\.rows: must be a whole number"):
        merged(strict(rows=ParamType.LONG), {"rows": "some"})


@pytest.mark.parametrize(
    ("type_", "reported"),
    [
        pytest.param("http", {"status_code": 200, "response_body": "ok"}, id="2.5 http"),
        pytest.param("sql", {"row_count": 1, "columns": ["n"], "rows": [{"n": 1}], "truncated": False}, id="sql"),
        pytest.param("python", {"result": None}, id="python"),
    ],
)
def test_the_outputs_of_a_type_itself_need_no_declaration(type_: str, reported: dict[str, Any]) -> None:
    assert reported == merged(strict(type_), reported)


@pytest.mark.parametrize("name", STEP_PARAMS, ids=lambda name: f"4.5 {name}")
def test_a_parameter_of_the_service_is_no_output(name: str) -> None:
    with pytest.raises(ParamError, match=r"Cannot modify param with system mode \[RESERVED\]"):
        merged(a_step(), {name: 1})


# --- laws --------------------------------------------------------------------------------------------------------

_SCALAR: Final = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(allow_nan=False), st.text(max_size=4)
)
_VALUE: Final = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
_LITERALS: Final = {
    ParamType.STRING: st.text("xyz", max_size=3),
    ParamType.LONG: st.integers(-9, 9),
    ParamType.DOUBLE: st.floats(-9, 9),
    ParamType.BOOLEAN: st.booleans(),
    ParamType.STRING_ARRAY: st.lists(st.text("xyz", max_size=3), max_size=2),
    ParamType.LONG_ARRAY: st.lists(st.integers(-9, 9), max_size=2),
    ParamType.STRING_MAP: st.dictionaries(st.sampled_from("abc"), st.text("xyz", max_size=3), max_size=3),
}


def _definitions(depth: int = 2) -> st.SearchStrategy[ParamDefinition]:
    literals = [
        st.builds(ParamDefinition, type=st.just(kind), value=value, mode=st.sampled_from(ParamMode))
        for kind, value in _LITERALS.items()
    ]
    if depth:
        inner = st.dictionaries(st.sampled_from("abc"), _definitions(depth - 1), max_size=3)
        maps = inner.map(lambda named: {name: msgspec.to_builtins(param) for name, param in named.items()})
        mode = st.sampled_from([ParamMode.MUTABLE, ParamMode.CONSTANT])
        literals.append(st.builds(ParamDefinition, type=st.just(ParamType.MAP), value=maps, mode=mode))
    return st.one_of(literals)


def _constants(definition: ParamDefinition | dict[str, Any], result: Any, way: tuple[str, ...] = ()) -> Any:
    """Yield the place and the value of everything in *result* that may not change."""
    param = msgspec.convert(definition, ParamDefinition) if isinstance(definition, dict) else definition
    if param.mode is not ParamMode.MUTABLE:
        yield way, result
    elif param.type is ParamType.MAP and isinstance(param.value, dict):
        for name, inner in param.value.items():
            yield from _constants(inner, result[name], (*way, name))


def _at(value: Any, way: tuple[str, ...]) -> Any:
    for name in way:
        value = value[name]
    return value


_PARAMS: Final = st.dictionaries(st.sampled_from("abc"), _definitions(), max_size=3)
_REPORTED: Final = st.dictionaries(st.sampled_from("abcd"), _VALUE, max_size=3)


@given(_PARAMS, _REPORTED, st.booleans())
def test_whatever_is_reported_the_rule_takes_it_as_it_says_or_refuses_it(
    definitions: dict[str, ParamDefinition], reported: dict[str, Any], is_strict: bool
) -> None:
    """Every result fits its type; what is not MUTABLE never changes; nothing undeclared passes in the native form."""
    params = evaluate_step_params(definitions, Given(), NOW_MS)
    before = msgspec.to_builtins(params)
    step = strict() if is_strict else a_step()
    try:
        becomes = merge_outputs(step, params, reported)
    except ParamError as exc:
        assert exc.path.startswith("outputs."), exc  # noqa: PT017  # which way it goes is for hypothesis to find
        return
    finally:
        assert before == msgspec.to_builtins(params), "the parameters themselves are left alone"
    assert reported.keys() == becomes.keys()
    assert not is_strict or reported.keys() <= definitions.keys()
    for name, value in becomes.items():
        if name not in definitions:
            assert value == reported[name]
            continue
        assert value == convert(definitions[name].type, value), "it fits without a cast"
        constant = list(_constants(definitions[name], params[name].evaluated_result))
        assert all(_at(value, way) == kept for way, kept in constant)


@given(_PARAMS, _REPORTED)
def test_laying_a_result_over_once_more_changes_nothing(
    definitions: dict[str, ParamDefinition], reported: dict[str, Any]
) -> None:
    """The engine applies the rule to a report, and again when it loads the run."""
    params = evaluate_step_params(definitions, Given(), NOW_MS)
    try:
        becomes = merge_outputs(a_step(), params, reported)
    except ParamError:
        return

    assert becomes == merge_outputs(a_step(), params, reported)
    constant_free = not any(
        list(_constants(definitions[name], value)) for name, value in becomes.items() if name in definitions
    )
    if constant_free:
        assert becomes == merge_outputs(a_step(), params, becomes)


@given(_PARAMS, _REPORTED)
def test_the_order_of_a_report_does_not_matter(
    definitions: dict[str, ParamDefinition], reported: dict[str, Any]
) -> None:
    params = evaluate_step_params(definitions, Given(), NOW_MS)
    backwards = dict(reversed(reported.items()))
    try:
        becomes = merge_outputs(a_step(), params, reported)
    except ParamError:
        with pytest.raises(ParamError):
            merge_outputs(a_step(), params, backwards)
    else:
        assert becomes == merge_outputs(a_step(), params, backwards)
