"""The parameters of a run: defaults, the definition, the start request, in this order (specification 4.2-4.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from maestro_py.model.definition import ParamDefinition, ParamMode, Workflow
from maestro_py.model.errors import DefinitionInvalid, ParamError
from maestro_py.params import Parameter, ParamSource, evaluate_workflow_params, parse_run_params
from maestro_py.params.run_params import FORBIDDEN_NAMES, MAX_RUN_PARAMS
from tests.unit.params.scopes import NOW_MS, a


def started(
    defined: Mapping[str, ParamDefinition], given: Any = None, system: Mapping[str, Any] | None = None
) -> dict[str, Parameter]:
    """Return the parameters of a run that is started with *given*."""
    workflow = Workflow(id="wf", steps=(), params=dict(defined))
    system = {"owner": "ana"} if system is None else system
    return evaluate_workflow_params(workflow, parse_run_params(given), system=system, now_ms=NOW_MS)


def results(*args: Any) -> dict[str, Any]:
    """Return the results without those of the service's own parameters."""
    own = ("RUN_TS", "owner", "workflow_id")
    return {name: param.evaluated_result for name, param in started(*args).items() if name not in own}


def error_of(*args: Any) -> ParamError:
    with pytest.raises(ParamError) as caught:
        started(*args)
    return caught.value


def test_every_run_knows_itself() -> None:
    params = started({})

    assert {"RUN_TS": NOW_MS, "workflow_id": "wf", "owner": "ana"} == {
        name: param.evaluated_result for name, param in params.items()
    }
    assert {ParamSource.SYSTEM_DEFAULT} == {param.source for param in params.values()}


def test_definitions_may_refer_to_what_every_run_knows() -> None:
    assert {"p": f"wf of ana at {NOW_MS}"} == results({"p": a("STRING", "$workflow_id of ${owner} at $RUN_TS")})


def test_a_value_of_the_service_is_no_template() -> None:
    params = started({"p": a("STRING", "$owner")}, None, {"owner": "a$b ${c}"})

    assert "a$b ${c}" == params["owner"].evaluated_result == params["p"].evaluated_result


def test_a_run_has_an_owner_only_if_the_workflow_has_one() -> None:
    assert "owner" not in started({}, None, {"owner": None})


def test_what_the_request_gives_wins_and_is_seen_by_what_refers_to_it() -> None:
    params = started({"n": a("LONG", 1), "text": a("STRING", "n is ${n}")}, {"n": {"type": "LONG", "value": 5}})

    assert ("n is 5", 5) == (params["text"].evaluated_result, params["n"].evaluated_result)
    assert (ParamSource.DEFINITION, ParamSource.LAUNCH) == (params["text"].source, params["n"].source)


def test_a_request_may_add_parameters() -> None:
    assert {"m": 5, "p": "5!"} == results({"p": a("STRING", "${m}!")}, {"m": 5})


@pytest.mark.parametrize(
    ("defined", "given", "result"),
    [
        (a("LONG", 1), "12", 12),
        (a("LONG", 1), {"type": "DOUBLE", "value": 3.0}, 3),
        (a("LONG", 1), "${other}", 7),
        (a("LONG", 1), "${other}0", 70),
        (a("DOUBLE", 0.5), "1.5", 1.5),
        (a("BOOLEAN", False), "true", True),
        (a("STRING", "x"), 12, "12"),
        (a("STRING", "x"), "${other}!", "7!"),
        (a("STRING_ARRAY", []), [1, 2], ["1", "2"]),
        (a("LONG_ARRAY", []), ["1", "${other}"], [1, 7]),
        (a("JSON", 1), {"k": [None]}, {"k": [None]}),
        (a("JSON", 1), {"type": "MAP", "value": {"k": {"type": "LONG", "value": 1}}}, {"k": 1}),
        (a("STRING_MAP", {"a": "1", "b": "2"}), {"b": "3", "c": "${other}"}, {"a": "1", "b": "3", "c": "7"}),
    ],
)
def test_a_value_is_cast_to_the_type_that_is_defined(defined: ParamDefinition, given: Any, result: Any) -> None:
    params = started({"p": defined, "other": a("LONG", 7)}, {"p": given})

    assert (result, type(result)) == (params["p"].evaluated_result, type(params["p"].evaluated_result))
    assert defined.type is params["p"].type


@pytest.mark.parametrize(
    ("defined", "given", "message"),
    [
        (a("LONG", 1), "many", "cannot be cast from STRING to LONG: must be a whole number for type LONG, not a text"),
        (a("LONG", 1), None, "cannot be cast from JSON to LONG: must be a whole number for type LONG, not null"),
        (a("STRING", ""), [1], "cannot be cast from LONG_ARRAY to STRING: must be a text for type STRING, not a list"),
        (a("MAP", {}), 3, "cannot be cast from LONG to MAP: must be an object for type MAP, not a number"),
    ],
)
def test_a_value_that_cannot_be_cast_is_refused(defined: ParamDefinition, given: Any, message: str) -> None:
    error = error_of({"p": defined}, {"p": given})

    assert ("run_params.p", message) == (error.path, error.message)


def test_maps_merge_key_by_key() -> None:
    defined = a(
        "MAP",
        {
            "url": {"type": "STRING", "value": "http://h"},
            "deep": {"type": "MAP", "value": {"n": {"type": "LONG", "value": 1}, "m": {"type": "LONG", "value": 2}}},
        },
    )
    typed = {"type": "MAP", "value": {"deep": {"type": "MAP", "value": {"n": {"type": "STRING", "value": "5"}}}}}

    assert {"url": "http://h", "deep": {"n": 5, "m": 2}} == results({"p": defined}, {"p": typed})["p"]
    assert {"url": "x", "deep": {"n": 1, "m": 2}, "new": [None]} == results(
        {"p": defined}, {"p": {"url": "x", "new": [None]}}
    )["p"]


