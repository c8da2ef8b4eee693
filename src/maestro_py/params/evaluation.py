"""
Evaluate parameters that may refer to one another (specification 4.4).  Pure: the world is a `Scope`.

Parameters are taken in the order of their definition; one that another needs is evaluated before it.  No recursion:
a chain of a thousand parameters is as good as one of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from maestro_py.expressions import CompiledExpression, ExpressionError
from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.errors import ParamError
from maestro_py.model.templates import mention_of
from maestro_py.params.computing import Budget, as_param_error, fitted, truth, unknown_name
from maestro_py.params.facts import FactSources
from maestro_py.params.interpolation import Interpolation
from maestro_py.params.naming import MISSING, Names
from maestro_py.params.parameter import Parameter, parameter_of
from maestro_py.params.references import definition_in_map, expressions_of, mentions_of
from maestro_py.params.scope import Scope


def evaluate_step_params(
    definitions: Mapping[str, ParamDefinition],
    scope: Scope,
    now_ms: int,
    *,
    step_id: str = "",
    budget: Budget | None = None,
) -> dict[str, Parameter]:
    """
    Return the evaluated parameters of a step, in the order of *definitions*.

    Args:
        definitions: The step's own.  A parameter of the run wins over one of the step that is not yet evaluated.
        scope: The run's parameters and the outputs of its completed steps.
        now_ms: UTC epoch milliseconds, the caller's clock.
        step_id: Of the step: ``<step_id>__x`` is its own parameter x.
        budget: Of the expressions; without, each has what the language allows.

    Raises:
        ParamError: a reference names nothing, an expression fails, a value does not fit its type, or all is larger than
            64 MB.
        OverBudget: the expressions need more than the budget.
    """
    if not definitions:
        return {}
    results = evaluate(definitions, scope, step_id=step_id, budget=budget)
    return {name: parameter_of(definition, results[name], now_ms) for name, definition in definitions.items()}


def evaluate_conditions(
    conditions: Mapping[str, str],
    own: Mapping[str, Any],
    scope: Scope,
    *,
    step_id: str = "",
    budget: Budget | None = None,
) -> dict[str, bool]:
    """
    Return the value of each condition of a step that has completed (specification 4.4).

    Args:
        conditions: Successor to expression.
        own: The step's evaluated parameters, its outputs among them.
        scope: The run's parameters and the outputs of the steps that completed before.
        step_id: Of the step.
        budget: Of the expressions.

    Raises:
        ParamError: an expression fails, names nothing, or gives neither true nor false.
        OverBudget: the expressions need more than the budget.
    """
    evaluation = _Evaluation({}, scope, "", step_id=step_id, budget=budget, known=own)
    return {successor: evaluation.condition(text, successor) for successor, text in conditions.items()}


def evaluate_expression(source: str, scope: Scope, path: str, budget: Budget | None = None) -> Any:
    """
    Return what one expression gives that is no parameter: any value that a parameter may have, or None.

    Raises:
        ParamError: it fails or names nothing, with *path*.
        OverBudget: it needs more than the budget.
    """
    return _Evaluation({}, scope, "", budget=budget).value_of(source, path)


def render(value: Any, scope: Scope, path: str) -> Any:
    """
    Return a nested literal with every reference filled in; a lone ``${...}`` keeps the type of what it names.

    Raises:
        ParamError: a reference names nothing, or the result is larger than 64 MB.
    """
    return Interpolation(Names({}, {}, scope, "").named).render(value, path)


def evaluate(
    definitions: Mapping[str, ParamDefinition],
    scope: Scope,
    root: str = "params",
    *,
    step_id: str = "",
    budget: Budget | None = None,
    of_workflow: bool = False,
) -> dict[str, Any]:
    """
    Return name to result; *root* begins the paths of errors.

    *of_workflow* says that *definitions* are those of the workflow: ``params`` in an expression then means them, too.

    Raises:
        ParamError: as `evaluate_step_params`.
        OverBudget: as `evaluate_step_params`.
    """
    return _Evaluation(definitions, scope, root, step_id=step_id, budget=budget, of_workflow=of_workflow).all()


class _Unready(Exception):  # nothing is wrong; it never leaves this file
    """An expression asked for a parameter by a name that it computed, and that has no result yet."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class _Evaluation:
    """One evaluation: what is known so far, and what is to be evaluated next."""

    def __init__(
        self,
        definitions: Mapping[str, ParamDefinition],
        scope: Scope,
        root: str,
        *,
        step_id: str = "",
        budget: Budget | None = None,
        of_workflow: bool = False,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self._definitions = definitions
        self._scope = scope
        self._root = root
        self._budget = budget or Budget()
        self._of_workflow = of_workflow
        self._results: dict[str, Any] = dict(known) if known else {}
        self._names = Names(definitions, self._results, scope, step_id)
        self._interpolation = Interpolation(self._names.named)
        self._sources: FactSources | None = None

    def all(self) -> dict[str, Any]:
        for name in self._definitions:
            if name not in self._results:
                self._evaluate_with_needs(name)
        return self._results

    def condition(self, source: str, path: str) -> bool:
        try:
            return truth(self._computed(source, path), source)
        except ExpressionError as exc:
            raise as_param_error(exc, path) from exc

    def value_of(self, source: str, path: str) -> Any:
        try:
            return self._computed(source, path)
        except ExpressionError as exc:
            raise as_param_error(exc, path) from exc

    # --- in which order ------------------------------------------------------------------------------------

    def _evaluate_with_needs(self, name: str) -> None:
        """Evaluate *name* after everything it needs; *waiting* are the parameters that need one another."""
        waiting = {name: self._needs(name)}
        while waiting:
            current = next(reversed(waiting))
            need = next(waiting[current], None)
            if need is None:
                try:
                    self._results[current] = self._result(self._definitions[current], self._path(current))
                    del waiting[current]
                    continue
                except _Unready as unready:
                    need = unready.name
            if need in waiting:
                raise ParamError(self._path(need), _names_cycle([*waiting], need))
            if need not in self._results:
                waiting[need] = self._needs(need)

    def _needs(self, name: str) -> Iterator[str]:
        definition = self._definitions[name]
        for mention in mentions_of(definition):
            need = self._names.unevaluated(mention)
            if need is not None:
                yield need
        for source in expressions_of(definition):
            yield from self._needs_of_expression(self._compiled(source, self._path(name)))

    def _needs_of_expression(self, expression: CompiledExpression) -> Iterator[str]:
        for variable in expression.variables:
            need = self._names.unevaluated(mention_of(variable))
            if need is not None:
                yield need
        if self._of_workflow:
            for name in expression.parameters:
                if name in self._definitions and name not in self._results:
                    yield name

    # --- one parameter -------------------------------------------------------------------------------------

    def _result(self, definition: ParamDefinition, path: str) -> Any:
        if definition.expression is not None:
            return self._expression_result(definition.type, definition.expression, path)
        if definition.value is msgspec.UNSET:
            raise ParamError(path, "has no value")
        if definition.type is ParamType.MAP and isinstance(definition.value, Mapping):
            return {
                name: self._result(definition_in_map(inner), f"{path}.{name}")
                for name, inner in definition.value.items()
            }
        return self._interpolation.literal(definition.type, definition.value, path)

    def _expression_result(self, type: ParamType, source: str, path: str) -> Any:  # noqa: A002  # the word of the domain
        try:
            result = fitted(type, self._computed(source, path), source)
        except ExpressionError as exc:
            raise as_param_error(exc, path) from exc
        self._interpolation.spend(result, path)
        return result

    def _computed(self, source: str, path: str) -> Any:
        """Return the bare result of the expression; raise `_Unready` if it asks for what has no result yet."""
        expression = self._compiled(source, path)
        names: dict[str, Any] = {"params": _ParamsMap(self)}
        for variable in expression.variables:
            value = self._names.value(mention_of(variable), path)
            if value is MISSING:
                raise unknown_name(variable, source)
            names[variable] = value
        if self._sources is None:
            self._sources = FactSources(self._scope)
        return self._budget.run(expression, names, self._sources)

    def _compiled(self, source: str, path: str) -> CompiledExpression:
        try:
            return self._budget.compiled(source)
        except ExpressionError as exc:
            raise as_param_error(exc, path) from exc

    def _path(self, name: str) -> str:
        return f"{self._root}.{name}" if self._root else name

    # --- what `params` means -------------------------------------------------------------------------------

    def names_in_params(self) -> Iterator[str]:
        """Yield the names of the workflow's parameters."""
        inherited = self._scope.all_params()
        yield from inherited
        if self._of_workflow:
            yield from (name for name in self._definitions if name not in inherited)

    def param_of_workflow(self, name: str) -> Any:
        """
        Return the value of the workflow's parameter *name*.

        Raises:
            KeyError: there is none.
        """
        if self._of_workflow:
            if name in self._results:
                return self._results[name]
            if name in self._definitions:
                raise _Unready(name)
        return self._scope.param(name)

    def has_param_of_workflow(self, name: object) -> bool:
        """Say whether the workflow has a parameter *name*, evaluated or not."""
        if self._of_workflow and name in self._definitions:
            return True
        return isinstance(name, str) and self._names.scope_param(name) is not MISSING


class _ParamsMap(Mapping[str, Any]):
    """All parameters of the workflow, each looked up when an expression asks for it."""

    __slots__ = ("_evaluation",)

    def __init__(self, evaluation: _Evaluation) -> None:
        self._evaluation = evaluation

    def __getitem__(self, name: str) -> Any:
        return self._evaluation.param_of_workflow(name)

    def __contains__(self, name: object) -> bool:
        return self._evaluation.has_param_of_workflow(name)

    def __iter__(self) -> Iterator[str]:
        return self._evaluation.names_in_params()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _names_cycle(waiting: Sequence[str], need: str) -> str:
    ring = [*waiting[waiting.index(need) :], need]
    shown = ring if len(ring) <= 12 else [*ring[:6], "…", *ring[-5:]]
    return f"the parameters need one another: {' -> '.join(shown)}"
