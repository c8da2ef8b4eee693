"""Read what starts a workflow: signal triggers in native and in simple form (specification 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import BeforeValidator, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from maestro_py.model.definition import ParamDefinition
from maestro_py.model.forms.document import Document, collect, raise_located
from maestro_py.model.forms.edges import as_expression
from maestro_py.model.forms.fields import SignalName, not_yet, refuse
from maestro_py.model.forms.param_fields import Params, PlainParams
from maestro_py.model.forms.problems import Problems
from maestro_py.model.literals import spell_kind

OPERATORS: Final = ("=", ">", ">=", "<", "<=")
_TIME_TRIGGERS: Final = frozenset({"cron", "interval", "time", "predefined"})


def _match_value(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise refuse(f"a signal is matched by a text or a whole number, not by {spell_kind(value)}")
    return value


def _operator(value: Any) -> str:
    if value not in OPERATORS:
        raise refuse(f"must be one of {' '.join(OPERATORS)}")
    return str(value)


def _expression(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise refuse(f"must be an expression, not {spell_kind(value)}")
    if not value.strip():
        raise refuse("may not be empty; leave it out")
    return value


def _simple_expression(value: Any) -> str:
    return as_expression(_expression(value))


#: An expression; whether it is of the language, `trigger_checks` looks at.
Expression = Annotated[str, PlainValidator(_expression, json_schema_input_type=bool | str)]
#: One that may say ``${signal.output.name}``, as ``when`` does.
SimpleExpression = Annotated[str, PlainValidator(_simple_expression, json_schema_input_type=bool | str)]


def _one_signal(value: Any) -> Any:
    if isinstance(value, dict) and len(value) > 1:
        raise refuse("triggers that wait for several signals are not supported yet")
    return value


def _spell_out(value: Any) -> Any:
    """Let a plain value be short for equality with it."""
    return value if isinstance(value, dict) else {"value": value}


class MatchDocument(Document):
    """What one parameter of a signal must be."""

    value: Annotated[int | str, PlainValidator(_match_value, json_schema_input_type=int | str)]
    operator: Annotated[str, PlainValidator(_operator, json_schema_input_type=str)] = "="


class SignalMatchDocument(Document):
    """Which announcements of one signal count."""

    match_params: dict[str, MatchDocument] = Field(default_factory=dict)
    join_keys: Annotated[Any, not_yet("join keys of signals")] = None


class SignalTriggerDocument(Document):
    """A native signal trigger."""

    definitions: Annotated[dict[SignalName, SignalMatchDocument], BeforeValidator(_one_signal)]
    params: Params = Field(default_factory=dict)
    condition: Expression | None = None
    dedup_expr: Expression | None = None

    def trigger(self) -> dict[str, Any]:
        """Return the canonical trigger."""
        definitions = {name: _match(signal.match_params) for name, signal in self.definitions.items()}
        return {"definitions": definitions} | _computed(self.params, self.condition, self.dedup_expr)


class SimpleTriggerDocument(Document):
    """A ``trigger`` of the simple form that waits for a signal."""

    type: str
    signal_name: SignalName
    match_params: dict[str, Annotated[MatchDocument, BeforeValidator(_spell_out)]] = Field(default_factory=dict)
    params: PlainParams = Field(default_factory=dict)
    condition: SimpleExpression | None = None
    dedup: SimpleExpression | None = None

    def trigger(self) -> dict[str, Any]:
        """Return the canonical trigger."""
        definitions = {self.signal_name: _match(self.match_params)}
        return {"definitions": definitions} | _computed(self.params, self.condition, self.dedup)


def _computed(params: Mapping[str, ParamDefinition], condition: str | None, dedup: str | None) -> dict[str, Any]:
    # What is not said stands nowhere: a trigger's identity is what it says.
    said = {"params": msgspec.to_builtins(params), "condition": condition, "dedup_expr": dedup}
    return {name: value for name, value in said.items() if value}


def _match(params: Mapping[str, MatchDocument]) -> dict[str, Any]:
    if not params:
        return {}
    return {
        "match_params": {name: {"value": match.value, "operator": match.operator} for name, match in params.items()}
    }


def _simple_trigger(value: Any) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str) and kind.lower() in _TIME_TRIGGERS:
        raise refuse(f"time triggers (type {kind}) are not supported yet")
    if isinstance(kind, str) and kind.lower() != "signal":
        raise refuse(f"the type of a trigger is signal, cron or interval, not '{kind}'")
    return SimpleTriggerDocument.model_validate(value).trigger()


def _native_trigger(value: Any) -> dict[str, Any]:
    return SignalTriggerDocument.model_validate(value).trigger()


def _each(read: Callable[[Any], dict[str, Any]]) -> Callable[[Any], tuple[dict[str, Any], ...]]:
    """Return the reader of a list of different triggers."""

    def read_list(value: Any) -> tuple[dict[str, Any], ...]:
        if not isinstance(value, list):
            raise refuse(f"must be a list, not {spell_kind(value)}")
        problems = Problems()
        triggers: dict[bytes, dict[str, Any]] = {}
        for index, document in enumerate(value):
            try:
                trigger = read(document)
            except ValidationError as exc:
                collect(exc, problems, (index,))
                continue
            except PydanticCustomError as exc:
                problems.add((index,), exc.message())
                continue
            canonical = msgspec.json.encode(trigger, order="deterministic")
            if canonical in triggers:
                problems.add((index,), "the same trigger stands twice")
            triggers[canonical] = trigger
        if problems:
            raise_located(problems)
        return tuple(triggers.values())

    return read_list


#: One trigger of the simple form, as a canonical trigger.
SimpleTrigger = Annotated[dict[str, Any], PlainValidator(_simple_trigger, json_schema_input_type=SimpleTriggerDocument)]
SimpleTriggers = Annotated[
    tuple[dict[str, Any], ...],
    PlainValidator(_each(_simple_trigger), json_schema_input_type=list[SimpleTriggerDocument]),
]
#: The native ``signal_triggers``, as canonical triggers.
SignalTriggers = Annotated[
    tuple[dict[str, Any], ...],
    PlainValidator(_each(_native_trigger), json_schema_input_type=list[SignalTriggerDocument]),
]