def test_a_wrong_value_inside_a_map_names_its_path() -> None:
    defined = a("MAP", {"n": {"type": "LONG", "value": 1}})

    assert "run_params.p.n" == error_of({"p": defined}, {"p": {"n": "x"}}).path


@pytest.mark.parametrize("mode", [ParamMode.MUTABLE, ParamMode.MUTABLE_ON_START, ParamMode.MUTABLE_ON_START_RESTART])
def test_a_start_may_change_what_is_mutable_on_start(mode: ParamMode) -> None:
    params = started({"p": a("LONG", 1, mode)}, {"p": 2})

    assert (2, mode) == (params["p"].evaluated_result, params["p"].mode)


@pytest.mark.parametrize("mode", [ParamMode.IMMUTABLE, ParamMode.CONSTANT])
def test_a_start_may_not_change_what_is_not(mode: ParamMode) -> None:
    error = error_of({"p": a("LONG", 1, mode)}, {"p": 2})

    assert ("run_params.p", f"Cannot modify param with mode [{mode}]") == (error.path, error.message)


def test_a_start_may_make_a_mode_stricter_but_not_less_strict() -> None:
    given = {"type": "LONG", "value": 2, "mode": "MUTABLE_ON_START"}
    assert ParamMode.MUTABLE_ON_START is started({"p": a("LONG", 1)}, {"p": given})["p"].mode

    given = {"type": "LONG", "value": 2, "mode": "MUTABLE_ON_START_RESTART"}
    error = error_of({"p": a("LONG", 1, ParamMode.MUTABLE_ON_START)}, {"p": given})
    assert "less strict from [MUTABLE_ON_START] to [MUTABLE_ON_START_RESTART]" in error.message


@pytest.mark.parametrize("name", ["owner", "workflow_id"])
def test_nobody_changes_what_the_service_says(name: str) -> None:
    message = "Cannot modify param with system mode [RESERVED]"

    assert (f"params.{name}", message) == (
        (error := error_of({name: a("STRING", "x")})).path,
        error.message,
    )
    assert f"run_params.{name}" == error_of({}, {name: "x"}).path


def test_the_time_of_a_run_may_be_given() -> None:
    assert 5 == started({"RUN_TS": a("LONG", 5)})["RUN_TS"].evaluated_result
    params = started({}, {"RUN_TS": "6"})
    assert (6, ParamMode.MUTABLE_ON_START) == (params["RUN_TS"].evaluated_result, params["RUN_TS"].mode)
    assert 7 == started({}, None, {"RUN_TS": 7})["RUN_TS"].evaluated_result


def test_the_rest_of_a_definition_outlives_a_given_value() -> None:
    defined = ParamDefinition(type=a("LONG", 1).type, value=1, validator="@NotEmpty", tags=["t"], meta={"unit": "s"})
    param = started({"p": defined}, {"p": 2})["p"]

    assert ("@NotEmpty", ["t"], {"unit": "s"}) == (param.validator, param.tags, param.meta)


def test_an_unknown_reference_and_a_cycle_name_their_paths() -> None:
    assert "params.p" == error_of({"p": a("STRING", "$m")}).path
    assert "x -> y -> x" in error_of({"x": a("STRING", "$y"), "y": a("STRING", "$x")}).message
    assert "no upstream step 'a'" in error_of({"p": a("STRING", "${a.output.o}")}).message


def test_run_params_are_plain_values_or_definitions() -> None:
    assert {"n": a("LONG", 3), "s": a("STRING", "x"), "j": a("JSON", None), "d": a("DOUBLE", 3)} == parse_run_params(
        {"n": 3, "s": "x", "j": None, "d": {"type": "double", "value": 3}}
    )


def test_no_run_params_are_none() -> None:
    nothing: Any
    for nothing in (None, {}, []):
        assert {} == parse_run_params(nothing)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (3, "run_params"),
        ("a", "run_params"),
        ({"p": {"type": "LONG", "value": "x"}}, "run_params.p.value"),
        ({"p": {"type": "LONG", "expression": 1}}, "run_params.p.expression"),
        ({"p": {"type": "LONG", "expression": "1", "value": 1}}, "run_params.p"),
        ({"p": {"type": "LONG", "value": 1, "source": "LAUNCH"}}, "run_params.p.source"),
        ({"p": {"value": 1}}, "run_params.p"),
        ({"": 1}, 'run_params[""]'),
        ({f"p{i}": i for i in range(MAX_RUN_PARAMS + 1)}, "run_params"),
    ],
)
def test_wrong_run_params_are_refused_by_their_path(document: Any, path: str) -> None:
    with pytest.raises(DefinitionInvalid) as caught:
        parse_run_params(document)

    assert [path] == [error.path for error in caught.value.errors]


def test_reserved_names_are_refused_each() -> None:
    document = dict.fromkeys(FORBIDDEN_NAMES, 1) | {"fine": 1}
    with pytest.raises(DefinitionInvalid) as caught:
        parse_run_params(document)

    assert {f"run_params.{name}" for name in FORBIDDEN_NAMES} == {error.path for error in caught.value.errors}


def test_reserved_names_are_refused_again_where_runs_are_started() -> None:
    """The signal service and the scheduler start runs, too, and come through no door."""
    workflow = Workflow(id="wf", steps=())
    for given in ({"maestro": a("LONG", 1)}, {f"p{i}": a("LONG", i) for i in range(MAX_RUN_PARAMS + 1)}):
        with pytest.raises(ParamError):
            evaluate_workflow_params(workflow, given, system={}, now_ms=NOW_MS)
