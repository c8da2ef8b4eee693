"""Name the evaluated parameter, as runs and attempts store and show it (specification 4.1)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType


class ParamSource(StrEnum):
    """Where the value of a parameter comes from (specification 4.2)."""

    SYSTEM = "SYSTEM"
    TEMPLATE_SCHEMA = "TEMPLATE_SCHEMA"
    SYSTEM_INJECTED = "SYSTEM_INJECTED"
    SYSTEM_DEFAULT = "SYSTEM_DEFAULT"
    DEFINITION = "DEFINITION"
    SIGNAL = "SIGNAL"
    TIME_TRIGGER = "TIME_TRIGGER"
    OUTPUT_PARAMETER = "OUTPUT_PARAMETER"
    LAUNCH = "LAUNCH"
    RESTART = "RESTART"
    SUBWORKFLOW = "SUBWORKFLOW"
    TEMPLATE = "TEMPLATE"
    FOREACH = "FOREACH"
    WHILE = "WHILE"
    WORKFLOW_PARAMETER = "WORKFLOW_PARAMETER"


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A parameter with its result.  ``null`` is a result only of type JSON."""

    type: ParamType
    evaluated_result: Any = msgspec.UNSET
    evaluated_time: int  #: UTC epoch milliseconds.
    value: Any = msgspec.UNSET  #: The literal as defined; of a MAP, its definitions by name.
    expression: str | None = None
    mode: ParamMode = ParamMode.MUTABLE
    source: ParamSource | None = None
    validator: str | None = None
    tags: Any = None
    meta: dict[str, Any] = {}  #: Extra keys of the definition, kept.


def parameter_of(
    definition: ParamDefinition, result: Any, now_ms: int, source: ParamSource = ParamSource.DEFINITION
) -> Parameter:
    """Return the parameter that *definition* became at *now_ms* (UTC epoch milliseconds)."""
    return Parameter(
        type=definition.type,
        evaluated_result=result,
        evaluated_time=now_ms,
        value=definition.value,
        expression=definition.expression,
        mode=definition.mode,
        source=source,
        validator=definition.validator,
        tags=definition.tags,
        meta=definition.meta,
    )


def plain_values(params: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return name to evaluated value, as a worker's task and a scope need them."""
    return {name: param.evaluated_result for name, param in params.items()}


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(dict[str, Parameter])


def encode_params(params: Mapping[str, Parameter]) -> bytes:
    """Return the JSON that the ``params`` of a run or an attempt hold."""
    return _ENCODER.encode(params)


def decode_params(document: bytes | str) -> dict[str, Parameter]:
    """Return the parameters that the ``params`` of a run or an attempt hold."""
    return _DECODER.decode(document)
