"""
Evaluate parameters that may refer to one another (specification 4.4).  Pure: the world is a `Scope`.

Parameters are taken in the order of their definition; one that another needs is evaluated before it.  No recursion:
a chain of a thousand parameters is as good as one of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from maestro_py.model.definition import ParamDefinition, ParamType
from maestro_py.model.errors import ParamError
from maestro_py.model.templates import Mention, mentions_in
from maestro_py.params.interpolation import Interpolation
from maestro_py.params.parameter import Parameter, parameter_of
from maestro_py.params.scope import Scope

_MISSING: Any = object()


def evaluate_step_params(definitions: Mapping[str, ParamDefinition], scope: Scope, now_ms: int) -> dict[str, Parameter]:
    """
    Return the evaluated parameters of a step, in the order of *definitions*.

    Args:
        definitions: The step's own.  A parameter of the run wins over one of the step that is not yet evaluated.
        scope: The run's parameters and the outputs of its completed steps.
        now_ms: UTC epoch milliseconds, the caller's clock.

    Raises:
        ParamError: a reference names nothing, a value does not fit its type, or all is larger than 64 MB.
    """
    if not definitions:
        return {}
    results = evaluate(definitions, scope)
    return {name: parameter_of(definition, results[name], now_ms) for name, definition in definitions.items()}


def render(value: Any, scope: Scope, path: str) -> Any:
    """
    Return a nested literal with every reference filled in; a lone ``${...}`` keeps the type of what it names.

    Raises:
        ParamError: a reference names nothing, or the result is larger than 64 MB.
    """
    evaluation = _Evaluation({}, scope, "")
    return Interpolation(evaluation.named).render(value, path)


def evaluate(definitions: Mapping[str, ParamDefinition], scope: Scope, root: str = "params") -> dict[str, Any]:
    """
    Return name to result; *root* begins the paths of errors.

    Raises:
        ParamError: as `evaluate_step_params`.
    """
    return _Evaluation(definitions, scope, root).all()


def mentions_of(definition: ParamDefinition) -> Iterator[Mention]:
    """Yield every reference in the literal of *definition*, those in the values of a MAP too."""
    if definition.type is not ParamType.MAP or not isinstance(definition.value, Mapping):
        for _, mention in mentions_in(definition.value):
            yield mention
        return
    for inner in definition.value.values():
        yield from mentions_of(definition_in_map(inner))


def definition_in_map(document: Any) -> ParamDefinition:
    """Return one value of a MAP, a plain dict since it was stored, as the definition it is."""
    if isinstance(document, ParamDefinition):
        return document
    return msgspec.convert(document, ParamDefinition)


class _Evaluation:
    """One evaluation: what is known so far, and how a mention is resolved."""

    def __init__(self, definitions: Mapping[str, ParamDefinition], scope: Scope, root: str) -> None:
        self._definitions = definitions
        self._scope = scope
        self._root = root
        self._results: dict[str, Any] = {}
        self._interpolation = Interpolation(self.named)

    def all(self) -> dict[str, Any]:
        for name in self._definitions:
            if name not in self._results:
                self._evaluate_with_needs(name)
        return self._results

    def named(self, mention: Mention, path: str) -> Any:
        """Return what *mention* names; whatever it needs has been evaluated before."""
        value = self._output_named(mention, path)
        if value is not _MISSING:
            return value
        for name, way in mention.alternatives[-1].readings():
            value = self._known_param(name)
            if value is not _MISSING:
                return _descend(value, way, mention, path)
        raise ParamError(path, _names_nothing(mention))

    def _evaluate_with_needs(self, name: str) -> None:
        """Evaluate *name* after everything it needs; *waiting* are the parameters that need one another."""
        waiting = {name: self._needs(name)}
        while waiting:
            current = next(reversed(waiting))
            need = next(waiting[current], None)
            if need is None:
                self._results[current] = self._result(self._definitions[current], self._path(current))
                del waiting[current]
            elif need in waiting:
                raise ParamError(self._path(need), _names_cycle([*waiting], need))
            elif need not in self._results:
                waiting[need] = self._needs(need)

    def _needs(self, name: str) -> Iterator[str]:
        for mention in mentions_of(self._definitions[name]):
            need = self._unevaluated(mention)
            if need is not None:
                yield need

    def _unevaluated(self, mention: Mention) -> str | None:
        """Return the parameter of ours that *mention* means and that has no result yet."""
        if any(self._outputs(mention)):
            return None
        for name, _ in mention.alternatives[-1].readings():
            if name in self._results or self._scope_param(name) is not _MISSING:
                return None
            if name in self._definitions:
                return name
        return None

    def _result(self, definition: ParamDefinition, path: str) -> Any:
        if definition.expression is not None:
            return _evaluate_expression(definition, path)
        if definition.value is msgspec.UNSET:
            raise ParamError(path, "has no value")
        if definition.type is ParamType.MAP and isinstance(definition.value, Mapping):
            return {
                name: self._result(definition_in_map(inner), f"{path}.{name}")
                for name, inner in definition.value.items()
            }
        return self._interpolation.literal(definition.type, definition.value, path)

    def _output_named(self, mention: Mention, path: str) -> Any:
        """Return the output that *mention* names, or _MISSING."""
        found = list(self._outputs(mention))
        if not found:
            return _MISSING
        if len(found) > 1:
            steps = " or ".join(f"step '{step_id}'" for step_id, _, _ in found)
            raise ParamError(path, f"'{mention.text}' may mean {steps}; write ${{step.output.name}}")
        _, value, way = found[0]
        return _descend(value, way, mention, path)

    def _outputs(self, mention: Mention) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
        """Yield what each alternative of *mention* that is an output names: step, value, and the way into the value."""
        for reference in mention.alternatives[:-1]:
            assert reference.step_id is not None
            for name, way in reference.readings():
                try:
                    value = self._scope.output(reference.step_id, name)
                except KeyError:
                    continue
                yield reference.step_id, value, way
                break

    def _known_param(self, name: str) -> Any:
        if name in self._results:
            return self._results[name]
        return self._scope_param(name)

    def _scope_param(self, name: str) -> Any:
        try:
            return self._scope.param(name)
        except KeyError:
            return _MISSING

    def _path(self, name: str) -> str:
        return f"{self._root}.{name}" if self._root else name


def _evaluate_expression(definition: ParamDefinition, path: str) -> Any:
    """Refuse: this is the one place where an expression will be evaluated.  The door lets none through yet."""
    raise ParamError(path, f"expressions are not supported yet: {definition.expression}")


def _descend(value: Any, way: Sequence[str], mention: Mention, path: str) -> Any:
    for key in way:
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            raise ParamError(path, f"'{mention.text}': there is no '{key}' in that value")
    return value


def _names_nothing(mention: Mention) -> str:
    reference = mention.alternatives[0]
    if reference.step_id is None:
        return f"'{mention.text}' names no parameter"
    return f"'{mention.text}' names nothing: no upstream step '{reference.step_id}' has an output '{reference.name}'"


def _names_cycle(waiting: Sequence[str], need: str) -> str:
    ring = [*waiting[waiting.index(need) :], need]
    shown = ring if len(ring) <= 12 else [*ring[:6], "…", *ring[-5:]]
    return f"the parameters need one another: {' -> '.join(shown)}"
