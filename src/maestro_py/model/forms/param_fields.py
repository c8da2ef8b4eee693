"""The fields that hold parameters, as types of the pydantic models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from pydantic import PlainValidator

from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.forms.document import raise_located
from maestro_py.model.forms.fields import refuse
from maestro_py.model.forms.param_documents import plain_definition, read_params
from maestro_py.model.forms.problems import Problems
from maestro_py.model.literals import ARRAY_TYPES, spell_kind
from maestro_py.model.templates import lone_mention

#: What a loop parameter may be: lists, and our JSON, which is known to be a list only in a run.
_LOOP_TYPES: Final = ARRAY_TYPES | {ParamType.JSON}
#: Given by the service to every iteration.
_LOOP_INDEX: Final = "loop_index"


def _params(*, plain: bool) -> Callable[[Any], dict[str, ParamDefinition]]:
    def read(value: Any) -> dict[str, ParamDefinition]:
        problems = Problems()
        params = read_params(value, (), problems, plain=plain)
        if problems:
            raise_located(problems)
        return params

    return read


def _loop_params(value: Any) -> dict[str, ParamDefinition]:
    if isinstance(value, dict) and value.get("loop_params") in ({}, [], None):
        value = {name: inner for name, inner in value.items() if name != "loop_params"}
    params = _params(plain=False)(value)
    problems = Problems()
    loop = params.get("loop_params")
    if loop is None or (loop.expression is None and not loop.value):
        problems.add(("loop_params",), "is required: a foreach needs a MAP of lists to loop over")
    elif loop.type is not ParamType.MAP:
        problems.add(("loop_params", "type"), "must be MAP")
    elif isinstance(loop.value, Mapping):
        _check_loop_values(loop.value, problems)
    if problems:
        raise_located(problems)
    return params


def _check_loop_values(values: Mapping[str, Any], problems: Problems) -> None:
    for name, inner in values.items():
        at = ("loop_params", "value", name)
        if name == _LOOP_INDEX:
            problems.add(at, f"'{_LOOP_INDEX}' is given by the service")
        if inner["type"] not in _LOOP_TYPES:
            problems.add((*at, "type"), f"{inner['type']} is no list to loop over")
        elif "value" in inner and not isinstance(inner["value"], list) and lone_mention(inner["value"]) is None:
            problems.add((*at, "value"), "must be a list, or one reference to a list")


def _items(value: Any) -> ParamDefinition:
    if not isinstance(value, list) and lone_mention(value) is None:
        raise refuse(f"must be a list, or one reference to a list such as ${{step.output.name}}, not {_shown(value)}")
    problems = Problems()
    definition = plain_definition(value, (), problems)
    if definition is None:
        raise_located(problems)
    assert definition is not None
    return definition


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else spell_kind(value)


def _outputs(value: Any) -> dict[str, ParamType]:
    if isinstance(value, list):
        value = dict.fromkeys(value, "JSON") if all(isinstance(name, str) for name in value) else None
    if not isinstance(value, dict):
        raise refuse("must be an object of types by name, or a list of names")
    problems = Problems()
    outputs = {}
    for name, kind in value.items():
        if isinstance(kind, str) and kind.upper() in ParamType.__members__:
            outputs[name] = ParamType[kind.upper()]
        else:
            problems.add((name,), f"must be one of {', '.join(ParamType)}")
    if problems:
        raise_located(problems)
    return outputs


#: Full definitions by name.
Params = Annotated[
    dict[str, ParamDefinition], PlainValidator(_params(plain=False), json_schema_input_type=dict[str, Any])
]
#: Plain values or full definitions by name.
PlainParams = Annotated[
    dict[str, ParamDefinition], PlainValidator(_params(plain=True), json_schema_input_type=dict[str, Any])
]
#: The parameters of a foreach, ``loop_params`` among them.
LoopParams = Annotated[dict[str, ParamDefinition], PlainValidator(_loop_params, json_schema_input_type=dict[str, Any])]
#: What the simple form's ``items`` holds, as the loop parameter ``item``.
Items = Annotated[ParamDefinition, PlainValidator(_items, json_schema_input_type=list[Any] | str)]
#: Declared outputs: name to type.
Outputs = Annotated[dict[str, ParamType], PlainValidator(_outputs, json_schema_input_type=dict[str, str] | list[str])]
