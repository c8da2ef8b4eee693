"""
The expression language of definitions: a small Java, evaluated within limits.

`evaluate` runs an expression against parameters, `free_names` tells what it needs, `compile_expression` keeps it ready.
Everything that can go wrong is an `ExpressionError`.
"""

from maestro_py.expressions.calls import check_calls
from maestro_py.expressions.errors import (
    BudgetExceeded,
    ExpressionError,
    ExpressionSyntaxError,
    ExpressionThrown,
    LimitExceeded,
)
from maestro_py.expressions.evaluation import (
    CompiledExpression,
    compile_expression,
    evaluate,
    expected_visits,
    free_names,
)
from maestro_py.expressions.limits import DEFAULT_LIMITS, Limits, Usage
from maestro_py.expressions.sources import Sources

__all__ = [
    "DEFAULT_LIMITS",
    "BudgetExceeded",
    "CompiledExpression",
    "ExpressionError",
    "ExpressionSyntaxError",
    "ExpressionThrown",
    "LimitExceeded",
    "Limits",
    "Sources",
    "Usage",
    "check_calls",
    "compile_expression",
    "evaluate",
    "expected_visits",
    "free_names",
]
