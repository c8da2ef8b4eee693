"""Turn ``name=value`` of the command line into what the API takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from maestro_py.model.errors import MaestroError
from maestro_py.model.given_names import SYSTEM_PARAMS
from maestro_py.model.suggestions import suggestion


class ValueRefused(MaestroError):
    """A ``name=value`` of the command line cannot be used."""


def split_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """Return the names and texts of *pairs*; a name given twice is an error, as one of them would be lost."""
    split: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueRefused(f"expected name=value, got {pair!r}")
        if name in split:
            raise ValueRefused(f"{name} is given twice")
        split[name] = text
    return split


def run_param(name: str, text: str, declared: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the parameter definition for *text*: of the type that the workflow declares, else of its own.

    Its own type is that of the JSON it is (``3``, ``true``, ``[1, 2]``); anything else is a STRING.

    Raises:
        ValueRefused: *text* is no value of the declared type.
    """
    kind = declared.get("type") if declared else None
    if kind == "STRING":
        return {"type": "STRING", "value": text}
    value = _json_or_text(text)
    own = _own_type(value)
    if kind is None or kind == own or kind == "JSON":
        return {"type": kind or own, "value": value}
    if kind == "MAP" and isinstance(value, dict):
        return {"type": "MAP", "value": {key: run_param(key, json.dumps(item), None) for key, item in value.items()}}
    widened = (kind, own) in {("DOUBLE", "LONG"), ("DOUBLE_ARRAY", "LONG_ARRAY")}
    if not widened and value not in ([], {}):
        raise ValueRefused(f"{name} is a {kind}, and {text!r} is not")
    return {"type": kind, "value": value}


def undeclared_notes(workflow: str, given: Iterable[str], declared: Iterable[str]) -> list[str]:
    """Return a note for each name that a start gives and the workflow does not declare: allowed, and maybe a slip."""
    known = {*declared, *SYSTEM_PARAMS}
    return [
        f"note: {workflow} declares no parameter '{name}'{suggestion(name, known)}"
        for name in given
        if name not in known
    ]


def signal_param(text: str) -> str | int:
    """Return a signal's value: a whole number, or the text; quotes keep a number a text (``k='"7"'``)."""
    value = _json_or_text(text)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return text


def plain_value(text: str) -> Any:
    """Return the JSON that *text* is, else the text; quotes keep a number a text (``x='"7"'``)."""
    return _json_or_text(text)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _own_type(value: Any) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "LONG"
        case float():
            return "DOUBLE"
        case str():
            return "STRING"
        case list() if value and len({_own_type(item) for item in value}) == 1:
            of = _own_type(value[0])
            return f"{of}_ARRAY" if of in {"BOOLEAN", "LONG", "DOUBLE", "STRING"} else "JSON"
        case dict() if value and all(isinstance(item, str) for item in value.values()):
            return "STRING_MAP"
    return "JSON"
