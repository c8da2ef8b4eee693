"""
Values as texts, as JSON, and as the plain Python result.

Nested maps may share parts, so what is written out can be exponentially larger than what is held: every part is charged
when it is written, and the nesting is bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Final, cast

from maestro_py.expressions.errors import ExpressionError, LimitExceeded
from maestro_py.expressions.state import State
from maestro_py.expressions.text import java_text, python_text
from maestro_py.expressions.values import Array, MapValue, Opaque, kind_of

_DEEPEST_VALUE: Final = 100

_RESULT_SCALARS: Final = frozenset({int, float, bool, type(None)})


def double_text(value: float) -> str:
    """Return *value* as Java writes a double: ``1.0``, ``1.0E10``, ``NaN``, ``-Infinity``."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    size = abs(value)
    if size == 0 or 1e-3 <= size < 1e7:
        text = format(value, "f") if "e" in repr(value) else repr(value)
        return text if "." in text else text + ".0"
    sign, digits, exponent = decimal_digits(value)
    return f"{'-' if sign else ''}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def decimal_digits(value: float) -> tuple[bool, str, int]:
    """Return sign, shortest significant digits and exponent: *value* is ``d.ddd`` times ten to the exponent."""
    shortest = repr(abs(value))
    if len(shortest.partition("e")[0]) == 1:  # Java wants two digits at least: the smallest double is 4.9E-324
        two = format(abs(value), ".1e")
        shortest = two if float(two) == abs(value) else shortest
    mantissa, _, written = shortest.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    exponent_value = int(written or 0) + (len(whole) - 1 if whole.strip("0") else -1 - _leading_zeros(fraction))
    digits = digits.rstrip("0") or "0"
    return str(value).startswith("-"), digits, exponent_value if digits != "0" else 0


def _leading_zeros(fraction: str) -> int:
    return len(fraction) - len(fraction.lstrip("0"))


def text_of(state: State, value: object, depth: int = 0) -> str:
    """Return *value* as it reads when it is added to a text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, Array):
        parts = _parts(state, (text_of(state, state.wrap(item), depth + 1) for item in value.items), depth)
        return "[" + ", ".join(parts) + "]"
    if isinstance(value, MapValue):
        entries = (
            f"{java_text(str(key))}={text_of(state, state.wrap(item), depth + 1)}"
            for key, item in value.entries.items()
        )
        return "{" + ", ".join(_parts(state, entries, depth)) + "}"
    if isinstance(value, Opaque):
        return str(value)
    raise ExpressionError(f"a {kind_of(value)} has no text")


def json_of(state: State, value: object, depth: int = 0) -> str:
    """
    Return *value* as compact JSON.

    Raises:
        ExpressionError: *value* has no JSON, such as a date.
    """
    if isinstance(value, str):
        state.text(6 * len(value))
        return _json_text(value)
    if isinstance(value, float):
        text = double_text(value)
        return text if text[-1].isdigit() else f'"{text}"'
    if value is None or isinstance(value, (bool, int)):
        return text_of(state, value)
    if isinstance(value, Array):
        parts = _parts(state, (json_of(state, state.wrap(item), depth + 1) for item in value.items), depth)
        return "[" + ",".join(parts) + "]"
    if isinstance(value, MapValue):
        entries = (
            f"{_json_text(java_text(str(key)))}:{json_of(state, state.wrap(item), depth + 1)}"
            for key, item in value.entries.items()
        )
        return "{" + ",".join(_parts(state, entries, depth)) + "}"
    raise ExpressionError(f"a {kind_of(value)} has no JSON")


def plain(state: State, value: object) -> object:
    """
    Return a result as plain Python: text, numbers, lists and dictionaries.

    What the expression took from the caller unchanged is the caller's own object.

    Raises:
        ExpressionError: *value* is of a kind that cannot be a result, such as a date.
    """
    kind = type(value)
    if kind in _RESULT_SCALARS:
        return value
    if kind is str:
        return python_text(cast("str", value))
    return _plain_container(state, value, 0)


def _plain_container(state: State, value: object, depth: int) -> object:
    if isinstance(value, (Array, MapValue)) and not value.owned and not state.copied:
        return value.items if isinstance(value, Array) else value.entries
    if depth > _DEEPEST_VALUE:
        raise LimitExceeded("a map nests too deep, or contains itself", limit="stack")

    def part(item: object) -> object:
        known = state.wrap(item)
        return (
            _plain_container(state, known, depth + 1) if isinstance(known, (Array, MapValue)) else plain(state, known)
        )

    if isinstance(value, Array):
        if depth:
            state.items(len(value.items))
        if value.item_kind in ("LONG", "DOUBLE", "BOOLEAN"):
            return value.items if value.owned and not depth else list(value.items)
        return [part(item) for item in value.items]
    if isinstance(value, MapValue):
        state.new_map(len(value.entries))
        return {str(key): part(item) for key, item in value.entries.items()}
    raise ExpressionError(f"a {kind_of(value)} cannot be the result; turn it into a text or a number")


def _parts(state: State, parts: Iterable[str], depth: int) -> list[str]:
    if depth > _DEEPEST_VALUE:
        raise LimitExceeded("a map nests too deep, or contains itself", limit="stack")
    gathered: list[str] = []
    for part in parts:
        state.work(3)
        state.text(len(part))
        gathered.append(part)
    return gathered


_JSON_SPECIAL: Final = re.compile(r'["\\\x00-\x1f]')
_escaped: Final[Callable[[str], str]] = json.JSONEncoder(ensure_ascii=False).encode


def _json_text(text: str) -> str:
    return _escaped(text) if _JSON_SPECIAL.search(text) else f'"{text}"'
