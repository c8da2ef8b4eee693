"""Expressions of parameters: what they see, in which order, and what their results become (specification 4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_py.model.definition import ParamDefinition, ParamType, Workflow
from maestro_py.model.errors import OverBudget, ParamError
from maestro_py.params import (
    Budget,
    Facts,
    StepWork,
    answer,
    decode_answer,
    encode_work,
    evaluate_conditions,
    evaluate_step_params,
    evaluate_workflow_params,
    parse_run_params,
    start_facts,
    step_work,
    trial_start,
)
from maestro_py.params.elsewhere import edge_work, evaluate_start
from tests.unit.params.scopes import NOW_MS, Given, a

HEAVY = "long t = 0; for (int i = 0; i <= 100000; i += 1) { t += i; } t"
HEAVY_RESULT = 5_000_050_000


def e(expression: str, kind: str = "LONG") -> ParamDefinition:
    return ParamDefinition(type=ParamType(kind), expression=expression)


def evaluated(scope: Given | None = None, /, **definitions: ParamDefinition) -> dict[str, Any]:
    """Return the results of the parameters of a step "own"."""
    params = evaluate_step_params(definitions, scope or Given(), NOW_MS, step_id="own")
    return {name: param.evaluated_result for name, param in params.items()}


def error_of(scope: Given | None = None, /, **definitions: ParamDefinition) -> ParamError:
    with pytest.raises(ParamError) as caught:
        evaluated(scope, **definitions)
    return caught.value


def workflow(**params: ParamDefinition) -> Workflow:
    return Workflow(id="wf", steps=(), params=params)


def of_workflow(_given: dict[str, Any] | None = None, _facts: Facts | None = None, /, **params: ParamDefinition) -> Any:
    run_params = parse_run_params(_given)
    found = evaluate_workflow_params(
        workflow(**params), run_params, system={"owner": "ana"}, now_ms=NOW_MS, facts=_facts
    )
    return {name: param.evaluated_result for name, param in found.items()}


# --- 4.4: which name is meant ------------------------------------------------------------------------------

UPSTREAM = Given({"x": 10, "w": 1}, {("up", "x"): 70, ("up", "rows"): 7, ("a_", "b"): 5})


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        pytest.param("up__x", 70, id="4.4 (1) a parameter of an upstream step"),
        pytest.param("own__early", 1, id="4.4 (1) a parameter of the step itself"),
        pytest.param("own__late", 3, id="4.4 (1) of the step itself, not yet evaluated"),
        pytest.param("early", 1, id="4.4 (2) the step's own, already evaluated"),
        pytest.param("x", 10, id="4.4 (3) the workflow's, before an own one that is not evaluated"),
        pytest.param("late", 3, id="4.4 (4) the step's own, evaluated on demand"),
        pytest.param("a___b", 5, id="4.4 a step whose id ends in an underscore"),
        pytest.param("params.get('x')", 10, id="4.4 params are those of the workflow"),
        pytest.param("params['x'] + params.get('w')", 11, id="4.4 params by index"),
        pytest.param("params.containsKey('early') ? 1 : 0", 0, id="4.4 params are not those of the step"),
    ],
)
def test_lookup(expression: str, result: Any) -> None:
    found = evaluated(UPSTREAM, early=a("LONG", 1), p=e(expression), late=a("LONG", 3), x=a("LONG", 99))

    assert result == found["p"]


def test_a_step_param_hides_the_workflows_once_it_is_evaluated() -> None:
    assert {"x": 11, "y": 11} == evaluated(UPSTREAM, x=e("x + 1"), y=e("x"))


def test_a_reference_in_a_text_and_a_name_in_an_expression_mean_the_same() -> None:
    found = evaluated(UPSTREAM, p=e("up__rows", "STRING"), q=a("STRING", "${up__rows}"), r=a("STRING", "$up__rows"))

    assert {"p": "7", "q": "7", "r": "7"} == found


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("missing", "'missing' names no parameter (line 1, column 1)\n  missing\n  ^"),
        ("1 + down__rows", "'down__rows' names no parameter (line 1, column 5)"),
        ("w +", "^"),
        ("w / 0", "with w = 1"),
        ("throw 'enough: ' + w", "enough: 1"),
        ("params.getFromForeach('f', 'i', 'x')", "no completed foreach 'f' upstream has a step 'i'"),
        ("params.getFromSubworkflow('f', 'i', 'x')", "subworkflow steps are not supported yet"),
        ("params.getFromSignalDependency('0', 'x')", "not supported yet"),
        ("params.getFromInstance('nonsense')", "'nonsense' is none of"),
        ("params.getFromStep('nonsense')", "getFromStep"),
    ],
)
def test_an_error_shows_the_expression_the_place_and_the_values(expression: str, message: str) -> None:
    error = error_of(UPSTREAM, p=e(expression))

    assert "params.p" == error.path
    assert message in error.message


def test_parameters_that_need_one_another_are_named() -> None:
    error = error_of(p=e("q + 1"), q=a("STRING", "${r}"), r=e("p"))

    assert "the parameters need one another: p -> q -> r -> p" == error.message


def test_a_parameter_whose_name_is_computed_is_evaluated_first() -> None:
    found = of_workflow(p=e("params.get('n' + 'ext') + 1"), next=e("last * 2"), last=a("LONG", 4))

    assert 9 == found["p"]
    with pytest.raises(ParamError, match="p -> q -> p"):
        of_workflow(p=e("params.get('' + 'q')"), q=e("p"))


# --- 4.1: what a result becomes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expression", "result"),
    [
        pytest.param("STRING", "'a' + 1", "a1", id="4.1 STRING"),
        pytest.param("STRING", "1 + 1", "2", id="4.3 a LONG is cast to STRING"),
        pytest.param("LONG", "'12'", 12, id="4.3 a text of digits is cast to LONG"),
        pytest.param("LONG", "4.0", 4, id="4.3 a whole DOUBLE is cast to LONG"),
        pytest.param("DOUBLE", "1 / 4.0", 0.25, id="4.1 DOUBLE"),
        pytest.param("DOUBLE", "3", 3, id="4.1 DOUBLE of a LONG"),
        pytest.param("BOOLEAN", "1 < 2", True, id="4.1 BOOLEAN"),
        pytest.param("STRING_ARRAY", "'a,b'.split(',')", ["a", "b"], id="4.1 STRING_ARRAY"),
        pytest.param("LONG_ARRAY", "new long[]{1, 2};", [1, 2], id="4.1 LONG_ARRAY"),
        pytest.param("DOUBLE_ARRAY", "new double[]{1.5};", [1.5], id="4.1 DOUBLE_ARRAY"),
        pytest.param("BOOLEAN_ARRAY", "new boolean[]{true};", [True], id="4.1 BOOLEAN_ARRAY"),
        pytest.param("STRING_MAP", "Map m = new Map(); m.put('k', 'v'); return m;", {"k": "v"}, id="4.1 STRING_MAP"),
        pytest.param("MAP", "Map m = new Map(); m.put('k', 1); return m;", {"k": 1}, id="4.1 MAP"),
        pytest.param("JSON", "null", None, id="JSON may be null"),
    ],
)
def test_result(kind: str, expression: str, result: Any) -> None:
    assert {"p": result} == evaluated(p=e(expression, kind))


@pytest.mark.parametrize(
    ("kind", "expression", "message"),
    [
        ("LONG", "'x'", "must be a whole number"),
        ("LONG", "1.5", "must be a whole number"),
        ("LONG", "null", "gives null"),
        ("BOOLEAN", "1", "must be true or false"),
        ("LONG_ARRAY", "'a,b'.split(',')", "must be a whole number"),
        ("MAP", "1", "must be an object"),
        ("DOUBLE", "1.0 / 0", "not finite"),
        ("STRING", "new DateTime(0)", "cannot be the result"),
    ],
)
def test_a_result_that_does_not_fit_is_refused(kind: str, expression: str, message: str) -> None:
    assert message in error_of(p=e(expression, kind)).message


def test_the_values_of_a_map_may_be_computed() -> None:
    inner = {
        "a": {"type": "LONG", "expression": "w + 1"},
        "b": {"type": "MAP", "value": {"c": {"type": "STRING", "value": "${w}"}}},
    }

    assert {"a": 2, "b": {"c": "1"}} == evaluated(UPSTREAM, p=ParamDefinition(type=ParamType.MAP, value=inner))["p"]


# --- who starts --------------------------------------------------------------------------------------------

SIGNAL = {"type": "SIGNAL", "params": {"db/t": {"day": 20240229}, "sig": {"x": 3}}}


def facts_of(initiator: dict[str, Any]) -> Facts:
    return start_facts(workflow(), initiator, owner="ana", seed="s", now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("sig__x", "3"),
        ("params.getFromSignal('db/t', 'day')", "20240229"),
        ("params.getFromSignalOrDefault('db/t', 'day', 'none')", "20240229"),
        ("params.getFromSignalOrDefault('other', 'day', 'none')", "none"),
        ("params.getFromInstance('INITIATOR_TYPE')", "SIGNAL"),
        ("params.getFromInstance('INITIATOR_RUNNER_NAME')", ""),
        ("params.getFromInstance('owner')", "ana"),
        ("params.getFromInstance('workflow_id')", "wf"),
        ("params.getFromInstance('workflow_instance_id')", ""),
        ("params.getFromInstance('RUN_POLICY')", "START_FRESH_NEW_RUN"),
    ],
)
def test_facts_of_a_start_4_8(expression: str, result: str) -> None:
    assert result == of_workflow(None, facts_of(SIGNAL), p=e(expression, "STRING"))["p"]


def test_the_signal_is_read_by_templates_too() -> None:
    found = of_workflow(None, facts_of(SIGNAL), p=a("STRING", "${db/t__day}"), q=a("JSON", "${sig__x}"))

    assert ("20240229", 3) == (found["p"], found["q"])


def test_whoever_starts_by_hand_has_a_name() -> None:
    found = of_workflow(
        None,
        facts_of({"type": "MANUAL", "user": "eve"}),
        p=e("params.getFromInstance('INITIATOR_RUNNER_NAME')", "STRING"),
    )

    assert "eve" == found["p"]


def test_chance_comes_from_the_seed() -> None:
    def drawn(seed: str) -> Any:
        facts = start_facts(workflow(), SIGNAL, owner=None, seed=seed, now_ms=NOW_MS)
        text = "UUID.randomUUID().toString() + Math.random() + params.nextUniqueId()"
        return of_workflow(None, facts, p=e(text, "STRING"))["p"]

    assert drawn("a") == drawn("a")
    assert drawn("a") != drawn("b")


def test_the_clock_is_the_callers() -> None:
    assert NOW_MS == of_workflow(p=e("System.currentTimeMillis()"))["p"]


def test_a_definition_is_tried_with_signals_and_dates_of_its_own() -> None:
    trigger: dict[str, Any] = {"definitions": {"sig": {}}}
    params = {
        "p": e("sig__anything"),
        "kind": e("params.getFromInstance('INITIATOR_TYPE')", "STRING"),
        "FROM_DATE": e("throw 'only known at a start'", "STRING"),
    }
    tried = Workflow(id="wf", steps=(), params=params, signal_triggers=(trigger,))
    found = evaluate_start(trial_start(tried, owner="ana", now_ms=NOW_MS))

    expected = {"p": 20220101, "kind": "VALIDATION", "FROM_DATE": "20210101"}
    assert expected == {name: found[name].evaluated_result for name in params}


# --- the budget, and elsewhere -----------------------------------------------------------------------------


def test_what_exceeds_the_budget_is_not_an_error_of_the_author() -> None:
    with pytest.raises(OverBudget):
        evaluate_step_params({"p": e(HEAVY)}, Given(), NOW_MS, budget=Budget(20_000))
    with pytest.raises(OverBudget):
        evaluate_conditions({"b": HEAVY + " > 0"}, {}, Given(), budget=Budget(20_000))


def test_an_expression_beyond_the_limits_of_the_language_is_an_error_of_the_author() -> None:
    with pytest.raises(ParamError, match="more than 1000 visits"):
        evaluate_step_params({"p": e(HEAVY)}, Given(), NOW_MS, budget=Budget(limits={"visit": 1000}))


def test_a_long_list_that_is_only_handed_on_costs_too() -> None:
    scope = Given({"ids": list(range(100_000))})
    with pytest.raises(OverBudget):
        evaluate_step_params({"p": e("ids", "LONG_ARRAY")}, scope, NOW_MS, budget=Budget(10_000))


def test_the_budget_is_shared() -> None:
    budget = Budget(1_000)
    evaluate_step_params({"p": e("1 + 1"), "q": e("p * 2")}, Given(), NOW_MS, budget=budget)

    assert budget.left is not None
    assert 0 < budget.left < 1_000


@pytest.mark.parametrize(
    "expression",
    [
        "x + up__x",
        "params.get('' + 'x')",
        "params.getFromStep('up', 'rows')",
        "params.getFromStep('u' + 'p', 'rows')",
        "RUN_DATE.length() + DERIVED_RUN_TS",
        "a___b + own__late",
        "late + w",
        "UUID.randomUUID().toString().length() + Math.random()",
        "System.currentTimeMillis()",
        "missing",
        "throw 'no'",
    ],
)
def test_elsewhere_comes_to_the_same_as_here(expression: str) -> None:
    """Whether an expression is quick enough for the loop must not be seen in its result."""
    scope = Given({**UPSTREAM.params, "RUN_TS": NOW_MS}, UPSTREAM.outputs)
    definitions = {"p": e(expression, "STRING"), "late": a("LONG", 3), "t": a("STRING", "${up.output.rows} ${x}")}
    found = decode_answer(answer(encode_work(step_work(definitions, scope, "own"))))
    try:
        here = evaluate_step_params(definitions, WithDefaults(scope), NOW_MS, step_id="own")
        expected: Any = ({name: param.evaluated_result for name, param in here.items()}, None, "")
    except ParamError as exc:
        expected = (None, exc.message, exc.path)

    assert expected == (found.value, found.error, found.path)


class WithDefaults(Given):
    """A scope whose derived parameters are there, as the engine's are."""

    def __init__(self, base: Given) -> None:
        super().__init__(base.params, base.outputs, base.known)

    def param(self, name: str) -> Any:
        from maestro_py.params import DERIVED_PARAMS, derived_param

        if name not in self.params and name in DERIVED_PARAMS:
            return derived_param(name, self)
        return super().param(name)


def test_edges_elsewhere_come_to_the_same_as_here() -> None:
    conditions = {"b": "rows > x && own__rows == rows && up__rows > 0", "c": "params.get('x') == 10"}
    work = edge_work(conditions, {"rows": 11}, UPSTREAM, "own")
    here = evaluate_conditions(conditions, {"rows": 11}, UPSTREAM, step_id="own")

    assert {"b": True, "c": True} == here == decode_answer(answer(encode_work(work))).values()


def test_a_document_holds_what_the_evaluation_may_need_and_not_the_rest() -> None:
    scope = Given({"x": 1, "secret": "s", "big": [0] * 1000}, {("up", "rows"): 7, ("other", "rows"): 8})
    work = step_work({"p": e("x + up__rows")}, scope, "own")

    assert isinstance(work, StepWork)
    assert {"x": 1} == work.world.params
    assert {"up": {"rows": 7}} == work.world.outputs
