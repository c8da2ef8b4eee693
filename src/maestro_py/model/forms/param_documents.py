"""Read parameters from documents: full definitions (specification 4.1), or plain values whose type is inferred."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from maestro_py.model.definition import ParamDefinition, ParamMode, ParamType
from maestro_py.model.forms.problems import Problems
from maestro_py.model.literals import Mismatch, convert, infer_type, spell_kind
from maestro_py.model.templates import Location, lone_mention

_WORDS: Final = frozenset({"name", "type", "value", "expression", "mode", "validator", "tags"})
#: Set by the service: a definition that carries them was copied from a run.
_FORBIDDEN: Final = frozenset({"source", "internal_mode", "evaluated_result", "evaluated_time"})
_LONGEST_NAME: Final = 256

_Enum = TypeVar("_Enum", bound=StrEnum)


def read_params(document: Any, at: Location, problems: Problems, *, plain: bool) -> dict[str, ParamDefinition]:
    """
    Return the parameters of *document*; what is wrong goes to *problems*, and that parameter is left out.

    Args:
        document: Name to definition; null is an empty object.
        at: Where it stands.
        problems: Everything wrong is added here.
        plain: Whether plain values are allowed beside full definitions.
    """
    if document is None or document == []:  # the public client writes an empty list for an empty map
        return {}
    if not isinstance(document, dict):
        problems.add(at, f"must be an object of parameters by name, not {spell_kind(document)}")
        return {}
    result = {}
    for name, inner in document.items():
        if not name or len(name) > _LONGEST_NAME:
            problems.add((*at, name), f"a parameter's name has 1 to {_LONGEST_NAME} characters")
            continue
        definition = _read_param(name, inner, (*at, name), problems, plain=plain)
        if definition is not None:
            result[name] = definition
    return result


def plain_definition(value: Any, at: Location, problems: Problems) -> ParamDefinition | None:
    """Return the definition of a plain *value*, its type inferred (DESIGN section 8)."""
    return typed_definition(infer_type(value), value, at, problems)


def typed_definition(
    type: ParamType,  # noqa: A002  # the word of the domain
    value: Any,
    at: Location,
    problems: Problems,
) -> ParamDefinition | None:
    """Return a definition of *type*, or None if *value* does not fit, which goes to *problems*."""
    if lone_mention(value) is not None and type is not ParamType.MAP:
        return ParamDefinition(type=type, value=value)  # fitted to the type when it is evaluated
    try:
        return ParamDefinition(type=type, value=convert(type, value))
    except Mismatch as exc:
        problems.add((*at, *exc.at), exc.message)
        return None


def _read_param(name: str, document: Any, at: Location, problems: Problems, *, plain: bool) -> ParamDefinition | None:
    if not plain:
        return _read_definition(name, document, at, problems, plain=False)
    if not isinstance(document, dict) or not _looks_defined(document):
        return plain_definition(document, at, problems)
    if "type" not in document:
        problems.add(at, 'has no type; a plain object with these keys is written {"type": "JSON", "value": {...}}')
        return None
    return _read_definition(name, document, at, problems, plain=True)


def _looks_defined(document: Mapping[str, Any]) -> bool:
    """Say whether an object is meant as a definition rather than as a plain value."""
    if not ("value" in document or "expression" in document):
        return False
    known = isinstance(document.get("type"), str) and document["type"].upper() in ParamType.__members__
    return known or document.keys() <= _WORDS


def _read_definition(
    name: str, document: Any, at: Location, problems: Problems, *, plain: bool
) -> ParamDefinition | None:
    if not isinstance(document, dict):
        problems.add(at, f'must be a definition such as {{"type": "STRING", "value": "x"}}, not {spell_kind(document)}')
        return None
    for key in _FORBIDDEN & document.keys():
        problems.add((*at, key), "is set by the service and may not be given")
    if document.get("name") not in (None, name):
        problems.add((*at, "name"), f"must be '{name}', its key, or left out")
    kind = _member(ParamType, document.get("type"), (*at, "type"), problems, required=True)
    mode = _member(ParamMode, document.get("mode"), (*at, "mode"), problems)
    validator = document.get("validator")
    if validator is not None and not isinstance(validator, str):
        problems.add((*at, "validator"), f"must be a text, not {spell_kind(validator)}")
    if kind is None:
        return None
    value = _read_value(kind, document, at, problems, plain=plain)
    if value is None:
        return None
    return msgspec.structs.replace(
        value,
        mode=mode or ParamMode.MUTABLE,
        validator=validator if isinstance(validator, str) else None,
        tags=document.get("tags") or None,
        meta={key: inner for key, inner in document.items() if key not in _WORDS | _FORBIDDEN and inner is not None},
    )


def _read_value(
    kind: ParamType, document: Mapping[str, Any], at: Location, problems: Problems, *, plain: bool
) -> ParamDefinition | None:
    """Return a definition with nothing but the type and the value, or None if that is wrong."""
    if document.get("expression") is not None:
        return _read_expression(kind, document, at, problems)
    if "value" not in document or (document["value"] is None and kind is not ParamType.JSON):
        problems.add(at, "needs a value")
        return None
    value = document["value"]
    if kind is ParamType.MAP and isinstance(value, dict):
        inner = read_params(value, (*at, "value"), problems, plain=plain)
        return ParamDefinition(type=kind, value={key: msgspec.to_builtins(param) for key, param in inner.items()})
    if kind is ParamType.MAP and lone_mention(value) is not None:
        return ParamDefinition(type=kind, value=value)
    return typed_definition(kind, value, (*at, "value"), problems)


def _read_expression(
    kind: ParamType, document: Mapping[str, Any], at: Location, problems: Problems
) -> ParamDefinition | None:
    """Return a definition with an expression; whether it is of the language, `reference_checks` looks at."""
    expression = document["expression"]
    if document.get("value") is not None:
        problems.add(at, "has both a value and an expression; give one")
    elif not isinstance(expression, str):
        problems.add((*at, "expression"), f"must be a text, not {spell_kind(expression)}")
    else:
        return ParamDefinition(type=kind, expression=expression)
    return None


def _member(enum: type[_Enum], value: Any, at: Location, problems: Problems, *, required: bool = False) -> _Enum | None:
    if value is None:
        if required:
            problems.add(at, "is required")
        return None
    if isinstance(value, str) and value.upper() in enum.__members__:
        return enum[value.upper()]
    shown = f"'{value}'" if isinstance(value, str) else spell_kind(value)
    problems.add(at, f"{shown} is none of {', '.join(enum)}")
    return None
