"""
The operators, with Java's arithmetic: 64-bit wrap-around, division towards zero, doubles that never fail.

Different from Java: ``==`` compares texts by content, a number on the left of a text becomes text, and ``&&`` and
``||`` have both sides already evaluated when they come here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from maestro_py.expressions.errors import ExpressionError
from maestro_py.expressions.render import double_text, text_of
from maestro_py.expressions.state import State
from maestro_py.expressions.values import LONG_MAX, LONG_MIN, kind_of, wrapped_long

BinaryOperator = Callable[[State, object, object], object]

_NUMBERS: Final = frozenset({int, float})


def add(state: State, left: object, right: object) -> object:
    """Add numbers; join texts."""
    kinds = type(left), type(right)
    if kinds == (int, int):
        total: int = left + right  # type: ignore[operator]  # both are int
        return total if LONG_MIN <= total <= LONG_MAX else wrapped_long(total)
    if kinds[0] in _NUMBERS and kinds[1] in _NUMBERS:
        return left + right  # type: ignore[operator]  # both are numbers
    if kinds[0] is str or kinds[1] is str or left is None:
        before, after = text_of(state, left), text_of(state, right)
        state.text(len(before) + len(after))
        return before + after
    raise _misfit("+", left, right)


def subtract(_state: State, left: object, right: object) -> object:
    """Subtract numbers."""
    kinds = type(left), type(right)
    if kinds[0] in _NUMBERS and kinds[1] in _NUMBERS:
        result = left - right  # type: ignore[operator]  # both are numbers
        return wrapped_long(result) if type(result) is int else result
    raise _misfit("-", left, right)


def multiply(_state: State, left: object, right: object) -> object:
    """Multiply numbers."""
    kinds = type(left), type(right)
    if kinds[0] in _NUMBERS and kinds[1] in _NUMBERS:
        result = left * right  # type: ignore[operator]  # both are numbers
        return wrapped_long(result) if type(result) is int else result
    raise _misfit("*", left, right)


def divide(_state: State, left: object, right: object) -> object:
    """Divide numbers; LONG by LONG is cut towards zero."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise ExpressionError("division of a LONG by zero")
        quotient = abs(left) // abs(right)
        return wrapped_long(quotient if (left < 0) == (right < 0) else -quotient)
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        dividend, divisor = float(left), float(right)  # type: ignore[arg-type]  # both are numbers
        if divisor:
            return dividend / divisor
        if dividend == 0 or math.isnan(dividend) or math.isnan(divisor):
            return math.nan
        return math.copysign(math.inf, dividend) * math.copysign(1.0, divisor)
    raise _misfit("/", left, right)


def remainder(_state: State, left: object, right: object) -> object:
    """Return what division leaves, with the sign of the dividend."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise ExpressionError("remainder of a LONG by zero")
        rest = abs(left) % abs(right)
        return rest if left >= 0 else -rest
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        dividend, divisor = float(left), float(right)  # type: ignore[arg-type]  # both are numbers
        if divisor == 0 or math.isinf(dividend):
            return math.nan
        return math.fmod(dividend, divisor)
    raise _misfit("%", left, right)


def equal(state: State, left: object, right: object) -> object:
    """Tell whether two values are the same; texts are compared by content."""
    kind = type(left)
    if kind is type(right) and kind in _EQUATABLE:
        return left == right
    if left is None or right is None:
        return left is right
    if kind in _NUMBERS:
        if type(right) in _NUMBERS:
            return float(left) == float(right)  # type: ignore[arg-type]  # both are numbers
        if type(right) is str:
            return _number_text(left) == right
    raise _misfit("==", left, right)


def not_equal(state: State, left: object, right: object) -> object:
    """Tell whether two values differ."""
    return not equal(state, left, right)


def less(_state: State, left: object, right: object) -> object:
    """Tell whether one number is below another."""
    if type(left) is int and type(right) is int:
        return left < right
    first, second = _comparable("<", left, right)
    return first < second


def greater(_state: State, left: object, right: object) -> object:
    """Tell whether one number is above another."""
    if type(left) is int and type(right) is int:
        return left > right
    first, second = _comparable(">", left, right)
    return first > second


def less_or_equal(_state: State, left: object, right: object) -> object:
    """Tell whether one number is not above another."""
    if type(left) is int and type(right) is int:
        return left <= right
    first, second = _comparable("<=", left, right)
    return first <= second


def greater_or_equal(_state: State, left: object, right: object) -> object:
    """Tell whether one number is not below another."""
    if type(left) is int and type(right) is int:
        return left >= right
    first, second = _comparable(">=", left, right)
    return first >= second


def both(_state: State, left: object, right: object) -> object:
    """Tell whether both sides are true."""
    if type(left) is bool and type(right) is bool:
        return left and right
    raise _misfit("&&", left, right)


def either(_state: State, left: object, right: object) -> object:
    """Tell whether one side at least is true."""
    if type(left) is bool and type(right) is bool:
        return left or right
    raise _misfit("||", left, right)


def negative(value: object) -> object:
    """Return the number with the other sign."""
    if type(value) is int:
        return wrapped_long(-value)
    if type(value) is float:
        return -value
    raise ExpressionError(f"- is not defined for {kind_of(value)}")


def positive(value: object) -> object:
    """Return the number."""
    if type(value) in _NUMBERS:
        return value
    raise ExpressionError(f"+ is not defined for {kind_of(value)}")


def negation(value: object) -> object:
    """Return the other truth value."""
    if type(value) is bool:
        return not value
    raise ExpressionError(f"! is not defined for {kind_of(value)}")


def truth(value: object) -> bool:
    """Return *value* if it is a truth value; a condition is nothing else."""
    if type(value) is bool:
        return value
    raise ExpressionError(f"a condition must be BOOLEAN, this is {kind_of(value)}")


BINARY: Final[dict[str, BinaryOperator]] = {
    "||": either, "&&": both, "==": equal, "!=": not_equal, "<": less, ">": greater, "<=": less_or_equal,
    ">=": greater_or_equal, "+": add, "-": subtract, "*": multiply, "/": divide, "%": remainder,
}  # fmt: skip

UNARY: Final[dict[str, Callable[[object], object]]] = {"-": negative, "+": positive, "!": negation}

_EQUATABLE: Final = frozenset({int, float, str, bool, type(None)})


def _comparable(operator: str, left: object, right: object) -> tuple[float, float]:
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return float(left), float(right)  # type: ignore[arg-type]  # both are numbers
    raise _misfit(operator, left, right)


def _number_text(value: object) -> str:
    return double_text(value) if isinstance(value, float) else str(value)


def _misfit(operator: str, left: object, right: object) -> ExpressionError:
    return ExpressionError(f"{kind_of(left)} {operator} {kind_of(right)} is not defined")
