"""
Lay what a step reported over its parameters (specification 4.6): the one place that says what an output may be.

The engine applies it when the step's work is done, and whoever reads the stored report applies it again: it is pure,
so both come to the same, and what was reported is stored but once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType, Step
from maestro_py.model.errors import ParamError
from maestro_py.model.given_names import STEP_PARAMS, outputs_of_type
from maestro_py.model.literals import coerce
from maestro_py.model.suggestions import suggestion
from maestro_py.params.parameter import Parameter
from maestro_py.params.references import definition_in_map

_ROOT = "outputs"


def merge_outputs(step: Step, params: Mapping[str, Parameter], reported: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return name to value of what *step* reported, as its parameters become.

    A parameter of the step takes the value if it is MUTABLE, cast to its type; literal MAPs and STRING_MAPs merge by
    key.  A declared output (`Step.outputs`, or one of the step's type) takes it, cast to the declared type.  Any other
    name is refused, unless the step says that its outputs need not be declared.

    Args:
        step: What was run.
        params: Its evaluated parameters.
        reported: Name to plain value.

    Raises:
        ParamError: a name is not declared, a mode forbids the change, or a value cannot be cast.
    """
    merged = {}
    for name, value in reported.items():
        path = f"{_ROOT}.{name}"
        if name in STEP_PARAMS:
            raise ParamError(path, "Cannot modify param with system mode [RESERVED]")
        parameter = params.get(name)
        if parameter is not None:
            over = _laid_over(parameter, parameter.evaluated_result, value, path)
        else:
            over = coerce(_declared_type(step, params, name, path), value, path, cast=True)
        merged[name] = over
    return merged


def _declared_type(step: Step, params: Mapping[str, Parameter], name: str, path: str) -> ParamType:
    kind = step.outputs.get(name) or outputs_of_type(step.type).get(name)
    if kind is not None:
        return kind
    if step.undeclared_outputs:
        return ParamType.JSON
    known = {*params, *step.outputs, *outputs_of_type(step.type)}
    raise ParamError(path, f"Invalid output parameter [{name}], not defined in params{suggestion(name, known)}")


def _laid_over(base: Parameter | ParamDefinition, result: Any, value: Any, path: str) -> Any:
    """Return *result*, what *base* came to, with *value* laid over it."""
    if base.mode is not ParamMode.MUTABLE:
        raise ParamError(path, f"Cannot modify param with mode [{base.mode}]")
    value = coerce(base.type, value, path, cast=True)
    if not isinstance(base.value, Mapping) or not isinstance(result, Mapping):
        return value
    if base.type is ParamType.STRING_MAP:
        return {**result, **value}
    if base.type is ParamType.MAP:
        return {**result, **_laid_over_map(base.value, result, value, path)}
    return value


def _laid_over_map(
    base: Mapping[str, Any], result: Mapping[str, Any], value: Mapping[str, Any], path: str
) -> dict[str, Any]:
    return {
        name: _laid_over(definition_in_map(base[name]), result.get(name), inner, f"{path}.{name}")
        if name in base
        else inner
        for name, inner in value.items()
    }
