"""Evaluate the parameters of a run when it is started: defaults, then the definition, then the request (4.3, 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Workflow
from maestro_py.model.errors import ParamError
from maestro_py.model.literals import infer_type
from maestro_py.model.templates import spell_location
from maestro_py.params.computing import Budget
from maestro_py.params.evaluation import evaluate
from maestro_py.params.facts import Facts
from maestro_py.params.merge import merge
from maestro_py.params.parameter import Parameter, ParamSource, parameter_of
from maestro_py.params.run_params import refused_names
from maestro_py.params.scope import EmptyScope
from maestro_py.params.system_params import DERIVED_PARAMS, derived_needed

_SYSTEM_TYPES: Final = {
    "RUN_TS": ParamType.LONG,
    "owner": ParamType.STRING,
    "workflow_id": ParamType.STRING,
}
#: Set by the service alone (specification 4.5); what they hold is no literal of the user's.
_RESERVED: Final = frozenset({"owner", "workflow_id"})


def evaluate_workflow_params(
    workflow: Workflow,
    run_params: Mapping[str, ParamDefinition],
    *,
    system: Mapping[str, Any],
    now_ms: int,
    facts: Facts | None = None,
    budget: Budget | None = None,
) -> dict[str, Parameter]:
    """
    Return the evaluated parameters of a run: the service's, the definition's and those of the start request.

    Of the service's, those that follow from others (`DERIVED_PARAMS`) are there only if something refers to them.

    Args:
        workflow: The version that is started.
        run_params: What the request gives, as `parse_run_params` returns it.
        system: Values of the service's own parameters: ``owner``, and ``RUN_TS`` where it is not *now_ms*.
        now_ms: UTC epoch milliseconds, the caller's clock.
        facts: What expressions may ask of who starts; nothing but the time if not given.
        budget: Of the expressions; without, each has what the language allows.

    Raises:
        ParamError: a mode or a name forbids a change, a value cannot be cast, a reference names nothing, an expression
            fails, parameters need one another, or all together are larger than 64 MB.
        OverBudget: the expressions need more than the budget.
    """
    definitions, sources, own = merged_workflow_params(workflow, run_params, system=system, now_ms=now_ms)
    return evaluate_merged(definitions, sources, own, now_ms=now_ms, facts=facts, budget=budget)


def merged_workflow_params(
    workflow: Workflow, run_params: Mapping[str, ParamDefinition], *, system: Mapping[str, Any], now_ms: int
) -> tuple[dict[str, ParamDefinition], dict[str, ParamSource], dict[str, Any]]:
    """
    Return the definitions of a run by name, where each comes from, and the values that need no evaluation.

    Raises:
        ParamError: a mode or a name forbids a change, or a value cannot be cast.
    """
    values = {"RUN_TS": now_ms, "workflow_id": workflow.id, **_zone_of(workflow), **system}
    definitions = {name: _system_definition(name, value) for name, value in values.items() if value is not None}
    sources = dict.fromkeys(definitions, ParamSource.SYSTEM_DEFAULT)
    for at, message in refused_names(run_params):
        raise ParamError(spell_location(at, "run_params"), message)
    _lay_over(definitions, sources, workflow.params, "params", ParamSource.DEFINITION)
    _lay_over(definitions, sources, run_params, "run_params", ParamSource.LAUNCH)
    # The service's values are results already: a user's name with a `$` in it is no reference.
    own = {name: value for name, value in values.items() if sources.get(name) is ParamSource.SYSTEM_DEFAULT}
    for name, definition in derived_needed(definitions).items():
        definitions[name] = definition
        sources[name] = ParamSource.SYSTEM_DEFAULT
    return definitions, sources, own


def evaluate_merged(
    definitions: Mapping[str, ParamDefinition],
    sources: Mapping[str, ParamSource],
    own: Mapping[str, Any],
    *,
    now_ms: int,
    facts: Facts | None = None,
    budget: Budget | None = None,
) -> dict[str, Parameter]:
    """
    Return what `merged_workflow_params` gave, evaluated.

    Raises:
        ParamError: as `evaluate_workflow_params`.
        OverBudget: as `evaluate_workflow_params`.
    """
    scope = _Defaults(own, facts or Facts(now_ms=now_ms))
    unknown = {name: param for name, param in definitions.items() if name not in own}
    results = {**own, **evaluate(unknown, scope, budget=budget, of_workflow=True)}
    return {
        name: parameter_of(definition, results[name], now_ms, sources[name]) for name, definition in definitions.items()
    }


class _Defaults(EmptyScope):
    """The scope of a run's parameters: the service's own are evaluated already."""

    def __init__(self, values: Mapping[str, Any], facts: Facts) -> None:
        super().__init__(facts)
        self._values = values

    def param(self, name: str) -> Any:
        return self._values[name]

    def all_params(self) -> Mapping[str, Any]:
        return self._values


def _zone_of(workflow: Workflow) -> dict[str, Any]:
    """Return the default zone of a workflow whose first time trigger names one."""
    zone = workflow.time_triggers[0].get("timezone") if workflow.time_triggers else None
    return {} if zone is None else {"DSL_DEFAULT_TZ": zone}


def _system_definition(name: str, value: Any) -> ParamDefinition:
    mode = ParamMode.CONSTANT if name in _RESERVED else ParamMode.MUTABLE_ON_START
    return ParamDefinition(type=_SYSTEM_TYPES.get(name) or infer_type(value), value=value, mode=mode)


def _lay_over(
    definitions: dict[str, ParamDefinition],
    sources: dict[str, ParamSource],
    layer: Mapping[str, ParamDefinition],
    root: str,
    source: ParamSource,
) -> None:
    for name, definition in layer.items():
        path = spell_location((name,), root)
        if name in _RESERVED:
            raise ParamError(path, "Cannot modify param with system mode [RESERVED]")
        base = definitions.get(name) or DERIVED_PARAMS.get(name)
        definitions[name] = definition if base is None else merge(base, definition, path, source)
        sources[name] = source
