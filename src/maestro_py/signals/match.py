"""
Decide whether a signal's parameters satisfy what a trigger asks of them (specification 8.2 and 8.3).

Pure.  A parameter is text or a whole number; a comparison of the two kinds is never true, and text is compared by
its code points.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from maestro_py.model.errors import Unprocessable
from maestro_py.ports.signal_store import SignalValue

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Condition(NamedTuple):
    """One entry of ``match_params``: the signal's parameter *name* stands in *operator* to *value*."""

    name: str
    operator: str
    value: SignalValue


def conditions_of(trigger: Mapping[str, Any], name: str) -> tuple[Condition, ...]:
    """
    Return what *trigger* asks of the signals called *name*.

    Raises:
        Unprocessable: the trigger waits for several signals, or asks what we cannot compare; the door refuses both.
    """
    definitions = trigger.get("definitions") or {}
    if set(definitions) != {name}:
        raise Unprocessable(f"a trigger of signal {name!r} that waits for {sorted(definitions)} cannot be matched")
    asked = (definitions[name] or {}).get("match_params") or {}
    return tuple(_condition(param, wanted) for param, wanted in asked.items())


def satisfies(conditions: Iterable[Condition], params: Mapping[str, SignalValue]) -> bool:
    """Say whether *params* satisfy all *conditions*; without any, every signal does."""
    return all(_holds(condition, params.get(condition.name)) for condition in conditions)


def _condition(param: str, wanted: Mapping[str, Any]) -> Condition:
    symbol, value = wanted.get("operator", "="), wanted.get("value")
    if symbol not in _COMPARE:
        raise Unprocessable(f"match_params.{param}: operator {symbol!r} is none of {', '.join(_COMPARE)}")
    # By exact type: a boolean is an int to Python.
    if type(value) is not str and type(value) is not int:
        raise Unprocessable(f"match_params.{param}: {value!r} is neither text nor a whole number")
    return Condition(param, symbol, value)


def _holds(condition: Condition, value: SignalValue | None) -> bool:
    # 5 is not "5" (specification 8.2).
    return type(value) is type(condition.value) and _COMPARE[condition.operator](value, condition.value)
