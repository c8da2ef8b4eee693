"""How definitions are laid over one another: modes (specification 4.2), merges and casts (4.3), and their laws."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Workflow
from maestro_py.model.errors import ParamError
from maestro_py.params import ParamSource, evaluate_step_params, evaluate_workflow_params
from maestro_py.params.merge import merge
from tests.unit.params.scopes import NOW_MS, Given, a

MODES: Final = list(ParamMode)
#: Who changes, and the modes that they may change.
_START: Final = {ParamMode.MUTABLE, ParamMode.MUTABLE_ON_START, ParamMode.MUTABLE_ON_START_RESTART}
MAY_CHANGE: Final = {
    **dict.fromkeys(
        (
            *(ParamSource.DEFINITION, ParamSource.LAUNCH, ParamSource.SIGNAL, ParamSource.TIME_TRIGGER),
            *(ParamSource.FOREACH, ParamSource.WHILE, ParamSource.SUBWORKFLOW, ParamSource.TEMPLATE),
        ),
        _START,
    ),
    ParamSource.RESTART: {ParamMode.MUTABLE, ParamMode.MUTABLE_ON_START_RESTART},
    ParamSource.OUTPUT_PARAMETER: {ParamMode.MUTABLE},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by", MAY_CHANGE, ids=lambda by: f"4.2 {by}")
def test_who_may_change_which_mode(by: ParamSource, mode: ParamMode) -> None:
    base, over = a("LONG", 1, mode), a("LONG", 2)
    if mode in MAY_CHANGE[by]:
        merged = merge(base, over, "p", by)
        assert (2, mode) == (merged.value, merged.mode)
    else:
        with pytest.raises(ParamError, match=rf"Cannot modify param with mode \[{mode}\]"):
            merge(base, over, "p", by)


@pytest.mark.parametrize("new", MODES[1:])
@pytest.mark.parametrize("old", [mode for mode in MODES if mode in _START])
def test_a_mode_never_becomes_less_strict_4_2(old: ParamMode, new: ParamMode) -> None:
    base, over = a("LONG", 1, old), a("LONG", 2, new)
    if MODES.index(new) < MODES.index(old):
        with pytest.raises(ParamError, match="less strict"):
            merge(base, over, "p", ParamSource.LAUNCH)
        assert old is merge(base, over, "p", ParamSource.SUBWORKFLOW).mode, "a parent's is made stricter silently"
    else:
        assert new is merge(base, over, "p", ParamSource.LAUNCH).mode


def a_map(**values: Any) -> ParamDefinition:
    inner = {name: msgspec.to_builtins(value) for name, value in values.items()}
    return ParamDefinition(type=ParamType.MAP, value=inner)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        pytest.param(a("LONG", 1), a("LONG", 2), 2, id="4.3 the later one wins"),
        pytest.param(a("LONG_ARRAY", [1, 2]), a("LONG_ARRAY", [3]), [3], id="4.3 an array is replaced"),
        pytest.param(
            a("STRING_MAP", {"a": "1", "b": "2"}),
            a("STRING_MAP", {"b": "3", "c": "4"}),
            {"a": "1", "b": "3", "c": "4"},
            id="4.3 a STRING_MAP is merged by key",
        ),
        pytest.param(a("STRING", "x"), a("LONG", 12), "12", id="4.3 a LONG is cast to STRING"),
        pytest.param(a("LONG", 1), a("STRING", "12"), 12, id="4.3 a text of digits is cast to LONG"),
        pytest.param(a("DOUBLE", 1.5), a("LONG", 2), 2, id="4.3 a LONG is a DOUBLE"),
        pytest.param(a("STRING_ARRAY", ["x"]), a("LONG_ARRAY", [1]), ["1"], id="4.3 an array is cast by item"),
    ],
)
def test_merge(base: ParamDefinition, over: ParamDefinition, merged: Any) -> None:
    assert merged == merge(base, over, "p").value


def test_a_map_is_merged_key_by_key_4_3() -> None:
    base = a_map(x=a("LONG", 1), y=a_map(z=a("STRING", "old"), w=a("LONG", 5)))
    over = a_map(y=a_map(z=a("LONG", 7)), v=a("BOOLEAN", True))
    merged = merge(base, over, "p").value

    assert {"x", "y", "v"} == merged.keys()
    assert {"z": "7", "w": 5} == {name: inner["value"] for name, inner in merged["y"]["value"].items()}


def test_the_modes_of_the_values_of_a_map_count_4_3() -> None:
    with pytest.raises(ParamError) as caught:
        merge(a_map(x=a("LONG", 1, ParamMode.CONSTANT)), a_map(x=a("LONG", 2)), "run_params.m")

    assert "run_params.m.x" == caught.value.path


@pytest.mark.parametrize(
    ("base", "over"),
    [
        (a("LONG", 1), a("STRING", "x")),
        (a("BOOLEAN", True), a("LONG", 1)),
        (a("LONG", 1), a("LONG_ARRAY", [1])),
        (a("STRING_MAP", {}), a_map(x=ParamDefinition(type=ParamType.LONG, expression="1"))),
    ],
)
def test_what_cannot_be_cast_is_refused_4_3(base: ParamDefinition, over: ParamDefinition) -> None:
    with pytest.raises(ParamError, match="cast"):
        merge(base, over, "p")


#: A value of each type.
OF_TYPE: Final = {
    "STRING": "12",
    "LONG": 12,
    "DOUBLE": 1.5,
    "BOOLEAN": True,
    "STRING_ARRAY": ["12"],
    "LONG_ARRAY": [12],
    "DOUBLE_ARRAY": [1.5],
    "BOOLEAN_ARRAY": [True],
    "STRING_MAP": {"k": "12"},
    "MAP": {"k": {"type": "LONG", "value": 12}},
    "JSON": [None, {"x": 1}],
}
#: The types whose values above can be cast to each; a text that is no number could not, nor 1.5 to a LONG.
CAST_TO: Final = {
    "STRING": {"STRING", "LONG", "DOUBLE", "BOOLEAN"},
    "LONG": {"STRING", "LONG"},
    "DOUBLE": {"STRING", "LONG", "DOUBLE"},
    "BOOLEAN": {"BOOLEAN"},
    "STRING_ARRAY": {"STRING_ARRAY", "LONG_ARRAY", "DOUBLE_ARRAY", "BOOLEAN_ARRAY"},
    "LONG_ARRAY": {"STRING_ARRAY", "LONG_ARRAY"},
    "DOUBLE_ARRAY": {"STRING_ARRAY", "LONG_ARRAY", "DOUBLE_ARRAY"},
    "BOOLEAN_ARRAY": {"BOOLEAN_ARRAY"},
    "STRING_MAP": {"STRING_MAP", "MAP"},
    "MAP": {"STRING_MAP", "MAP"},
    "JSON": set(OF_TYPE),
}


@pytest.mark.parametrize("over", OF_TYPE)
@pytest.mark.parametrize("base", OF_TYPE, ids=lambda base: f"4.3 to {base}")
def test_each_type_is_cast_to_each_other_or_refused(base: str, over: str) -> None:
    def merged() -> ParamDefinition:
        return merge(a(base, OF_TYPE[base]), a(over, OF_TYPE[over]), "run_params.p")

    if over in CAST_TO[base]:
        assert base == merged().type
        assert evaluate_step_params({"p": merged()}, Given(), NOW_MS), "what was cast fits its type"
    else:
        with pytest.raises(ParamError, match="cannot be cast") as caught:
            merged()
        assert caught.value.path == "run_params.p"


def test_an_expression_replaces_a_value_and_keeps_the_type_4_3() -> None:
    computed = ParamDefinition(type=ParamType.STRING, expression="'4' + '2'")
    merged = merge(a("LONG", 1), computed, "p")

    assert (ParamType.LONG, "'4' + '2'", msgspec.UNSET) == (merged.type, merged.expression, merged.value)
    assert 42 == evaluate_step_params({"p": merged}, Given(), NOW_MS)["p"].evaluated_result


# --- laws --------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.integers(-5, 5).map(lambda value: a("LONG", value)),
    st.sampled_from(["", "x", "7"]).map(lambda value: a("STRING", value)),
)
texts = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"])).map(lambda value: a("STRING_MAP", value))
longs = st.integers(0, 3).map(lambda value: a("LONG", value))
flat = st.dictionaries(st.sampled_from("abc"), longs).map(lambda values: a_map(**values))
#: Keys that begin with m hold maps, so that what is merged is of one shape.
maps = st.builds(
    lambda values, inner: a_map(**values, **inner),
    st.dictionaries(st.sampled_from("abc"), longs),
    st.dictionaries(st.sampled_from(["m1", "m2"]), flat),
)


@given(st.one_of(st.tuples(maps, maps, maps), st.tuples(texts, texts, texts)))
def test_merging_maps_is_associative(
    layers: tuple[ParamDefinition, ParamDefinition, ParamDefinition],
) -> None:
    low, middle, high = layers

    assert merge(merge(low, middle, "p"), high, "p") == merge(low, merge(middle, high, "p"), "p")


@given(st.one_of(maps, texts, scalars))
def test_merging_with_itself_changes_nothing(definition: ParamDefinition) -> None:
    assert definition == merge(definition, definition, "p")


@given(scalars, scalars, st.sampled_from(list(MAY_CHANGE)))
def test_a_constant_never_changes(base: ParamDefinition, over: ParamDefinition, by: ParamSource) -> None:
    with pytest.raises(ParamError):
        merge(msgspec.structs.replace(base, mode=ParamMode.CONSTANT), over, "p", by)


@given(scalars, scalars)
def test_a_constant_of_a_definition_is_what_every_run_has(constant: ParamDefinition, over: ParamDefinition) -> None:
    definition = msgspec.structs.replace(constant, mode=ParamMode.CONSTANT)
    workflow = Workflow(id="wf", steps=(), params={"p": definition})
    with pytest.raises(ParamError):
        evaluate_workflow_params(workflow, {"p": over}, system={}, now_ms=0)

    assert definition.value == evaluate_workflow_params(workflow, {}, system={}, now_ms=0)["p"].evaluated_result


@given(scalars, scalars)
def test_the_type_is_the_one_that_was_there(base: ParamDefinition, over: ParamDefinition) -> None:
    try:
        merged = merge(base, over, "p")
    except ParamError:
        assume(False)

    assert base.type is merged.type


names = st.sampled_from(["a", "b", "c", "d"])
values = st.dictionaries(names, st.integers(0, 9))


@given(values, values, names)
def test_a_name_means_the_workflows_param_before_an_own_one_that_comes_later(
    workflow: dict[str, int], own: dict[str, int], name: str
) -> None:
    definitions = {"first": ParamDefinition(type=ParamType.LONG, expression=name)}
    definitions |= {key: a("LONG", value + 100) for key, value in own.items()}
    try:
        found = evaluate_step_params(definitions, Given(workflow), NOW_MS)["first"].evaluated_result
    except ParamError:
        assert name not in workflow
        assert name not in own
        return

    assert found == workflow.get(name, own.get(name, 0) + 100)


@given(values, names)
def test_a_parameter_of_one_step_is_nothing_to_another_but_by_the_name_of_its_step(
    other: dict[str, int], name: str
) -> None:
    """What is private to a step never leaks by its plain name."""
    scope = Given({}, {("other", key): value for key, value in other.items()})
    with pytest.raises(ParamError, match="names no parameter"):
        evaluate_step_params({"p": ParamDefinition(type=ParamType.LONG, expression=name)}, scope, NOW_MS)
    assume(name in other)
    asked = {"p": ParamDefinition(type=ParamType.LONG, expression=f"other__{name}")}

    assert other[name] == evaluate_step_params(asked, scope, NOW_MS)["p"].evaluated_result
