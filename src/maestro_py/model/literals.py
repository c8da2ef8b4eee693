"""The literals of parameters: which fits which type (specification 4.1), casts (4.3), and how they print (4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from maestro_py.model.definition import ParamType
from maestro_py.model.errors import ParamError
from maestro_py.model.templates import Location, lone_mention, spell_location

_LONG_MIN: Final = -(2**63)
_LONG_MAX: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_ENCODER: Final = msgspec.json.Encoder()


class Mismatch(ValueError):
    """A literal does not fit its type; *at* is the place inside the literal."""

    def __init__(self, message: str, at: Location = ()) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def coerce(type: ParamType, value: Any, path: str, *, cast: bool = False) -> Any:  # noqa: A002  # the word of the domain
    """
    Return *value* as a literal of *type*; with *cast*, text and numbers are turned into one another.

    Raises:
        ParamError: the value does not fit; its path begins with *path*.
    """
    try:
        return convert(type, value, cast=cast)
    except Mismatch as exc:
        raise ParamError(spell_location(exc.at, path), exc.message) from exc


def convert(type: ParamType, value: Any, *, cast: bool = False) -> Any:  # noqa: A002  # the word of the domain
    """
    Return *value* as a literal of *type*, as `coerce` does.

    Raises:
        Mismatch: the value does not fit.
    """
    if type is ParamType.JSON:
        return value
    if type in _ELEMENT_OF:
        return _array(_ELEMENT_OF[type], value, cast)
    if type is ParamType.STRING_MAP:
        return _string_map(value, cast)
    if type is ParamType.MAP:
        if not isinstance(value, dict):
            raise Mismatch(f"must be an object for type MAP, not {spell_kind(value)}")
        return value
    return _SCALARS[type](value, cast)


def infer_type(value: Any) -> ParamType:
    """
    Return the type of a plain value (DESIGN section 8): JSON for whatever has no native type.

    A text that is exactly one ``${...}``, and a list or object holding one, is JSON: it keeps the type of what it
    names.
    """
    if lone_mention(value) is not None:
        return ParamType.JSON
    kind = type(value)
    if kind in _TYPE_OF:
        return _TYPE_OF[kind]
    if kind is dict and value:
        texts = all(type(inner) is str and lone_mention(inner) is None for inner in value.values())
        return ParamType.STRING_MAP if texts else ParamType.JSON
    if kind is list and value:
        kinds = {type(inner) for inner in value}
        if len(kinds) == 1 and not any(lone_mention(inner) is not None for inner in value):
            return _ARRAY_OF.get(kinds.pop(), ParamType.JSON)
    return ParamType.JSON


def text_of(value: Any) -> str:
    """Return *value* as it reads inside a longer text: as Java prints it; lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # The specification's DOUBLE is Java's BigDecimal, which prints exactly as Python's Decimal does.
        return str(Decimal(repr(value)))
    if isinstance(value, int):
        return str(value)
    return _ENCODER.encode(value).decode()


def spell_kind(value: Any) -> str:
    """Return what kind of JSON value *value* is, with an article."""
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    return "null"


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a decimal number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
)


def _text(value: Any, cast: bool) -> str:
    if isinstance(value, str):
        return value
    if cast and isinstance(value, bool | int | float):
        return text_of(value)
    raise Mismatch(f"must be a text for type STRING, not {spell_kind(value)}")


def _long(value: Any, cast: bool) -> int:
    number = value
    spells_integer = isinstance(value, str) and _INTEGER.fullmatch(value.strip())
    if cast and (spells_integer or (isinstance(value, float) and value.is_integer())):
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise Mismatch(f"must be a whole number for type LONG, not {spell_kind(value)}")
    if not _LONG_MIN <= number <= _LONG_MAX:
        raise Mismatch("must fit in 64 bits for type LONG")
    return number


def _double(value: Any, cast: bool) -> int | float:
    if cast and isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        number = float(value)
        if number in (float("inf"), float("-inf")):
            raise Mismatch("is too large for type DOUBLE")
        return number
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mismatch(f"must be a number for type DOUBLE, not {spell_kind(value)}")
    return value


def _boolean(value: Any, cast: bool) -> bool:
    if isinstance(value, bool):
        return value
    if cast and isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise Mismatch(f"must be true or false for type BOOLEAN, not {spell_kind(value)}")


def _array(element: ParamType, value: Any, cast: bool) -> list[Any]:
    if not isinstance(value, list):
        raise Mismatch(f"must be a list for type {element}_ARRAY, not {spell_kind(value)}")
    scalar = _SCALARS[element]
    result = []
    for index, inner in enumerate(value):
        try:
            result.append(scalar(inner, cast))
        except Mismatch as exc:
            raise Mismatch(exc.message, (index,)) from exc
    return result


def _string_map(value: Any, cast: bool) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Mismatch(f"must be an object for type STRING_MAP, not {spell_kind(value)}")
    result = {}
    for key, inner in value.items():
        try:
            result[key] = _text(inner, cast)
        except Mismatch as exc:
            raise Mismatch(exc.message, (key,)) from exc
    return result


_SCALARS: Final[dict[ParamType, Callable[[Any, bool], Any]]] = {
    ParamType.STRING: _text,
    ParamType.LONG: _long,
    ParamType.DOUBLE: _double,
    ParamType.BOOLEAN: _boolean,
}
_ELEMENT_OF: Final = {
    ParamType.STRING_ARRAY: ParamType.STRING,
    ParamType.LONG_ARRAY: ParamType.LONG,
    ParamType.DOUBLE_ARRAY: ParamType.DOUBLE,
    ParamType.BOOLEAN_ARRAY: ParamType.BOOLEAN,
}
_TYPE_OF: Final[dict[type, ParamType]] = {
    str: ParamType.STRING,
    int: ParamType.LONG,
    float: ParamType.DOUBLE,
    bool: ParamType.BOOLEAN,
}
_ARRAY_OF: Final[dict[type, ParamType]] = {
    str: ParamType.STRING_ARRAY,
    int: ParamType.LONG_ARRAY,
    float: ParamType.DOUBLE_ARRAY,
    bool: ParamType.BOOLEAN_ARRAY,
}

#: Types whose value may be a list of loop values.
ARRAY_TYPES: Final = frozenset(_ELEMENT_OF)
