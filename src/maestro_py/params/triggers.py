"""
What a signal trigger computes when it fires (specification 8.3): parameters, a condition, the request id.  Pure.

Its expressions see the signals and the trigger's own parameters, and none of the workflow's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from maestro_py.expressions import ExpressionError
from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.ids import name_based_uuid
from maestro_py.model.literals import infer_type, spell_kind
from maestro_py.params.computing import Budget, as_param_error, truth
from maestro_py.params.evaluation import evaluate_expression
from maestro_py.params.facts import Facts
from maestro_py.params.parameter import Parameter
from maestro_py.params.references import definition_in_map
from maestro_py.params.scope import EmptyScope

#: Where the expressions of a trigger stand in it.
CONDITION: Final = "condition"
DEDUP: Final = "dedup_expr"

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LONGEST_SHOWN: Final = 80


class SignalTrigger(msgspec.Struct, frozen=True):
    """What a canonical trigger says of what is computed; what it matches is for others."""

    params: dict[str, ParamDefinition] = {}
    condition: str | None = None
    dedup_expr: str | None = None


def trigger_of(document: Mapping[str, Any]) -> SignalTrigger:
    """Return what the trigger *document* computes."""
    return msgspec.convert(document, SignalTrigger)


class TriggerScope(EmptyScope):
    """
    What the condition and the ``dedup_expr`` of a trigger see by name: its evaluated parameters.

    Args:
        params: Name to result.
        facts: With the signals; the parameters are added for ``params.getFromSignal``.
    """

    def __init__(self, params: Mapping[str, Any], facts: Facts) -> None:
        super().__init__(msgspec.structs.replace(facts, trigger=dict(params)))
        self._params = params

    def param(self, name: str) -> Any:
        """
        Return the parameter *name* of the trigger.

        Raises:
            KeyError: there is none.
        """
        return self._params[name]

    def all_params(self) -> Mapping[str, Any]:
        """Return the parameters of the trigger."""
        return self._params


def evaluate_trigger_expression(
    source: str, path: str, params: Mapping[str, Any], facts: Facts, budget: Budget | None = None
) -> Any:
    """
    Return what an expression of a trigger gives: of the `CONDITION` a boolean, of `DEDUP` a text or None.

    Args:
        source: The expression.
        path: Which of the two it is; errors begin with it.
        params: Of the trigger, evaluated.
        facts: What is known of the signals.
        budget: Of the expression.

    Raises:
        ParamError: it fails, or gives something else.
        OverBudget: it needs more than the budget.
    """
    value = evaluate_expression(source, TriggerScope(params, facts), path, budget)
    try:
        return truth(value, source) if path == CONDITION else _dedup_text(value, source)
    except ExpressionError as exc:
        raise as_param_error(exc, path) from exc


def request_id_from(text: str | None, derived: str) -> str:
    """Return the request id for what a ``dedup_expr`` gave (section 3.4); *derived* where it gave nothing."""
    if not text:
        return derived
    return text.lower() if _UUID.fullmatch(text) else name_based_uuid(text)


def run_params_of(definitions: Mapping[str, ParamDefinition], params: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the parameters that a run is given: those of its trigger, as literals of what they came to."""
    return {name: _literal(definitions[name], param.evaluated_result) for name, param in params.items()}


def shown(source: str) -> str:
    """Return an expression in one short line."""
    line = " ".join(source.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"


def _dedup_text(value: Any, source: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ExpressionError(f"a request id is made from a text or a whole number, not from {spell_kind(value)}", source)


def _literal(definition: ParamDefinition, result: Any) -> ParamDefinition:
    """Return *definition* with *result* in place of what it was computed from."""
    if definition.type is not ParamType.MAP:
        return msgspec.structs.replace(definition, value=_escaped(result), expression=None)
    inner = definition.value if isinstance(definition.value, Mapping) else {}
    value = {
        name: msgspec.to_builtins(
            _literal(definition_in_map(inner[name]), found)
            if name in inner
            else _literal(ParamDefinition(type=infer_type(found)), found)
        )
        for name, found in result.items()
    }
    return msgspec.structs.replace(definition, value=value, expression=None)


def _escaped(value: Any) -> Any:
    """Return *value* as a literal that is no template: what a signal says is never taken for a reference."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_escaped(inner) for inner in value] if any(map(_holds_text, value)) else value
    if isinstance(value, dict):
        return {_escaped(name): _escaped(inner) for name, inner in value.items()}
    return value


def _holds_text(value: Any) -> bool:
    return isinstance(value, str | list | dict)
