"""Read what starts a workflow: signal triggers in native and in simple form (specification 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from pydantic import BeforeValidator, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from maestro_py.model.forms.document import Document, collect, raise_located
from maestro_py.model.forms.fields import SignalName, not_yet, refuse
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
    params: Annotated[Any, not_yet("parameters of signal triggers")] = None
    condition: Annotated[Any, not_yet("conditions of signal triggers")] = None
    dedup_expr: Annotated[Any, not_yet("dedup expressions of signal triggers")] = None

    def trigger(self) -> dict[str, Any]:
        """Return the canonical trigger."""
        return {"definitions": {name: _match(signal.match_params) for name, signal in self.definitions.items()}}


class SimpleTriggerDocument(Document):
    """A ``trigger`` of the simple form that waits for a signal."""

    type: str
    signal_name: SignalName
    match_params: dict[str, Annotated[MatchDocument, BeforeValidator(_spell_out)]] = Field(default_factory=dict)
    params: Annotated[Any, not_yet("parameters of signal triggers")] = None
    condition: Annotated[Any, not_yet("conditions of signal triggers")] = None

    def trigger(self) -> dict[str, Any]:
        """Return the canonical trigger."""
        return {"definitions": {self.signal_name: _match(self.match_params)}}


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
