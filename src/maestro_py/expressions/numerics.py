"""The methods of numbers, and the classes ``Long``, ``Double``, ``Boolean`` and ``Math``."""

from __future__ import annotations

import math
import re
from typing import Final

from maestro_py.expressions.builtin import BOOLEAN, DOUBLE, LONG, NUMBER, TEXT, Builtin, ClassTable, table
from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.render import double_text
from maestro_py.expressions.state import State, short_text
from maestro_py.expressions.values import LONG_MAX, LONG_MIN

_WHOLE: Final = re.compile(r"[-+]?[0-9]+", re.ASCII)
_DECIMAL: Final = re.compile(r"[-+]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?[fFdD]?)", re.ASCII)
_BLANKS: Final = "".join(map(chr, range(0x21)))
_LONG_DIGITS = 19


def parse_long(state: State, text: str | int) -> int:
    """
    Return the LONG that *text* is, as ``Long.parseLong`` reads it.

    Raises:
        ExpressionError: *text* is no whole number, or one of more than 64 bits.
    """
    if isinstance(text, int):
        return text
    state.work(1 + len(text) // 64)
    if _WHOLE.fullmatch(text):
        digits = text.lstrip("+-").lstrip("0") or "0"
        value = int(digits) if len(digits) <= _LONG_DIGITS else 2**64
        value = -value if text[0] == "-" else value
        if LONG_MIN <= value <= LONG_MAX:
            return value
    raise ExpressionError(f"{short_text(text)} is not a LONG")


def parse_double(state: State, text: str | float) -> float:
    """
    Return the DOUBLE that *text* is, as ``Double.parseDouble`` reads it.

    Raises:
        ExpressionError: *text* is no number.
    """
    if not isinstance(text, str):
        return float(text)
    state.work(1 + len(text) // 16)
    number = text.strip(_BLANKS)
    if not _DECIMAL.fullmatch(number):
        raise ExpressionError(f"{short_text(text)} is not a DOUBLE")
    return float(number.rstrip("fFdD") if number[-1] in "fFdD" else number)


def _int_of_long(_state: State, value: int) -> int:
    return ((value + 2**31) & (2**32 - 1)) - 2**31


def _within(value: float, lowest: int, highest: int) -> int:
    if value != value:
        return 0
    return lowest if value <= lowest else highest if value >= highest else int(value)


def _int_of_double(_state: State, value: float) -> int:
    return _within(value, -(2**31), 2**31 - 1)


def _long_of_double(_state: State, value: float) -> int:
    return _within(value, LONG_MIN, LONG_MAX)


def _parse_boolean(_state: State, value: str | bool) -> bool:
    return value if isinstance(value, bool) else len(value) == 4 and value.lower() == "true"


def _pow(_state: State, base: float, exponent: float) -> float:
    base, exponent = float(base), float(exponent)
    if exponent != exponent or (abs(base) == 1 and math.isinf(exponent)):
        return math.nan
    odd = exponent % 2 == 1 if math.isfinite(exponent) else False
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and odd else math.inf
    except ValueError:
        if base == 0:
            return math.copysign(math.inf, base) if odd else math.inf
        return math.nan


def _random(state: State) -> float:
    return float(state.sources.random())


def _double_text(_state: State, value: float) -> str:
    return double_text(float(value))


LONG_METHODS: Final = table(
    Builtin("toString", lambda _state, value: str(value), ((),)),
    Builtin("intValue", _int_of_long, ((),)),
)

DOUBLE_METHODS: Final = table(
    Builtin("toString", _double_text, ((),)),
    Builtin("intValue", _int_of_double, ((),)),
    Builtin("longValue", _long_of_double, ((),)),
)

_LONG_STATICS: Final = table(
    Builtin("toString", lambda _state, value: str(value), ((LONG,),)),
    Builtin("valueOf", parse_long, ((TEXT | LONG,),)),
    Builtin("parseLong", parse_long, ((TEXT,),)),
)

_DOUBLE_STATICS: Final = table(
    Builtin("toString", _double_text, ((DOUBLE,),)),
    Builtin("valueOf", parse_double, ((TEXT | DOUBLE,),)),
    Builtin("parseDouble", parse_double, ((TEXT,),)),
)

_NEW_LONG: Final = Builtin("Long", parse_long, ((TEXT | LONG,),))
_NEW_DOUBLE: Final = Builtin("Double", parse_double, ((TEXT | DOUBLE,),))
_NEW_BOOLEAN: Final = Builtin("Boolean", _parse_boolean, ((TEXT | BOOLEAN,),))


def _number_class(kind: str, default: object, boxed: Builtin | None, statics: dict[str, Builtin]) -> ClassTable:
    return ClassTable(kind=kind, nullable=boxed is not None, default=default, statics=statics, constructor=boxed)


CLASSES: Final = {
    "long": _number_class("LONG", 0, None, {}),
    "int": _number_class("LONG", 0, None, {}),
    "Long": _number_class("LONG", 0, _NEW_LONG, _LONG_STATICS),
    "Integer": _number_class("LONG", 0, _NEW_LONG, _LONG_STATICS),
    "double": _number_class("DOUBLE", 0.0, None, {}),
    "float": _number_class("DOUBLE", 0.0, None, {}),
    "Double": _number_class("DOUBLE", 0.0, _NEW_DOUBLE, _DOUBLE_STATICS),
    "Float": _number_class("DOUBLE", 0.0, _NEW_DOUBLE, _DOUBLE_STATICS),
    "boolean": _number_class("BOOLEAN", False, None, {}),
    "Boolean": _number_class("BOOLEAN", False, _NEW_BOOLEAN, {}),
    "Math": ClassTable(
        statics=table(
            Builtin("min", lambda _state, first, second: min(first, second), ((LONG, LONG),)),
            Builtin("max", lambda _state, first, second: max(first, second), ((LONG, LONG),)),
            Builtin("random", _random, ((),)),
            Builtin("pow", _pow, ((NUMBER, NUMBER),)),
        )
    ),
}
