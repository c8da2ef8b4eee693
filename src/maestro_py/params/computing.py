"""Run one expression where a parameter or an edge needs it, within a budget, and fit the result to its type."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from maestro_py.expressions import (
    DEFAULT_LIMITS,
    BudgetExceeded,
    CompiledExpression,
    ExpressionError,
    Usage,
    compile_expression,
    expected_visits,
)
from maestro_py.expressions import Sources as Sources
from maestro_py.model.definition import ParamType
from maestro_py.model.errors import OverBudget, ParamError
from maestro_py.model.literals import Mismatch, convert, spell_kind

#: What the expressions of one decision may cost, in visits: about 5 ms (DESIGN section 4).
DECISION_VISITS: Final = 20_000


class Budget:
    """
    The work that expressions may still do here; handed from one evaluation to the next, each of which lessens it.

    Args:
        visits: Of all of them together.  Without, each may use what the language allows.
        limits: Of one expression, instead of the defaults of the language.
    """

    __slots__ = ("_limits", "_visits_each", "left")

    def __init__(self, visits: int | None = None, limits: Mapping[str, int] | None = None) -> None:
        self.left = visits
        self._limits = dict(limits) if limits else {}
        self._visits_each = self._limits.get("visit", DEFAULT_LIMITS.visit)

    @property
    def visits_left(self) -> int:
        """What is left of the visits of all expressions together; without a bound, what one of them may use."""
        return self._visits_each if self.left is None else self.left

    def compiled(self, source: str) -> CompiledExpression:
        """
        Return *source* compiled.

        Raises:
            OverBudget: that alone would cost too much.
            ExpressionError: it is not of the language.
        """
        if self.left is not None and expected_visits(source) > self.left:
            raise OverBudget(f"an expression of {len(source)} characters is to be read")
        return compile_expression(source)

    def run(self, expression: CompiledExpression, names: Mapping[str, Any], sources: Sources) -> Any:
        """
        Return the value of *expression*.

        Raises:
            OverBudget: it needs more visits than are left.
            ExpressionError: it fails, or exceeds a limit of the language.
        """
        left = self.left
        if left is None or left >= self._visits_each:
            limits: Mapping[str, int] | None = self._limits or None
        else:
            limits = {**self._limits, "visit": left}
        usage = Usage()
        try:
            result = expression.evaluate(names, limits=limits, sources=sources, usage=usage)
            if isinstance(result, list):
                # Fitting it to its type looks at every item, also of a list that was only handed on.
                usage.visits += len(result) // 8
                if left is not None and left < usage.visits:
                    raise OverBudget(f"a list of {len(result)} items is the result")
            return result
        except BudgetExceeded as exc:
            if left is None or left >= self._visits_each:
                raise
            raise OverBudget(f"an expression needs more than {left} visits") from exc
        finally:
            if left is not None:
                self.left = max(0, left - usage.visits)


def fitted(type: ParamType, value: Any, source: str) -> Any:  # noqa: A002  # the word of the domain
    """
    Return the result of an expression as a literal of *type*.

    Raises:
        ExpressionError: it does not fit, or is no value that a parameter may have.
    """
    if value is None and type is not ParamType.JSON:
        raise ExpressionError(f"the expression gives null, and the parameter is of type {type}", source)
    if not _is_finite(value):
        raise ExpressionError("the expression gives a number that is not finite", source)
    try:
        return convert(type, value, cast=True)
    except Mismatch as exc:
        at = "".join(f"[{part!r}]" for part in exc.at)
        raise ExpressionError(f"the result{at} {exc.message}", source) from exc


def truth(value: Any, source: str) -> bool:
    """
    Return the result of a condition.

    Raises:
        ExpressionError: it is neither true nor false.
    """
    if isinstance(value, bool):
        return value
    raise ExpressionError(f"a condition gives true or false, not {spell_kind(value)}", source)


def unknown_name(name: str, source: str) -> ExpressionError:
    """Return the error that *source* reads a *name* that nothing has."""
    place = re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", source)
    return ExpressionError(f"'{name}' names no parameter", source, place.start() if place else None)


def as_param_error(error: ExpressionError, path: str) -> ParamError:
    """Return *error* as the error of the parameter at *path*, in texts that the database can hold."""
    return ParamError(path, error.render().replace("\0", "\ufffd").encode("utf-8", "replace").decode())


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return True
