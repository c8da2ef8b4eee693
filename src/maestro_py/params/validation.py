"""Try the parameters of a definition before it is stored (specification 1.1)."""

from __future__ import annotations

from typing import Final

import msgspec

from maestro_py.expressions import ExpressionError, check_calls, compile_expression
from maestro_py.model.definition import ParamDefinition, ParamType, Workflow
from maestro_py.model.errors import ParamError
from maestro_py.model.forms import ExpressionNames
from maestro_py.model.templates import spell_location
from maestro_py.params.computing import as_param_error
from maestro_py.params.elsewhere import StartWork, start_work
from maestro_py.params.facts import UNSERVED, VALIDATION, Facts
from maestro_py.params.references import expressions_of
from maestro_py.params.triggers import trigger_of
from maestro_py.params.workflow_params import merged_workflow_params

#: What a dry run puts in place of these parameters of type STRING (specification 4.5).
_DRY_RUN_DATE: Final = "20210101"
_DRY_RUN_NAMES: Final = ("FROM_DATE", "TO_DATE")
#: Where the parameters that a start gives stand in errors.
_RUN_PARAMS: Final = "run_params"


def expression_names(source: str) -> ExpressionNames:
    """
    Return the names that an expression needs.

    Raises:
        ValueError: it is not of the language; the text shows the place.
    """
    try:
        compiled = compile_expression(source)
    except ExpressionError as exc:
        raise ValueError(exc.render()) from exc
    functions = sorted({function for function, _ in compiled.lookups} & UNSERVED.keys())
    unserved = tuple(f"params.{name}: {UNSERVED[name]}, so a call of it can give nothing" for name in functions)
    return ExpressionNames(compiled.variables, compiled.parameters, compiled.lookups, unserved)


def trial_start(workflow: Workflow, *, owner: str, now_ms: int) -> StartWork:
    """
    Return the evaluation of the parameters of *workflow* as a start that nobody asked for would have them.

    Raises:
        ParamError: a mode or a name forbids a change, or a value cannot be cast.
    """
    dates: dict[str, ParamDefinition] = {
        name: ParamDefinition(type=ParamType.STRING, value=_DRY_RUN_DATE)
        for name in _DRY_RUN_NAMES
        if name in workflow.params and workflow.params[name].type is ParamType.STRING
    }
    tried = msgspec.structs.replace(workflow, params={**workflow.params, **dates})
    return start_work(tried, {}, system={"owner": owner}, facts=validation_facts(workflow, owner, now_ms))


def check_trigger(workflow: Workflow, index: int) -> None:
    """
    Look for what would fail whenever the signal trigger *index* of *workflow* fires.

    What its expressions give is not tried: it depends on what the signal carries.

    Raises:
        ParamError: an expression calls what does not exist, or a parameter may not be given to a run or cannot be cast
            to the workflow's; the path begins at the trigger.
    """
    trigger = trigger_of(workflow.signal_triggers[index])
    expressions = [
        (spell_location((name,), "params"), text)
        for name, param in trigger.params.items()
        for text in expressions_of(param)
    ]
    for path, text in [*expressions, ("condition", trigger.condition), ("dedup_expr", trigger.dedup_expr)]:
        if text is None:
            continue
        try:
            check_calls(text)
        except ExpressionError as exc:
            raise as_param_error(exc, path) from exc
    try:
        merged_workflow_params(workflow, trigger.params, system={}, now_ms=0)
    except ParamError as exc:
        if not exc.path.startswith(_RUN_PARAMS):
            raise  # the workflow's own, which the trial of a start names, too
        raise ParamError("params" + exc.path.removeprefix(_RUN_PARAMS), exc.message) from exc


def validation_facts(workflow: Workflow, owner: str, now_ms: int) -> Facts:
    """Return what the expressions of a definition may ask while it is tried."""
    signals: dict[str, dict[str, object]] = {
        name: {} for trigger in workflow.signal_triggers for name in trigger.get("definitions", ())
    }
    instance = {"INITIATOR_TYPE": VALIDATION, "owner": owner, "workflow_id": workflow.id}
    return Facts(now_ms=now_ms, seed=workflow.id, instance=instance, signals=signals, is_validation=True)
